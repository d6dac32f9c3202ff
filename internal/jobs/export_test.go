package jobs

import "context"

// Claim takes the next job of some kinds without running it.
func (q *Queue) Claim(ctx context.Context, kinds ...string) (*Run, error) {
	return q.claim(ctx, want{kinds: kinds})
}

// Settle records what came of a claimed job.
func (q *Queue) Settle(ctx context.Context, r *Run, h Handler, err error) (string, error) {
	defer q.forget(r)
	return q.settle(ctx, r, h, err)
}

// Forget makes the queue know nothing of a claim, as if the answer of the
// database had been lost.
func (q *Queue) Forget(r *Run) { q.forget(r) }

// Reap looks after other workers once.
func (q *Queue) Reap(ctx context.Context) error { return q.reap(ctx) }

// Prune forgets old rows once.
func (q *Queue) Prune(ctx context.Context) error { return q.prune(ctx) }

// Beat is one heartbeat.
func (r *Run) Beat(ctx context.Context) error { return r.heartbeat(ctx) }
