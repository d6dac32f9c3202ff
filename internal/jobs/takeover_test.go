package jobs_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/jobs"
)

// A worker elsewhere that stopped its heartbeats loses its job when the lease
// ends, and can change nothing when it comes back.
func TestZombieIsFenced(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		silent := w.queue(t, func(c *jobs.Config) { c.Heartbeat, c.Host = time.Hour, "h2" })
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k", Lane: "l"})
		zombie, err := silent.Claim(t.Context(), "k")
		if err != nil || zombie == nil {
			t.Fatal(err)
		}
		w.clock.Advance(time.Minute)
		if processOne(t, q, one(nil)) {
			t.Fatal("taken over before the lease has ended")
		}
		w.clock.Advance(time.Microsecond)
		processOne(t, q, one(func(ctx context.Context, r *jobs.Run) error {
			if r.Job.Attempt != 2 || r.Job.Crashes != 1 {
				t.Errorf("taken over as %+v", r.Job)
			}
			guard := func(r *jobs.Run) error {
				return w.db.Update(ctx, func(tx *catalog.Tx) error { return r.Guard(ctx, tx) })
			}
			if err := guard(zombie); !errors.Is(err, jobs.ErrLost) {
				t.Errorf("the zombie's guard: %v", err)
			}
			if err := zombie.Beat(ctx); err != nil {
				t.Error(err)
			}
			if err := guard(r); err != nil {
				t.Errorf("after the zombie's heartbeat: %v", err)
			}
			return nil
		}))
		h := funcs{fail: func(context.Context, *catalog.Tx, jobs.Job, error) error {
			t.Error("Fail was called for a zombie")
			return nil
		}}
		for _, result := range []error{nil, errors.New("broken"), backup.Errorf(backup.Unavailable, "away")} {
			if outcome, err := silent.Settle(t.Context(), zombie, h, result); outcome != "lost" || err != nil {
				t.Errorf("the zombie's %v was recorded as %s, %v", result, outcome, err)
			}
		}
		if got := w.job(t, j.ID); got.State != jobs.Done || got.Attempt != 2 {
			t.Errorf("job is %+v", got)
		}
	})
}

// A heartbeat may find the job ended before the handler hears that its last
// transaction is committed. Nothing is lost then.
func TestHeartbeatBeforeTheHandlerHearsOfItsCommit(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		j := w.enqueue(t, jobs.New{Kind: "k"})
		q := w.queue(t, func(c *jobs.Config) { c.Heartbeat = time.Hour })
		processOne(t, q, one(func(ctx context.Context, r *jobs.Run) error {
			err := w.db.Update(ctx, func(tx *catalog.Tx) error {
				tx.OnCommit(func() {
					if err := r.Beat(context.WithoutCancel(ctx)); err != nil {
						t.Error(err)
					}
				})
				return r.Done(ctx, tx)
			})
			if ctx.Err() != nil {
				t.Errorf("the handler was stopped: %v", context.Cause(ctx))
			}
			return err
		}))
		if got := w.job(t, j.ID); got.State != jobs.Done {
			t.Errorf("job is %+v", got)
		}
	})
}

// The handler of a lost job is told by the heartbeat.
func TestLossStopsTheHandler(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		j := w.enqueue(t, jobs.New{Kind: "k"})
		q := w.queue(t, nil)
		processOne(t, q, one(func(ctx context.Context, r *jobs.Run) error {
			w.update(t, func(ctx context.Context, tx *catalog.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE jobs SET attempt = 9, worker = 'w' WHERE id = $1", j.ID)
				return err
			})
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), jobs.ErrLost) {
				t.Errorf("the cause is %v", context.Cause(ctx))
			}
			return ctx.Err()
		}))
		if got := w.job(t, j.ID); got.State != jobs.Running || got.Attempt != 9 {
			t.Errorf("job is %+v", got)
		}
	})
}

// On one host the lock decides, whatever the lease says.
func TestLiveNeighbourKeepsItsJob(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		slow := w.queue(t, func(c *jobs.Config) { c.Heartbeat = time.Hour })
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k"})
		r, err := slow.Claim(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		w.clock.Advance(24 * time.Hour)
		if processOne(t, q, one(nil)) {
			t.Error("a living neighbour's job was taken over")
		}
		if outcome, err := slow.Settle(t.Context(), r, funcs{}, nil); outcome != "done" || err != nil {
			t.Errorf("its end: %s, %v", outcome, err)
		}
		if got := w.job(t, j.ID); got.State != jobs.Done || got.Attempt != 1 {
			t.Errorf("job is %+v", got)
		}
	})
}

// Two folders of one path on two machines, or copies of one, are two places.
func TestPlacesAreToldApart(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		other := w.queue(t, func(c *jobs.Config) { c.WorkerDir = filepath.Join(t.TempDir(), "workers") })
		q := w.queue(t, nil)
		w.enqueue(t, jobs.New{Kind: "k"})
		r, err := other.Claim(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if processOne(t, q, one(nil)) {
			t.Error("a worker was taken for dead because its file lies elsewhere")
		}
		if outcome, err := other.Settle(t.Context(), r, funcs{}, nil); outcome != "done" || err != nil {
			t.Errorf("%s, %v", outcome, err)
		}
	})
}

// A claim whose commit was done though its answer was lost is put back.
func TestForgottenClaimIsPutBack(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k"})
		r, err := q.Claim(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Reap(t.Context()); err != nil || w.job(t, j.ID).State != jobs.Running {
			t.Errorf("a claim that is known was put back, or %v", err)
		}
		q.Forget(r)
		if !processOne(t, q, one(nil)) {
			t.Fatal("not put back")
		}
		if got := w.job(t, j.ID); got.State != jobs.Done || got.Attempt != 2 || got.Crashes != 0 {
			t.Errorf("job is %+v", got)
		}
	})
}

func TestJobThatKillsItsWorkersIsGivenUp(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k"})
		w.update(t, func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE jobs SET crashes = 21 WHERE id = $1", j.ID)
			return err
		})
		f := &failing{}
		processOne(t, q, f.handlers())
		if got := w.job(t, j.ID); got.State != jobs.Failed || len(f.causes) != 1 {
			t.Errorf("job is %+v, Fail was told %v", got, f.causes)
		}
	})
}

const childEnv = "HOLDFAST_JOBS_TEST_CHILD"

// childMain is another process: it runs one job that never ends.
func childMain() int {
	ctx := context.Background()
	args := strings.Split(os.Getenv(childEnv), "\n")
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := catalog.Open(ctx, catalog.Config{Path: args[0], URL: args[1], Clock: clock.Real{}, Log: log})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	q, err := jobs.Open(ctx, jobs.Config{DB: db, Clock: clock.Real{}, Log: log, WorkerDir: args[2], Host: "h1"})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_, err = q.RunNow(ctx, jobs.New{Kind: "k", Lane: "l", Subject: "child"}, one(func(context.Context, *jobs.Run) error {
		fmt.Println("running")
		select {}
	}))
	fmt.Println(err)
	return 1
}

// A process is killed in the middle of a job: another one of the same host
// takes it over at once, long before the lease ends.
func TestKilledProcess(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		w.clock.Set(time.Now())
		q := w.queue(t, nil)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{w.cfg.Path, w.cfg.URL, w.dir}, "\n"))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if line != "running\n" {
			t.Errorf("the child says %q, %v", line, err)
		}
		if processOne(t, q, one(nil)) {
			t.Error("the job was taken from a living process")
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
		ran := processOne(t, q, one(func(_ context.Context, r *jobs.Run) error {
			if r.Job.Subject != "child" || r.Job.Attempt != 2 || r.Job.Crashes != 1 {
				t.Errorf("taken over as %+v", r.Job)
			}
			return nil
		}))
		if !ran {
			t.Error("the job was not taken over")
		}
		checkFiles(t, w)
	})
}

// checkFiles checks that only the one living worker has left traces.
func checkFiles(t *testing.T, w *world) {
	t.Helper()
	locks, err := filepath.Glob(filepath.Join(w.dir, "*.lock"))
	if err != nil || len(locks) != 1 {
		t.Errorf("lock files: %v, %v", locks, err)
	}
	w.update(t, func(ctx context.Context, tx *catalog.Tx) error {
		var n int64
		err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM workers").Scan(&n)
		if n != 1 {
			t.Errorf("%d workers are registered", n)
		}
		return err
	})
}

func TestLockFilesOfNobodyAreRemoved(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		if err := os.MkdirAll(w.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"0b6e5d5e-3f2c-4a57-9d6c-6a4d2e1f0c3b.lock", "notes.lock"} {
			if err := os.WriteFile(filepath.Join(w.dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.queue(t, nil)
		if err := os.Remove(filepath.Join(w.dir, "notes.lock")); err != nil {
			t.Errorf("a file that is no worker's: %v", err)
		}
		checkFiles(t, w)
	})
}
