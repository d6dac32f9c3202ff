package jobs_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

func TestRunNow(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q, other := w.queue(t, nil), w.queue(t, nil)
		j, err := q.RunNow(t.Context(), jobs.New{Kind: "k", Lane: "l"}, one(func(_ context.Context, r *jobs.Run) error {
			if processOne(t, other, one(nil)) {
				t.Error("another worker took it")
			}
			return nil
		}))
		if err != nil || j.State != jobs.Done {
			t.Errorf("%+v, %v", j, err)
		}
		j, err = q.RunNow(t.Context(), jobs.New{Kind: "k"}, (&failing{run: errors.New("broken")}).handlers())
		if err != nil || j.State != jobs.Failed || j.Error != "broken" {
			t.Errorf("%+v, %v", j, err)
		}
	})
}

func reserve(t *testing.T, w *world, q *jobs.Queue, n jobs.New) jobs.Job {
	t.Helper()
	var j jobs.Job
	w.update(t, func(ctx context.Context, tx *catalog.Tx) (err error) {
		j, err = q.Reserve(ctx, tx, n)
		return err
	})
	return j
}

// What is ahead in the lane runs first, even if nobody else is there to do it.
func TestReservedJobWaitsForItsTurn(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		var order []string
		var mu sync.Mutex
		handlers := one(func(_ context.Context, r *jobs.Run) error {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, r.Job.Subject)
			return nil
		})
		w.enqueue(t, jobs.New{Kind: "k", Lane: "other", Subject: "other lane"})
		w.enqueue(t, jobs.New{Kind: "k", Lane: "l", Subject: "ahead"})
		mine := reserve(t, w, q, jobs.New{Kind: "k", Lane: "l", Subject: "mine"})
		w.enqueue(t, jobs.New{Kind: "k", Lane: "l", Subject: "behind"})
		if j, err := q.RunReserved(t.Context(), mine.ID, handlers); err != nil || j.State != jobs.Done {
			t.Errorf("%+v, %v", j, err)
		}
		if want := []string{"ahead", "mine"}; !slices.Equal(order, want) {
			t.Errorf("ran %v", order)
		}
	})
}

func TestReservedJobIsLeftToOthers(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q, other := w.queue(t, nil), w.queue(t, nil)
		mine := reserve(t, w, q, jobs.New{Kind: "k"})
		if processOne(t, other, one(nil)) {
			t.Error("another worker took it")
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err := q.RunReserved(ctx, mine.ID, one(func(ctx context.Context, _ *jobs.Run) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if !processOne(t, other, one(nil)) || w.job(t, mine.ID).State != jobs.Done {
			t.Error("it was not left to others")
		}
	})
}

func TestReservationEndsWithItsWorker(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		gone, err := jobs.Open(t.Context(), jobs.Config{DB: w.db, Clock: w.clock, WorkerDir: w.dir, Host: "h1"})
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := w.queue(t, func(c *jobs.Config) { c.Host = "h2" })
		first := reserve(t, w, gone, jobs.New{Kind: "k"})
		second := reserve(t, w, elsewhere, jobs.New{Kind: "k"})
		if err := gone.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !processOne(t, q, one(nil)) || w.job(t, first.ID).State != jobs.Done || processOne(t, q, one(nil)) {
			t.Error("the job of the worker that ended, and no other, was to run")
		}
		w.clock.Advance(2 * time.Minute)
		if !processOne(t, q, one(nil)) || w.job(t, second.ID).State != jobs.Done {
			t.Error("the job of the silent worker was to run")
		}
	})
}

func TestReservedJobIsCancelled(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		mine := reserve(t, w, q, jobs.New{Kind: "k", Lane: "l"})
		w.update(t, func(ctx context.Context, tx *catalog.Tx) error { return jobs.Cancel(ctx, tx, mine.ID) })
		f := &failing{}
		if j, err := q.RunReserved(t.Context(), mine.ID, f.handlers()); err != nil || j.State != jobs.Failed || len(f.causes) != 1 {
			t.Errorf("%+v, %v", j, err)
		}
	})
}
