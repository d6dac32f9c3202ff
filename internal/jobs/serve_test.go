package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

func TestJobComesBackAsEnqueued(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		n := jobs.New{
			Kind: "k", ProjectID: "p", Lane: "l", Subject: "s", RequestID: "r",
			Payload: map[string]int{"n": 1}, RunAfter: start.Add(-time.Hour),
		}
		j := w.enqueue(t, n)
		w.clock.Advance(time.Second)
		var during jobs.Job
		processOne(t, q, one(func(_ context.Context, r *jobs.Run) error {
			during = r.Job
			return nil
		}))
		if during.ID != j.ID || during.State != jobs.Running || during.Attempt != 1 || string(during.Payload) != `{"n":1}` ||
			during.Lane != "l" || during.RequestID != "r" || !during.StartedAt.Equal(start.Add(time.Second)) || len(during.Progress) != 0 {
			t.Errorf("while it runs: %+v", during)
		}
		after := w.job(t, j.ID)
		if after.State != jobs.Done || !after.EndedAt.Equal(start.Add(time.Second)) || !after.CreatedAt.Equal(start) {
			t.Errorf("afterwards: %+v", after)
		}
		w.update(t, func(ctx context.Context, tx *catalog.Tx) error {
			open, err := jobs.Unfinished(ctx, tx, "s")
			if len(open) != 0 {
				t.Errorf("unfinished: %+v", open)
			}
			counts, err2 := jobs.Counts(ctx, tx)
			if !slices.Equal(counts, []jobs.Count{{Kind: "k", State: jobs.Done, N: 1}}) {
				t.Errorf("counts: %+v", counts)
			}
			_, err3 := jobs.Get(ctx, tx, "none")
			if backup.KindOf(err3) != backup.NotFound {
				t.Errorf("unknown job: %v", err3)
			}
			return errors.Join(err, err2)
		})
	})
}

func TestJobOfARolledBackTransactionIsNone(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		boom := errors.New("boom")
		err := w.db.Update(t.Context(), func(tx *catalog.Tx) error {
			_, err := q.Enqueue(t.Context(), tx, jobs.New{Kind: "k"})
			return errors.Join(err, boom)
		})
		if !errors.Is(err, boom) || processOne(t, q, one(nil)) {
			t.Errorf("it ran, or %v", err)
		}
	})
}

// Many runners of several workers, on two hosts: each job runs once.
func TestEachJobRunsOnce(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		const n = 60
		var mu sync.Mutex
		runs := map[string]int{}
		left := make(chan struct{}, 2*n)
		handlers := one(func(_ context.Context, r *jobs.Run) error {
			mu.Lock()
			runs[r.Job.ID]++
			mu.Unlock()
			left <- struct{}{}
			return nil
		})
		var ids []string
		for i := range n {
			ids = append(ids, w.enqueue(t, jobs.New{Kind: "k", ProjectID: fmt.Sprint(i % 3), Lane: fmt.Sprint("lane", i%20)}).ID)
		}
		var stops []func()
		for i := range 3 {
			q := w.queue(t, func(c *jobs.Config) { c.Host = fmt.Sprint("h", i%2) })
			stops = append(stops, serve(t, q, 4, handlers))
		}
		for range n {
			next(t, left)
		}
		for _, stop := range stops {
			stop()
		}
		for _, id := range ids {
			if j := w.job(t, id); j.State != jobs.Done || j.Attempt != 1 || runs[id] != 1 {
				t.Errorf("job ran %d times and is %s at attempt %d", runs[id], j.State, j.Attempt)
			}
		}
	})
}

func TestLaneIsInOrderAndOneAtATime(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		const lanes, each = 3, 6
		var mu sync.Mutex
		busy, order := map[string]int{}, map[string][]string{}
		left := make(chan struct{}, lanes*each)
		handlers := one(func(_ context.Context, r *jobs.Run) error {
			lane := r.Job.Lane
			mu.Lock()
			if busy[lane]++; busy[lane] > 1 {
				t.Errorf("two jobs of %s at once", lane)
			}
			order[lane] = append(order[lane], r.Job.Subject)
			mu.Unlock()
			defer func() {
				mu.Lock()
				busy[lane]--
				mu.Unlock()
				left <- struct{}{}
			}()
			return nil
		})
		var want []string
		for i := range each {
			want = append(want, fmt.Sprint(i))
			for l := range lanes {
				w.enqueue(t, jobs.New{Kind: "k", Lane: fmt.Sprint("lane", l), Subject: fmt.Sprint(i)})
			}
		}
		stops := []func(){serve(t, w.queue(t, nil), 3, handlers), serve(t, w.queue(t, nil), 3, handlers)}
		for range lanes * each {
			next(t, left)
		}
		for _, stop := range stops {
			stop()
		}
		for lane, got := range order {
			if !slices.Equal(got, want) {
				t.Errorf("%s ran in order %v", lane, got)
			}
		}
	})
}

func TestProjectsShareTheWorkers(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		for _, p := range []string{"a", "a", "a", "a", "b", "c"} {
			w.enqueue(t, jobs.New{Kind: "k", ProjectID: p})
			w.clock.Advance(time.Second)
		}
		started, hold := make(chan string, 6), make(chan struct{})
		stop := serve(t, w.queue(t, nil), 4, one(func(_ context.Context, r *jobs.Run) error {
			started <- r.Job.ProjectID
			<-hold
			return nil
		}))
		var got []string
		for range 4 {
			got = append(got, next(t, started))
		}
		close(hold)
		stop()
		slices.Sort(got) // the goroutines start in any order
		if want := []string{"a", "a", "b", "c"}; !slices.Equal(got, want) {
			t.Errorf("the first four were of %v", got)
		}
	})
}

func TestShutdownPutsJobsBack(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		j := w.enqueue(t, jobs.New{Kind: "k", Lane: "l"})
		started := make(chan struct{})
		q := w.queue(t, nil)
		stop := serve(t, q, 1, one(func(ctx context.Context, r *jobs.Run) error {
			r.Progress(map[string]int{"at": 7})
			close(started)
			<-ctx.Done()
			return fmt.Errorf("read: %w", ctx.Err())
		}))
		next(t, started)
		stop()
		back := w.job(t, j.ID)
		if back.State != jobs.Queued || back.Attempt != 1 || back.Failures != 0 || back.Crashes != 0 || string(back.Progress) != `{"at":7}` {
			t.Errorf("put back as %+v", back)
		}
		processOne(t, w.queue(t, nil), one(func(_ context.Context, r *jobs.Run) error {
			if r.Job.Attempt != 2 || string(r.Job.Progress) != `{"at":7}` {
				t.Errorf("goes on as %+v", r.Job)
			}
			return nil
		}))
		if j := w.job(t, j.ID); j.State != jobs.Done || string(j.Progress) != `{"at":7}` {
			t.Errorf("ended as %+v", j)
		}
	})
}

func TestWakeStartsWorkAtOnce(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, func(c *jobs.Config) { c.Poll = time.Hour })
		ran := make(chan struct{}, 2)
		serve(t, q, 1, one(func(context.Context, *jobs.Run) error {
			ran <- struct{}{}
			return nil
		}))
		for range 2 {
			w.update(t, func(ctx context.Context, tx *catalog.Tx) error {
				_, err := q.Enqueue(ctx, tx, jobs.New{Kind: "k"})
				return err
			})
			next(t, ran)
		}
	})
}

func TestDelayedJobDoesNotHoldItsLane(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		late := w.enqueue(t, jobs.New{Kind: "k", Lane: "l", RunAfter: start.Add(time.Hour)})
		soon := w.enqueue(t, jobs.New{Kind: "k", Lane: "l"})
		if !processOne(t, q, one(nil)) || w.job(t, soon.ID).State != jobs.Done || processOne(t, q, one(nil)) {
			t.Error("the job that was due did not run alone")
		}
		w.clock.Advance(time.Hour)
		if !processOne(t, q, one(nil)) || w.job(t, late.ID).State != jobs.Done {
			t.Error("the delayed job did not run")
		}
	})
}

func TestServeRefusesPoolsItCannotServe(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		q := w.queue(t, nil)
		for _, p := range []jobs.Pool{{Kinds: []string{"other"}, N: 1}, {Kinds: []string{"k"}}, {N: 1}} {
			if err := q.Serve(t.Context(), []jobs.Pool{p}, one(nil)); err == nil {
				t.Errorf("%+v was served", p)
			}
		}
	})
}
