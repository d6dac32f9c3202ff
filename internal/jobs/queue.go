package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
)

// ErrLost is returned to a handler whose job was taken from it. It must write
// nothing more.
var ErrLost = errors.New("the job was taken over")

// Handler does jobs of one kind. A job may be run again from the start at any
// time, by any process, so what it did before must not hurt.
type Handler interface {
	// Run does the job. Its last transaction calls Run.Done; where it calls
	// it nowhere, the queue does so afterwards. An error of kind Unavailable,
	// or one wrapped by Retry, puts the job back for a while; any other makes
	// it fail. When ctx ends Run stops at the next point it can go on from.
	Run(ctx context.Context, r *Run) error
	// Fail records, in the transaction that ends the job, what its failure
	// means for its resources. It may be called without Run, and again after
	// an error.
	Fail(ctx context.Context, tx *catalog.Tx, job Job, cause error) error
}

// Metrics is told what becomes of jobs. Outcome is "done", "failed",
// "retried", "released" (at the end of this process) or "lost".
type Metrics interface {
	JobStarted(kind string)
	JobEnded(kind, outcome string, took time.Duration)
}

// Config is what a Queue stands on. A zero duration or number takes the
// default.
type Config struct {
	DB      *catalog.DB
	Clock   clock.Clock
	Log     *slog.Logger
	Metrics Metrics // may be nil

	// WorkerDir holds a lock file for each worker, so it lies on a file
	// system of this host; it is made if missing. Host names this host.
	WorkerDir string
	Host      string

	Lease       time.Duration // until another host may take a job over; 60 s
	Heartbeat   time.Duration // how often the lease is extended; 10 s
	Poll        time.Duration // how often to look for work unasked; 1 s
	RetryBase   time.Duration // wait after the first failure, doubled by each; 5 s
	RetryMax    time.Duration // the longest wait; 10 minutes
	MaxAttempts int           // failures until a job fails for good; 8
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.Lease, time.Minute},
		{&c.Heartbeat, 10 * time.Second},
		{&c.Poll, time.Second},
		{&c.RetryBase, 5 * time.Second},
		{&c.RetryMax, 10 * time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.MaxAttempts == 0 {
		c.MaxAttempts = 8
	}
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
}

type noMetrics struct{}

func (noMetrics) JobStarted(string)                      {}
func (noMetrics) JobEnded(string, string, time.Duration) {}

// Queue is this process's part in the queue: a worker. Its methods may be
// called concurrently.
type Queue struct {
	cfg    Config
	db     *catalog.DB
	worker *worker

	mu     sync.Mutex
	active map[string]*Run // by job id: what this process runs
	wakers map[chan struct{}]struct{}
}

// Open registers this process as a worker.
func Open(ctx context.Context, cfg Config) (*Queue, error) {
	cfg.setDefaults()
	w, err := newWorker(cfg.WorkerDir, cfg.Host)
	if err != nil {
		return nil, fmt.Errorf("become a worker: %w", err)
	}
	q := &Queue{cfg: cfg, db: cfg.DB, worker: w, active: map[string]*Run{}, wakers: map[chan struct{}]struct{}{}}
	err = q.db.Update(ctx, func(tx *catalog.Tx) error { return q.register(ctx, tx) })
	if err == nil {
		err = q.sweepFiles(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("become a worker: %w", err), w.end())
	}
	return q, nil
}

// Close ends this worker. Serve and the like must have returned; what they
// could not put back is put back now.
func (q *Queue) Close(ctx context.Context) error {
	err := q.db.Update(ctx, func(tx *catalog.Tx) error { return bury(ctx, tx, q.worker.id, released) })
	return errors.Join(err, q.worker.end())
}

// Enqueue adds a job in the caller's transaction and wakes this process's
// runners at the commit.
func (q *Queue) Enqueue(ctx context.Context, tx *catalog.Tx, n New) (Job, error) {
	tx.OnCommit(q.Wake)
	return enqueue(ctx, tx, n, "")
}

// Reserve adds a job that only this process runs, by RunReserved, as long as
// it lives.
func (q *Queue) Reserve(ctx context.Context, tx *catalog.Tx, n New) (Job, error) {
	return enqueue(ctx, tx, n, q.worker.id)
}

// Wake makes this process's runners look for work at once.
func (q *Queue) Wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for w := range q.wakers {
		select {
		case w <- struct{}{}:
		default: // it will look anyway
		}
	}
}

func (q *Queue) subscribe() (wake chan struct{}, unsubscribe func()) {
	wake = make(chan struct{}, 1)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wakers[wake] = struct{}{}
	return wake, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.wakers, wake)
	}
}

// Retry wraps an error that goes away by itself: the job is put back, for at
// least the given time.
func Retry(err error, after time.Duration) error {
	return &retryError{err, after}
}

type retryError struct {
	err   error
	after time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// retryable reports whether a job may succeed when it runs again, and the
// least time to wait.
func retryable(err error) (time.Duration, bool) {
	var r *retryError
	if errors.As(err, &r) {
		return r.after, true
	}
	return 0, backup.KindOf(err) == backup.Unavailable
}
