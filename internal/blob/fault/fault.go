// Package fault makes an object store fail on purpose, for tests: by rule (the
// n-th call of a method) or by seed (one in so many), with an error, a lost
// answer, no answer, a cut or repeated Put, a flipped byte, a stale listing, a
// missing object, a full disk, a delay.
package fault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/blob"
)

// Op is a method of a store.
type Op string

// The methods.
const (
	Put    Op = "put"
	Get    Op = "get"
	Stat   Op = "stat"
	Delete Op = "delete"
	List   Op = "list"
)

// Fault is one thing that goes wrong. Of several that meet in one call, each
// one's Before is called in the order they were added, and the first Err is
// returned.
type Fault struct {
	Op    Op
	Match string // only for names, or prefixes of listings, that contain it
	Nth   int    // the n-th such call since the fault was added, from 1 on; 0: each
	Since bool   // that one and all later ones
	// OneIn has the fault strike one in so many of the calls that the rules
	// above let through, chosen by Seed; 0 and 1: each.
	OneIn int
	Seed  uint64

	// Before is called first, if not nil: it may wait, cancel something, or
	// return an error, which the call returns.
	Before func(context.Context) error
	// Err is returned, and the call is not carried out.
	Err error
	// Late has the call carried out before Err is returned: the answer got
	// lost.
	Late bool
	// Hang has the call wait until its context ends, and return that error.
	// With Late it is carried out first.
	Hang bool
	// Twice has Put carried out twice, as when a network repeats a request.
	Twice bool
	// Stale has List show what the store held when the fault was added: what
	// was put since is missing, what was deleted since is there.
	Stale bool
	// Hide has List pass over the objects whose names contain it.
	Hide string
	// Short makes Get return the first half with io.ErrUnexpectedEOF, and
	// Put store the first half and return nil, as no store should.
	Short bool
	// Flip changes the lowest bit of a byte that Get returned.
	Flip bool
	// FlipAt is the byte that Flip changes, counted from the beginning of
	// the object; a Get that does not read it is left alone. Objects are
	// counted modulo their size.
	FlipAt int64

	since *changes // of Stale, once it is armed
}

// Store is a blob.Store with faults.
type Store struct {
	store blob.Store

	mu     sync.Mutex
	faults []*armed
	calls  map[Op]int
	full   bool
	space  int64
}

// armed is a fault and what it has seen.
type armed struct {
	Fault
	seen   int // calls that it matched
	random *rand.Rand
}

var _ blob.Store = (*Store)(nil)

// New returns a store that works like store until faults are added.
func New(store blob.Store, faults ...Fault) *Store {
	s := &Store{store: store, calls: make(map[Op]int)}
	for _, f := range faults {
		s.Add(f)
	}
	return s
}

// Add arms a fault.
func (s *Store) Add(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.since = nil
	if f.Stale {
		f.since = newChanges()
	}
	s.faults = append(s.faults, &armed{Fault: f, random: rand.New(rand.NewPCG(f.Seed, 1))})
}

// Clear removes all faults, and the limit of SetSpace.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.full = nil, false
}

// SetSpace lets the store take n more bytes. A Put that would need more fails
// with blob.ErrNoSpace; nothing gives space back.
func (s *Store) SetSpace(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full, s.space = true, n
}

// Calls returns how often a method was called, failed calls included.
func (s *Store) Calls(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, body *io.SectionReader) error {
	faults := s.meet(Put, name)
	if short(faults) {
		half := make([]byte, body.Size()/2)
		if err := blob.ReadBody(body, half, 0); err != nil {
			return fmt.Errorf("put object %s: %w", name, err)
		}
		body = io.NewSectionReader(bytes.NewReader(half), 0, int64(len(half)))
	}
	return run(ctx, faults, func() error {
		if !s.take(body.Size()) {
			return fmt.Errorf("put object %s: %w", name, blob.ErrNoSpace)
		}
		if has(faults, func(f Fault) bool { return f.Twice }) {
			if err := s.carryOutPut(ctx, name, body); err != nil {
				return err
			}
		}
		return s.carryOutPut(ctx, name, body)
	})
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	faults := s.meet(Get, name)
	var n int
	err := run(ctx, faults, func() error {
		var err error
		n, err = s.store.Get(ctx, name, p, off)
		if err != nil {
			return err
		}
		return s.flip(ctx, faults, name, p[:n], off)
	})
	if err == nil && short(faults) {
		return n / 2, fmt.Errorf("get object %s: %w", name, io.ErrUnexpectedEOF)
	}
	return n, err
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	var size int64
	err := run(ctx, s.meet(Stat, name), func() error {
		var err error
		size, err = s.store.Stat(ctx, name)
		return err
	})
	return size, err
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	return run(ctx, s.meet(Delete, name), func() error {
		return s.carryOutDelete(ctx, name)
	})
}

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	faults := s.meet(List, prefix)
	return run(ctx, faults, func() error { return s.carryOutList(ctx, faults, prefix, fn) })
}

// meet counts a call and returns the faults that strike it.
func (s *Store) meet(op Op, name string) []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[op]++
	var faults []Fault
	for _, f := range s.faults {
		if f.Op != op || !strings.Contains(name, f.Match) {
			continue
		}
		f.seen++
		if (f.Nth == 0 || f.seen == f.Nth || f.Since && f.seen > f.Nth) && (f.OneIn <= 1 || f.random.IntN(f.OneIn) == 0) {
			faults = append(faults, f.Fault)
		}
	}
	return faults
}

func (s *Store) take(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.full {
		return true
	}
	if n > s.space {
		return false
	}
	s.space -= n
	return true
}

func (s *Store) flip(ctx context.Context, faults []Fault, name string, p []byte, off int64) error {
	for _, f := range faults {
		if !f.Flip {
			continue
		}
		size, err := s.store.Stat(ctx, name)
		if err != nil {
			return err
		}
		start, _ := blob.Window(size, off, len(p))
		if at := f.FlipAt%max(size, 1) - start; at >= 0 && at < int64(len(p)) {
			p[at] ^= 1
		}
	}
	return nil
}

func run(ctx context.Context, faults []Fault, call func() error) error {
	for _, f := range faults {
		if f.Before == nil {
			continue
		}
		if err := f.Before(ctx); err != nil {
			return err
		}
	}
	i := slices.IndexFunc(faults, func(f Fault) bool { return f.Err != nil || f.Hang })
	if i < 0 {
		return call()
	}
	if faults[i].Late {
		if err := call(); err != nil {
			return err
		}
	}
	if faults[i].Hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return fmt.Errorf("injected: %w", faults[i].Err)
}

func has(faults []Fault, is func(Fault) bool) bool { return slices.ContainsFunc(faults, is) }

func short(faults []Fault) bool { return has(faults, func(f Fault) bool { return f.Short }) }
