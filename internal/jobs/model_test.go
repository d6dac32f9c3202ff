package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
)

// modelJob is what the queue must know of a job.
type modelJob struct {
	id, project, lane string
	state             jobs.State
	attempt           int64
	runAfter          time.Time
	cancel            bool
}

// model is the queue in memory: its jobs in the order in which they were
// asked for.
type model struct {
	t       *testing.T
	w       *world
	queues  []*jobs.Queue
	jobs    []*modelJob
	running map[string]*claimed
}

type claimed struct {
	run   *jobs.Run
	queue *jobs.Queue
}

// next returns the job that must be claimed next.
func (m *model) next() *modelJob {
	now := m.w.clock.Now()
	load, busy := map[string]int{}, map[string]bool{}
	for _, j := range m.jobs {
		if j.state == jobs.Running {
			load[j.project]++
			busy[j.lane] = true
		}
	}
	var best *modelJob
	ahead := map[string]bool{}
	for _, j := range m.jobs {
		if j.state != jobs.Queued {
			continue
		}
		due := !j.runAfter.After(now)
		free := j.lane == "" || !busy[j.lane] && !ahead[j.lane]
		if due && free && (best == nil || load[j.project] < load[best.project]) {
			best = j
		}
		if due || j.attempt > 0 {
			ahead[j.lane] = true
		}
	}
	return best
}

func (m *model) enqueue(rt *rapid.T) {
	n := jobs.New{
		Kind:      "k",
		ProjectID: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "project"),
		Lane:      rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "lane"),
		RunAfter:  m.w.clock.Now().Add(time.Duration(rapid.IntRange(-1, 2).Draw(rt, "delay")) * time.Second),
	}
	j := m.w.enqueue(m.t, n)
	m.jobs = append(m.jobs, &modelJob{id: j.ID, project: n.ProjectID, lane: n.Lane, state: jobs.Queued, runAfter: j.RunAfter})
}

func (m *model) claim(rt *rapid.T) {
	q := rapid.SampledFrom(m.queues).Draw(rt, "queue")
	want := m.next()
	r, err := q.Claim(m.t.Context(), "k")
	if err != nil {
		rt.Fatal(err)
	}
	if (r == nil) != (want == nil) || r != nil && r.Job.ID != want.id {
		rt.Fatalf("claimed %+v, want %+v", r, want)
	}
	if r == nil {
		return
	}
	want.state = jobs.Running
	want.attempt++
	m.running[want.id] = &claimed{run: r, queue: q}
}

// pick draws one of the jobs that a condition holds for.
func (m *model) pick(rt *rapid.T, ok func(*modelJob) bool) *modelJob {
	var some []*modelJob
	for _, j := range m.jobs {
		if ok(j) {
			some = append(some, j)
		}
	}
	if len(some) == 0 {
		rt.Skip("there is none")
	}
	return rapid.SampledFrom(some).Draw(rt, "job")
}

func isRunning(j *modelJob) bool { return j.state == jobs.Running }

func (m *model) settle(rt *rapid.T) {
	j := m.pick(rt, isRunning)
	c := m.running[j.id]
	delete(m.running, j.id)
	var result error
	switch rapid.IntRange(0, 2).Draw(rt, "result") {
	case 0:
		j.state = jobs.Done
	case 1:
		result, j.state = errors.New("broken"), jobs.Failed
	case 2:
		result, j.state = jobs.Retry(backup.Errorf(backup.Unavailable, "away"), 0), jobs.Queued
	}
	if j.cancel && result != nil {
		j.state = jobs.Failed
	}
	if _, err := c.queue.Settle(m.t.Context(), c.run, funcs{}, result); err != nil {
		rt.Fatal(err)
	}
	j.runAfter = m.w.job(m.t, j.id).RunAfter
}

// lose makes a worker know nothing of what it runs, which is then put back.
func (m *model) lose(rt *rapid.T) {
	j := m.pick(rt, isRunning)
	c := m.running[j.id]
	delete(m.running, j.id)
	c.queue.Forget(c.run)
	if err := c.queue.Reap(m.t.Context()); err != nil {
		rt.Fatal(err)
	}
	j.state, j.runAfter = jobs.Queued, m.w.clock.Now()
}

func (m *model) cancel(rt *rapid.T) {
	j := m.pick(rt, func(j *modelJob) bool { return j.state == jobs.Queued })
	m.w.update(m.t, func(ctx context.Context, tx *catalog.Tx) error { return jobs.Cancel(ctx, tx, j.id) })
	j.cancel, j.lane, j.runAfter = true, "", m.w.clock.Now()
}

func (m *model) wait(rt *rapid.T) {
	m.w.clock.Advance(time.Duration(rapid.IntRange(0, 3).Draw(rt, "seconds")) * time.Second)
}

// check compares every job with what it must be.
func (m *model) check(rt *rapid.T) {
	lanes := map[string]int{}
	for _, j := range m.jobs {
		got := m.w.job(m.t, j.id)
		if got.State != j.state || got.Attempt != j.attempt || got.Cancel != j.cancel || !got.RunAfter.Equal(j.runAfter) {
			rt.Fatalf("job is %+v, want %+v", got, j)
		}
		if got.State == jobs.Running && got.Lane != "" {
			lanes[got.Lane]++
		}
	}
	for lane, n := range lanes {
		if n > 1 {
			rt.Fatalf("%d jobs of lane %s run", n, lane)
		}
	}
}

// Whatever happens to the jobs, the one that is claimed is the one that the
// rules say.
func TestQueueKeepsItsRules(t *testing.T) {
	eachDB(t, func(t *testing.T, w *world) {
		var queues []*jobs.Queue
		for i := range 2 {
			queues = append(queues, w.queue(t, func(c *jobs.Config) {
				c.Host, c.RetryBase = fmt.Sprint("h", i), time.Second
				c.Lease = 1000 * time.Hour
			}))
		}
		rapid.Check(t, func(rt *rapid.T) {
			w.update(t, func(ctx context.Context, tx *catalog.Tx) error {
				_, err := tx.Exec(ctx, "DELETE FROM jobs")
				return err
			})
			m := &model{t: t, w: w, queues: queues, running: map[string]*claimed{}}
			defer func() {
				for _, c := range m.running {
					c.queue.Forget(c.run)
				}
			}()
			actions := []func(*rapid.T){m.enqueue, m.enqueue, m.claim, m.claim, m.settle, m.lose, m.cancel, m.wait}
			rt.Repeat(map[string]func(*rapid.T){
				"":     m.check,
				"step": func(rt *rapid.T) { rapid.SampledFrom(actions).Draw(rt, "action")(rt) },
			})
		})
	})
}
