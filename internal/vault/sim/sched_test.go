package sim_test

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
)

// errKilled is what every call of a process returns that is dead.
var errKilled = errors.New("the process is dead")

// scheduler lets one call of a store or fence happen at a time, in an order
// that its seed decides. Who calls waits until it is chosen.
type scheduler struct {
	rng *rand.Rand

	mu      sync.Mutex
	waiting []*call
}

// call is one that waits to be carried out.
type call struct {
	by   *process
	what string
	run  chan struct{}
}

// process is one attempt at a task. Dead, it has no effect any more.
type process struct {
	name string
	mu   sync.Mutex
	dead bool
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

func (p *process) killed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// wait blocks until the call may happen. A call of a dead process never does.
func (s *scheduler) wait(ctx context.Context, by *process, what string) error {
	c := &call{by: by, what: what, run: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, c)
	s.mu.Unlock()
	select {
	case <-c.run:
	case <-ctx.Done():
		s.drop(c)
		return context.Cause(ctx)
	}
	if by.killed() {
		return errKilled
	}
	return nil
}

func (s *scheduler) drop(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(x *call) bool { return x == c })
}

// next lets one of the waiting calls happen, and returns it; nil where none
// waits. All processes are blocked meanwhile.
func (s *scheduler) next() *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil
	}
	slices.SortStableFunc(s.waiting, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.by.name, b.by.name), cmp.Compare(a.what, b.what))
	})
	i := s.rng.IntN(len(s.waiting))
	// A process that was chosen tends to go on, so that some are overtaken by
	// far.
	c := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	close(c.run)
	return c
}
