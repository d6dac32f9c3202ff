package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// Run is one attempt at a job.
type Run struct {
	Job Job // as it was claimed; Progress is what earlier attempts left

	q       *Queue
	done    atomic.Bool // the job's end is committed
	awaited bool        // whoever asked for it waits for it, and tells how it ended

	mu       sync.Mutex
	progress any
	stopped  error // why the handler is to stop
	cancel   context.CancelCauseFunc
}

func newRun(q *Queue, job Job) *Run {
	r := &Run{Job: job, q: q}
	if job.Cancel {
		r.stopped = canceledError(job.ID)
	}
	return r
}

// Guard fails with ErrLost where the job is no longer this attempt's. It is
// the first statement of every transaction that a handler writes.
func (r *Run) Guard(ctx context.Context, tx *catalog.Tx) error {
	return r.write(ctx, tx, "lease_until = $3", tx.Now().Add(r.q.cfg.Lease).UnixMicro())
}

// Done ends the job in the handler's last transaction.
func (r *Run) Done(ctx context.Context, tx *catalog.Tx) error {
	progress, err := r.encodeProgress()
	if err != nil {
		return err
	}
	err = r.write(ctx, tx, "state = 'done', ended_at = $3, progress = $4, error = ''", tx.Now().UnixMicro(), progress)
	if err != nil {
		return err
	}
	tx.OnCommit(func() { r.done.Store(true) })
	return nil
}

// Progress keeps what the job says of itself: it is stored as JSON with the
// next heartbeat and when the attempt ends. v must not be changed afterwards.
func (r *Run) Progress(v any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = v
}

func (r *Run) encodeProgress() (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress == nil {
		return string(r.Job.Progress), nil
	}
	text, err := json.Marshal(r.progress)
	if err != nil {
		return "", fmt.Errorf("job %s: progress: %w", r.Job.ID, err)
	}
	return string(text), nil
}

// write changes the job's row if it is still this attempt's. The arguments
// are numbered from $3.
func (r *Run) write(ctx context.Context, tx *catalog.Tx, set string, args ...any) error {
	res, err := tx.Exec(ctx, "UPDATE jobs SET "+set+" WHERE id = $1 AND attempt = $2 AND state = 'running'",
		append([]any{r.Job.ID, r.Job.Attempt}, args...)...)
	if err != nil {
		return fmt.Errorf("write job %s: %w", r.Job.ID, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrLost)
	}
	return nil
}

// start returns the handler's context, which ends with ctx or by stop.
func (r *Run) start(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancel = cancel
	if r.stopped != nil {
		cancel(r.stopped)
	}
	return ctx
}

// stop makes the handler stop; the first reason counts, but that the job is
// lost counts more than any.
func (r *Run) stop(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped == nil || errors.Is(why, ErrLost) {
		r.stopped = why
	}
	if r.cancel != nil {
		r.cancel(r.stopped)
	}
}

func (r *Run) reason() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped
}

func canceledError(id string) error {
	return backup.Errorf(backup.Canceled, "job %s was canceled", id)
}

// beat extends the lease and stores the progress until ctx ends, and stops the
// handler where the job was cancelled or lost.
func (r *Run) beat(ctx context.Context) {
	ticker := time.NewTicker(r.q.cfg.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := r.heartbeat(ctx); err != nil && ctx.Err() == nil {
			r.q.cfg.Log.WarnContext(ctx, "heartbeat failed", "job_id", r.Job.ID, "error", err)
		}
	}
}

func (r *Run) heartbeat(ctx context.Context) error {
	progress, err := r.encodeProgress()
	if err != nil {
		return err
	}
	var stop error
	err = r.q.db.Update(ctx, func(tx *catalog.Tx) error {
		stop = nil
		var canceled bool
		err := tx.QueryRow(ctx, `UPDATE jobs SET lease_until = $1, progress = $2
			WHERE id = $3 AND attempt = $4 AND state = 'running' RETURNING canceled`,
			tx.Now().Add(r.q.cfg.Lease).UnixMicro(), progress, r.Job.ID, r.Job.Attempt).Scan(catalog.Cell{P: &canceled})
		if errors.Is(err, sql.ErrNoRows) {
			stop, err = r.gone(ctx, tx)
			return err
		}
		if canceled {
			stop = canceledError(r.Job.ID)
		}
		if err != nil {
			return err
		}
		return r.q.register(ctx, tx)
	})
	if err == nil && stop != nil {
		r.stop(stop)
	}
	return err
}

// gone tells why the job is no longer this attempt's to run: it is lost, or,
// with no error, this attempt has ended it. The handler may not have heard
// yet that its last transaction is committed, so the row is asked.
func (r *Run) gone(ctx context.Context, tx *catalog.Tx) (why, err error) {
	var state string
	err = tx.QueryRow(ctx, "SELECT state FROM jobs WHERE id = $1 AND attempt = $2", r.Job.ID, r.Job.Attempt).Scan(&state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrLost, nil
	case err != nil:
		return nil, fmt.Errorf("look at job %s: %w", r.Job.ID, err)
	case State(state) == Done:
		return nil, nil
	}
	return ErrLost, nil
}
