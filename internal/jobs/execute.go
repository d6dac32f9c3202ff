package jobs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/obs"
)

const (
	maxCrashes = 20      // takeovers from dead workers until a job is given up
	maxError   = 4 << 10 // bytes of an error's text that are kept

	lastWrite     = 5 * time.Second // for an outcome when this process is to end
	shortestRetry = 100 * time.Millisecond
	longestRetry  = 5 * time.Second
)

// execute runs a claimed job and records what came of it.
func (q *Queue) execute(ctx context.Context, r *Run, h Handler) {
	defer q.forget(r)
	began := time.Now()
	log := q.cfg.Log.With("job_id", r.Job.ID, "kind", r.Job.Kind, "attempt", r.Job.Attempt, "request_id", r.Job.RequestID)
	q.cfg.Metrics.JobStarted(r.Job.Kind)

	err := q.attempt(ctx, r, h)
	outcome, werr := q.settle(ctx, r, h, err)
	q.cfg.Metrics.JobEnded(r.Job.Kind, outcome, time.Since(began))
	switch {
	case werr != nil:
		log.ErrorContext(ctx, "the outcome of a job was not recorded; it will run again", "outcome", outcome, "error", werr)
	case outcome == outcomeFailed && !r.awaited:
		log.WarnContext(ctx, "job failed", "error", err)
	case outcome == outcomeRetried:
		log.WarnContext(ctx, "job put off", "error", err)
	case outcome == outcomeDone:
		log.InfoContext(ctx, "job done", "seconds", time.Since(began).Seconds())
	default:
		log.InfoContext(ctx, "job stopped", "outcome", outcome, "error", err)
	}
	q.Wake()
}

// attempt calls the handler beside its heartbeat. The heartbeat goes on until
// the handler returns, even when ctx has ended.
func (q *Queue) attempt(ctx context.Context, r *Run, h Handler) error {
	switch {
	case r.Job.Cancel:
		return r.reason()
	case r.Job.Crashes > maxCrashes:
		return backup.Errorf(backup.Internal, "given up: %d workers ended while they ran this job", r.Job.Crashes)
	}
	hctx := r.start(obs.WithJobID(obs.WithRequestID(ctx, r.Job.RequestID), r.Job.ID))
	defer r.cancel(nil)
	bctx, stopBeat := context.WithCancel(context.WithoutCancel(ctx))
	beaten := make(chan struct{})
	go func() {
		defer close(beaten)
		r.beat(bctx)
	}()
	defer func() {
		stopBeat()
		<-beaten
	}()
	return q.guardPanic(ctx, r.Job, func() error { return h.Run(hctx, r) })
}

// guardPanic makes a panic of a handler an error.
func (q *Queue) guardPanic(ctx context.Context, job Job, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			q.cfg.Log.ErrorContext(ctx, "a job panicked", "job_id", job.ID, "kind", job.Kind, "panic", v, "stack", string(debug.Stack()))
			err = backup.Errorf(backup.Internal, "job %s panicked: %v", job.ID, v)
		}
	}()
	return f()
}

const (
	outcomeDone     = "done"
	outcomeFailed   = "failed"
	outcomeRetried  = "retried"
	outcomeReleased = "released"
	outcomeLost     = "lost"
)

// settle records what came of an attempt.
func (q *Queue) settle(ctx context.Context, r *Run, h Handler, err error) (outcome string, werr error) {
	stopped := r.reason()
	after, again := retryable(err)
	switch {
	case r.done.Load():
		return outcomeDone, nil
	case errors.Is(err, ErrLost), errors.Is(stopped, ErrLost):
		return outcomeLost, nil
	case err == nil:
		outcome, werr = outcomeDone, q.record(ctx, func(ctx context.Context, tx *catalog.Tx) error { return r.Done(ctx, tx) })
	case stopped != nil:
		outcome, werr = q.fail(ctx, r, h, stopped)
	case ctx.Err() != nil:
		outcome, werr = outcomeReleased, q.release(ctx, r)
	case again && r.Job.Failures+1 < int64(q.cfg.MaxAttempts):
		outcome, werr = outcomeRetried, q.putOff(ctx, r, err, after)
	default:
		outcome, werr = q.fail(ctx, r, h, err)
	}
	if errors.Is(werr, ErrLost) {
		return outcomeLost, nil
	}
	return outcome, werr
}

// release puts a job back because this process ends.
func (q *Queue) release(ctx context.Context, r *Run) error {
	progress, err := r.encodeProgress()
	if err != nil {
		return err
	}
	return q.record(ctx, func(ctx context.Context, tx *catalog.Tx) error {
		return r.write(ctx, tx, "state = 'queued', worker = '', reserved_for = '', run_after = $3, progress = $4",
			tx.Now().UnixMicro(), progress)
	})
}

// putOff puts a job back for a time that doubles with each failure.
func (q *Queue) putOff(ctx context.Context, r *Run, cause error, least time.Duration) error {
	progress, err := r.encodeProgress()
	if err != nil {
		return err
	}
	wait := max(q.backoff(r.Job.Failures), least)
	return q.record(ctx, func(ctx context.Context, tx *catalog.Tx) error {
		return r.write(ctx, tx, "state = 'queued', worker = '', failures = failures + 1, run_after = $3, progress = $4, error = $5",
			tx.Now().Add(wait).UnixMicro(), progress, errorText(cause))
	})
}

// backoff returns how long to wait after some failures and one more, with up
// to a quarter more at random.
func (q *Queue) backoff(failures int64) time.Duration {
	wait := q.cfg.RetryBase
	for range failures {
		if wait *= 2; wait >= q.cfg.RetryMax {
			wait = q.cfg.RetryMax
			break
		}
	}
	return wait + rand.N(wait/4+1)
}

// fail ends a job for good, with what its handler makes of it. A handler that
// can't is asked again later: its resources must not stay as they are.
func (q *Queue) fail(ctx context.Context, r *Run, h Handler, cause error) (string, error) {
	progress, err := r.encodeProgress()
	if err != nil {
		progress = ""
	}
	err = q.record(ctx, func(ctx context.Context, tx *catalog.Tx) error {
		if err := r.Guard(ctx, tx); err != nil {
			return err
		}
		if err := q.guardPanic(ctx, r.Job, func() error { return h.Fail(ctx, tx, r.Job, cause) }); err != nil {
			return err
		}
		return r.write(ctx, tx, "state = 'failed', ended_at = $3, progress = $4, error = $5",
			tx.Now().UnixMicro(), progress, errorText(cause))
	})
	if err == nil || errors.Is(err, ErrLost) || backup.KindOf(err) == backup.Unavailable {
		return outcomeFailed, err
	}
	q.cfg.Log.ErrorContext(ctx, "a job's failure could not be recorded", "job_id", r.Job.ID, "cause", cause, "error", err)
	return outcomeRetried, q.putOff(ctx, r, fmt.Errorf("%w (and recording that failed: %w)", cause, err), q.cfg.RetryMax)
}

func errorText(err error) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", "\\0"), "?")
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "")
	}
	return text
}

// record writes an outcome. While the database is away it tries again, until
// ctx ends, and then once more.
func (q *Queue) record(ctx context.Context, fn func(context.Context, *catalog.Tx) error) error {
	for wait := shortestRetry; ctx.Err() == nil; wait = min(2*wait, longestRetry) {
		err := q.db.Update(ctx, func(tx *catalog.Tx) error { return fn(ctx, tx) })
		if backup.KindOf(err) != backup.Unavailable && (err == nil || ctx.Err() == nil) {
			return err
		}
		if ctx.Err() == nil {
			q.cfg.Log.WarnContext(ctx, "the outcome of a job can't be recorded now", "error", err)
			sleep(ctx, wait, nil)
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
	defer cancel()
	return q.db.Update(last, func(tx *catalog.Tx) error { return fn(last, tx) })
}

// sleep waits for a time, a wake-up or the end of ctx.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-t.C:
	}
}
