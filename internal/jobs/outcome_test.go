package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/obs"
)

// failing is a handler whose Run returns an error, and which remembers what
// Fail was told.
type failing struct {
	run    error
	causes []error
}

func (f *failing) handlers() map[string]jobs.Handler {
	return map[string]jobs.Handler{"k": funcs{
		run: func(context.Context, *jobs.Run) error { return f.run },
		fail: func(ctx context.Context, tx *catalog.Tx, _ jobs.Job, cause error) error {
			f.causes = append(f.causes, cause)
			return tx.LockProject(ctx, "failed")
		},
	}}
}

// failRecorded reports whether what Fail wrote was committed.
func failRecorded(t *testing.T, w *world) bool {
	t.Helper()
	var n int64
	w.update(t, func(ctx context.Context, tx *catalog.Tx) error {
		return tx.QueryRow(ctx, "SELECT COUNT(*) FROM projects WHERE id = 'failed'").Scan(&n)
	})
	return n == 1
}

func TestErrorFailsTheJob(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k"})
		f := &failing{run: backup.Errorf(backup.Corrupt, "pack\x00 is damaged\xff")}
		processOne(t, q, f.handlers())
		got := w.job(t, j.ID)
		if got.State != jobs.Failed || got.Error != `pack\0 is damaged?` || !got.EndedAt.Equal(start) {
			t.Errorf("job is %+v", got)
		}
		if len(f.causes) != 1 || backup.KindOf(f.causes[0]) != backup.Corrupt || !failRecorded(t, w) {
			t.Errorf("Fail was told %v", f.causes)
		}
	})
}

func TestUnavailableIsTriedAgainLater(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, func(c *jobs.Config) { c.RetryBase, c.RetryMax, c.MaxAttempts = 4*time.Second, 10*time.Second, 5 })
		j := w.enqueue(t, jobs.New{Kind: "k", Lane: "l"})
		behind := w.enqueue(t, jobs.New{Kind: "k", Lane: "l"})
		f := &failing{run: backup.Errorf(backup.Unavailable, "the store is away")}
		for i, wait := range []time.Duration{4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
			if !processOne(t, q, f.handlers()) {
				t.Fatalf("no try %d", i+1)
			}
			got := w.job(t, j.ID)
			after := got.RunAfter.Sub(w.clock.Now())
			if got.State != jobs.Queued || got.Failures != int64(i+1) || after < wait || after > wait*5/4 {
				t.Errorf("after try %d: %s, %d failures, again in %v", i+1, got.State, got.Failures, after)
			}
			if processOne(t, q, f.handlers()) {
				t.Error("something ran before its time or out of its turn")
			}
			w.clock.Set(got.RunAfter)
		}
		processOne(t, q, f.handlers())
		if got := w.job(t, j.ID); got.State != jobs.Failed || len(f.causes) != 1 {
			t.Errorf("after the last try: %s, Fail was told %v", got.State, f.causes)
		}
		f.run = nil
		processOne(t, q, f.handlers())
		if w.job(t, behind.ID).State != jobs.Done {
			t.Error("the lane's next did not run")
		}
	})
}

func TestRetryWaitsAtLeastAsLongAsAsked(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k"})
		cause := errors.New("rate limited")
		processOne(t, q, (&failing{run: jobs.Retry(cause, time.Hour)}).handlers())
		got := w.job(t, j.ID)
		if got.State != jobs.Queued || !got.RunAfter.Equal(start.Add(time.Hour)) || got.Error != cause.Error() {
			t.Errorf("job is %+v", got)
		}
		if !errors.Is(jobs.Retry(cause, 0), cause) {
			t.Error("the cause is hidden")
		}
	})
}

// What a handler logs can be traced to its job and to the request.
func TestHandlersContextCarriesIDs(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k", RequestID: "req-1"})
		h := (&failing{}).handlers()["k"].(funcs)
		var job, request string
		h.run = func(ctx context.Context, _ *jobs.Run) error {
			job, request = obs.JobID(ctx), obs.RequestID(ctx)
			return nil
		}
		processOne(t, q, map[string]jobs.Handler{"k": h})
		if job != j.ID || request != "req-1" {
			t.Errorf("job id %q, request id %q", job, request)
		}
	})
}

func TestPanicFailsTheJob(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k"})
		f := &failing{}
		h := f.handlers()["k"].(funcs)
		h.run = func(context.Context, *jobs.Run) error { panic("oops") }
		processOne(t, q, map[string]jobs.Handler{"k": h})
		if got := w.job(t, j.ID); got.State != jobs.Failed || !strings.Contains(got.Error, "oops") {
			t.Errorf("job is %+v", got)
		}
		if len(f.causes) != 1 || backup.KindOf(f.causes[0]) != backup.Internal {
			t.Errorf("Fail was told %v", f.causes)
		}
	})
}

func TestFailureThatCannotBeRecordedIsTriedAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("no") },
		"panic": func() error { panic("no") },
	} {
		t.Run(name, func(t *testing.T) {
			eachDB(t, func(t *testing.T, w *world) {
				q := w.queue(t, nil)
				j := w.enqueue(t, jobs.New{Kind: "k"})
				processOne(t, q, map[string]jobs.Handler{"k": funcs{
					run: func(context.Context, *jobs.Run) error { return errors.New("first") },
					fail: func(ctx context.Context, tx *catalog.Tx, _ jobs.Job, _ error) error {
						return errors.Join(tx.LockProject(ctx, "failed"), fail())
					},
				}})
				got := w.job(t, j.ID)
				if got.State != jobs.Queued || !got.RunAfter.After(start) || !strings.Contains(got.Error, "first") || failRecorded(t, w) {
					t.Errorf("job is %+v", got)
				}
				w.clock.Set(got.RunAfter)
				f := &failing{run: errors.New("second")}
				processOne(t, q, f.handlers())
				if got := w.job(t, j.ID); got.State != jobs.Failed || !failRecorded(t, w) {
					t.Errorf("job is %+v", got)
				}
			})
		})
	}
}

// The database is away when the failure is to be recorded, and comes back.
func TestRecordingWaitsForTheDatabase(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k"})
		calls := 0
		processOne(t, q, map[string]jobs.Handler{"k": funcs{
			run: func(context.Context, *jobs.Run) error { return errors.New("broken") },
			fail: func(context.Context, *catalog.Tx, jobs.Job, error) error {
				if calls++; calls == 1 {
					return backup.Errorf(backup.Unavailable, "the database is away")
				}
				return nil
			},
		}})
		if got := w.job(t, j.ID); got.State != jobs.Failed || got.Attempt != 1 || calls != 2 {
			t.Errorf("job is %+v after %d calls", got, calls)
		}
	})
}

func TestDoneInTheHandlersOwnTransaction(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		j := w.enqueue(t, jobs.New{Kind: "k"})
		processOne(t, q, one(func(ctx context.Context, r *jobs.Run) error {
			boom := errors.New("boom")
			end := func(err error) error {
				return w.db.Update(ctx, func(tx *catalog.Tx) error {
					return errors.Join(r.Guard(ctx, tx), r.Done(ctx, tx), err)
				})
			}
			if err := end(boom); !errors.Is(err, boom) {
				t.Errorf("rolled back: %v", err)
			}
			if got := w.job(t, j.ID).State; got != jobs.Running {
				t.Errorf("after the rollback: %s", got)
			}
			r.Progress("all")
			if err := end(nil); err != nil {
				t.Error(err)
			}
			return errors.New("an error after the end changes nothing")
		}))
		if got := w.job(t, j.ID); got.State != jobs.Done || string(got.Progress) != `"all"` {
			t.Errorf("job is %+v", got)
		}
	})
}

func TestCancelOfAQueuedJob(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		ahead := w.enqueue(t, jobs.New{Kind: "k", Lane: "l"})
		r, err := q.Claim(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		j := w.enqueue(t, jobs.New{Kind: "k", Lane: "l", RunAfter: start.Add(time.Hour)})
		w.update(t, func(ctx context.Context, tx *catalog.Tx) error { return jobs.Cancel(ctx, tx, j.ID) })
		f := &failing{}
		h := f.handlers()["k"].(funcs)
		h.run = func(_ context.Context, r *jobs.Run) error {
			t.Errorf("job %s ran", r.Job.ID)
			return nil
		}
		if !processOne(t, q, map[string]jobs.Handler{"k": h}) { // though its lane is busy
			t.Fatal("nothing was claimed")
		}
		if got := w.job(t, j.ID); got.State != jobs.Failed || len(f.causes) != 1 || backup.KindOf(f.causes[0]) != backup.Canceled {
			t.Errorf("job is %+v, Fail was told %v", got, f.causes)
		}
		if _, err := q.Settle(t.Context(), r, h, nil); err != nil || w.job(t, ahead.ID).State != jobs.Done {
			t.Errorf("the one ahead: %v", err)
		}
		w.update(t, func(ctx context.Context, tx *catalog.Tx) error { return jobs.Cancel(ctx, tx, ahead.ID) })
		if got := w.job(t, ahead.ID); got.Cancel || got.State != jobs.Done {
			t.Errorf("a job that has ended was cancelled: %+v", got)
		}
	})
}

func TestCancelOfARunningJob(t *testing.T) {
	for name, change := range map[string]func(*jobs.Config){
		"by heartbeat": func(c *jobs.Config) { c.Poll = time.Hour },
		"by poll":      func(c *jobs.Config) { c.Heartbeat = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			eachDB(t, func(t *testing.T, w *world) {
				j := w.enqueue(t, jobs.New{Kind: "k"})
				started, told := make(chan struct{}), make(chan error, 1)
				stop := serve(t, w.queue(t, change), 1, map[string]jobs.Handler{"k": funcs{
					run: func(ctx context.Context, r *jobs.Run) error {
						close(started)
						<-ctx.Done()
						if backup.KindOf(context.Cause(ctx)) != backup.Canceled {
							t.Errorf("the cause is %v", context.Cause(ctx))
						}
						return errors.New("stopped")
					},
					fail: func(_ context.Context, _ *catalog.Tx, _ jobs.Job, cause error) error {
						told <- cause
						return nil
					},
				}})
				next(t, started)
				w.update(t, func(ctx context.Context, tx *catalog.Tx) error { return jobs.Cancel(ctx, tx, j.ID) })
				if cause := next(t, told); backup.KindOf(cause) != backup.Canceled {
					t.Errorf("Fail was told %v", cause)
				}
				stop()
				if got := w.job(t, j.ID); got.State != jobs.Failed {
					t.Errorf("job is %+v", got)
				}
			})
		})
	}
}

func TestProgressIsStoredByHeartbeats(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, func(c *jobs.Config) { c.Heartbeat = time.Hour })
		j := w.enqueue(t, jobs.New{Kind: "k"})
		r, err := q.Claim(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []struct {
			give any
			want string
		}{{nil, ""}, {3, "3"}, {map[string]int{"a": 1}, `{"a":1}`}} {
			r.Progress(p.give)
			if err := r.Beat(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := string(w.job(t, j.ID).Progress); got != p.want {
				t.Errorf("progress is %q, want %q", got, p.want)
			}
		}
		if _, err := q.Settle(t.Context(), r, funcs{}, nil); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOldJobsArePruned(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		old := w.enqueue(t, jobs.New{Kind: "k"})
		processOne(t, q, one(nil))
		w.clock.Advance(8 * 24 * time.Hour)
		recent := w.enqueue(t, jobs.New{Kind: "k"})
		processOne(t, q, one(nil))
		waiting := w.enqueue(t, jobs.New{Kind: "k"})
		if err := q.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.update(t, func(ctx context.Context, tx *catalog.Tx) error {
			for id, kept := range map[string]bool{old.ID: false, recent.ID: true, waiting.ID: true} {
				if _, err := jobs.Get(ctx, tx, id); (err == nil) != kept {
					t.Errorf("kept is %v, want %v", err == nil, kept)
				}
			}
			return nil
		})
	})
}
