package jobs_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/jobs"
	"holdfast/internal/pgtest"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(childMain())
	}
	os.Exit(pgtest.Main(m))
}

// world is one database and the clock that all its workers go by.
type world struct {
	db    *catalog.DB
	cfg   catalog.Config
	clock *clock.Fake
	dir   string
}

// eachDB runs a test on both databases, beside other tests.
func eachDB(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	run := func(cfg catalog.Config, w *world, t *testing.T) {
		w.clock = clock.NewFake(start)
		cfg.Clock, cfg.Log = w.clock, slog.New(slog.NewTextHandler(io.Discard, nil))
		db, err := catalog.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		w.db, w.cfg = db, cfg
		f(t, w)
	}
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		run(catalog.Config{Path: filepath.Join(dir, "catalog.db")}, &world{dir: filepath.Join(dir, "workers")}, t)
	})
	t.Run("postgres", func(t *testing.T) {
		run(catalog.Config{URL: pgtest.URL(t)}, &world{dir: filepath.Join(t.TempDir(), "workers")}, t)
	})
}

// queue opens a worker in the world's place; change may alter its
// configuration.
func (w *world) queue(t *testing.T, change func(*jobs.Config)) *jobs.Queue {
	t.Helper()
	cfg := jobs.Config{
		DB: w.db, Clock: w.clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		WorkerDir: w.dir, Host: "h1", Poll: 5 * time.Millisecond, Heartbeat: 5 * time.Millisecond,
	}
	if change != nil {
		change(&cfg)
	}
	q, err := jobs.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return q
}

func (w *world) enqueue(t *testing.T, n jobs.New) jobs.Job {
	t.Helper()
	var j jobs.Job
	w.update(t, func(ctx context.Context, tx *catalog.Tx) (err error) {
		j, err = jobs.Enqueue(ctx, tx, n)
		return err
	})
	return j
}

func (w *world) update(t *testing.T, f func(context.Context, *catalog.Tx) error) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := w.db.Update(ctx, func(tx *catalog.Tx) error { return f(ctx, tx) }); err != nil {
		t.Fatal(err)
	}
}

func (w *world) job(t *testing.T, id string) jobs.Job {
	t.Helper()
	var j jobs.Job
	ctx := context.WithoutCancel(t.Context())
	err := w.db.View(ctx, func(tx *catalog.Tx) (err error) {
		j, err = jobs.Get(ctx, tx, id)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// funcs is a handler made of functions; nil ones do nothing.
type funcs struct {
	run  func(ctx context.Context, r *jobs.Run) error
	fail func(ctx context.Context, tx *catalog.Tx, j jobs.Job, cause error) error
}

func (f funcs) Run(ctx context.Context, r *jobs.Run) error {
	if f.run == nil {
		return nil
	}
	return f.run(ctx, r)
}

func (f funcs) Fail(ctx context.Context, tx *catalog.Tx, j jobs.Job, cause error) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(ctx, tx, j, cause)
}

// one returns handlers for kind "k".
func one(run func(ctx context.Context, r *jobs.Run) error) map[string]jobs.Handler {
	return map[string]jobs.Handler{"k": funcs{run: run}}
}

// serve runs a queue until the test calls stop, which waits for its end.
func serve(t *testing.T, q *jobs.Queue, n int, handlers map[string]jobs.Handler) (stop func()) {
	t.Helper()
	var kinds []string
	for k := range handlers {
		kinds = append(kinds, k)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := q.Serve(ctx, []jobs.Pool{{Kinds: kinds, N: n}}, handlers); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(stop)
	return stop
}

// next reads from a channel and fails where nothing comes.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing happened for 30 seconds")
		panic("unreachable")
	}
}

func processOne(t *testing.T, q *jobs.Queue, handlers map[string]jobs.Handler) bool {
	t.Helper()
	ok, err := q.ProcessOne(t.Context(), handlers)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}
