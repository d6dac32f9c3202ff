package jobs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// Pool says how many jobs of some kinds run side by side.
type Pool struct {
	Kinds []string
	N     int
}

// Serve runs jobs until ctx ends. Then it claims no more, cancels the
// handlers' contexts, puts their jobs back, and returns when all have stopped.
// Every kind of a pool needs a handler.
func (q *Queue) Serve(ctx context.Context, pools []Pool, handlers map[string]Handler) error {
	for _, p := range pools {
		if p.N < 1 || len(p.Kinds) == 0 {
			return fmt.Errorf("jobs: a pool of %d for %d kinds", p.N, len(p.Kinds))
		}
		for _, k := range p.Kinds {
			if handlers[k] == nil {
				return fmt.Errorf("jobs: no handler for %q", k)
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { q.maintain(ctx) })
	for _, p := range pools {
		wg.Go(func() { q.servePool(ctx, p, handlers) })
	}
	wg.Wait()
	return nil
}

// maintain looks after other workers and old rows.
func (q *Queue) maintain(ctx context.Context) {
	var pruned, seen time.Time
	for ctx.Err() == nil {
		err := q.reap(ctx)
		now := q.cfg.Clock.Now()
		if err == nil && now.Sub(pruned) >= pruneEvery {
			pruned, err = now, q.prune(ctx)
		}
		if err == nil && now.Sub(seen) >= q.cfg.Heartbeat {
			seen, err = now, q.db.Update(ctx, func(tx *catalog.Tx) error { return q.register(ctx, tx) })
		}
		wait := q.cfg.Poll
		if err != nil && ctx.Err() == nil {
			q.cfg.Log.WarnContext(ctx, "the queue can't be looked after now", "error", err)
			wait = max(wait, longestRetry)
		}
		sleep(ctx, wait, nil)
	}
}

func (q *Queue) servePool(ctx context.Context, p Pool, handlers map[string]Handler) {
	wake, unsubscribe := q.subscribe()
	defer unsubscribe()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, p.N)
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		r, err := q.claim(ctx, want{kinds: p.Kinds})
		if r != nil {
			wg.Go(func() {
				defer func() { <-slots }()
				q.execute(ctx, r, handlers[r.Job.Kind])
			})
			continue
		}
		<-slots
		wait := q.cfg.Poll
		if err != nil && ctx.Err() == nil {
			q.cfg.Log.WarnContext(ctx, "no job can be claimed now", "error", err)
			wait = max(wait, longestRetry)
		}
		sleep(ctx, wait, wake)
	}
}

// ProcessOne claims one job that a handler is there for and runs it before it
// returns. It reports whether there was one; whether the job succeeded stands
// in the job.
func (q *Queue) ProcessOne(ctx context.Context, handlers map[string]Handler) (bool, error) {
	if err := q.reap(ctx); err != nil {
		return false, err
	}
	r, err := q.claim(ctx, want{kinds: slices.Sorted(maps.Keys(handlers))})
	if err != nil || r == nil {
		return false, err
	}
	q.execute(ctx, r, handlers[r.Job.Kind])
	return true, nil
}

// RunNow adds a job that only this process runs while it lives, and runs it.
// If the process is killed another one takes the job over.
func (q *Queue) RunNow(ctx context.Context, n New, handlers map[string]Handler) (Job, error) {
	var j Job
	err := q.db.Update(ctx, func(tx *catalog.Tx) (err error) {
		j, err = q.Reserve(ctx, tx, n)
		return err
	})
	if err != nil {
		return j, err
	}
	return q.RunReserved(ctx, j.ID, handlers)
}

// RunReserved runs a job that was added by Reserve, when its lane is free,
// and returns it as it ended: done or failed. What is ahead of it in the lane
// and nobody else runs, it runs too. Where ctx ends first the job is left to
// any process.
func (q *Queue) RunReserved(ctx context.Context, id string, handlers map[string]Handler) (Job, error) {
	kinds := slices.Sorted(maps.Keys(handlers))
	for {
		j, err := q.get(ctx, id)
		if err != nil || j.State == Done || j.State == Failed {
			return j, err
		}
		if err := q.reap(ctx); err != nil {
			return j, err
		}
		r, err := q.claim(ctx, want{kinds: kinds, id: id, reserved: true})
		if r == nil && err == nil && j.Lane != "" {
			r, err = q.claim(ctx, want{kinds: kinds, lane: j.Lane})
		}
		if err == nil && r == nil && j.reservedFor != q.worker.id { // cancelled, or taken for orphaned
			r, err = q.claim(ctx, want{kinds: kinds, id: id})
		}
		if r != nil {
			r.awaited = r.Job.ID == id
			q.execute(ctx, r, handlers[r.Job.Kind])
		}
		switch {
		case ctx.Err() != nil:
			return q.leave(ctx, id)
		case err != nil && backup.KindOf(err) != backup.Unavailable:
			return j, err
		case r == nil:
			sleep(ctx, q.cfg.Poll, nil)
		}
	}
}

func (q *Queue) get(ctx context.Context, id string) (Job, error) {
	var j Job
	err := q.db.View(ctx, func(tx *catalog.Tx) (err error) {
		j, err = Get(ctx, tx, id)
		return err
	})
	return j, err
}

// leave lets any process run a reserved job that has not ended.
func (q *Queue) leave(ctx context.Context, id string) (Job, error) {
	var j Job
	err := q.record(ctx, func(ctx context.Context, tx *catalog.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE jobs SET reserved_for = '' WHERE id = $1 AND reserved_for = $2 AND state = 'queued'", id, q.worker.id)
		if err != nil {
			return err
		}
		j, err = Get(ctx, tx, id)
		return err
	})
	if err != nil {
		return j, fmt.Errorf("leave job %s to others: %w", id, err)
	}
	if j.State == Done || j.State == Failed {
		return j, nil
	}
	return j, fmt.Errorf("job %s goes on in another process: %w", id, context.Cause(ctx))
}
