package fault

import (
	"context"
	"errors"
	"io"
	"strings"

	"holdfast/internal/blob"
)

// changes are what happened to a store since a moment.
type changes struct {
	added   map[string]bool
	removed map[string]int64 // sizes
}

func newChanges() *changes {
	return &changes{added: make(map[string]bool), removed: make(map[string]int64)}
}

// carryOutPut puts an object, and notes that for stale listings.
func (s *Store) carryOutPut(ctx context.Context, name string, body *io.SectionReader) error {
	noted := s.noted()
	_, err := s.sizeFor(ctx, noted, name)
	isNew := errors.Is(err, blob.ErrNotFound)
	if err := s.store.Put(ctx, name, body); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range noted {
		if _, back := c.removed[name]; back {
			delete(c.removed, name)
		} else if isNew {
			c.added[name] = true
		}
	}
	return nil
}

// carryOutDelete removes an object, and notes that for stale listings.
func (s *Store) carryOutDelete(ctx context.Context, name string) error {
	noted := s.noted()
	size, err := s.sizeFor(ctx, noted, name)
	was := err == nil
	if err := s.store.Delete(ctx, name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range noted {
		if c.added[name] {
			delete(c.added, name)
		} else if was {
			c.removed[name] = size
		}
	}
	return nil
}

// noted returns where changes are noted.
func (s *Store) noted() []*changes {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*changes
	for _, f := range s.faults {
		if f.since != nil {
			all = append(all, f.since)
		}
	}
	return all
}

// sizeFor asks for an object only where somebody wants to know.
func (s *Store) sizeFor(ctx context.Context, noted []*changes, name string) (int64, error) {
	if len(noted) == 0 {
		return 0, nil
	}
	return s.store.Stat(ctx, name)
}

// carryOutList lists what the faults let be seen.
func (s *Store) carryOutList(ctx context.Context, faults []Fault, prefix string, fn func(blob.Info) error) error {
	stale, hidden := s.unseen(faults)
	for name, size := range stale {
		if strings.HasPrefix(name, prefix) && !hidden(name) {
			if err := fn(blob.Info{Name: name, Size: size}); err != nil {
				return err
			}
		}
	}
	return s.store.List(ctx, prefix, func(info blob.Info) error {
		if _, told := stale[info.Name]; told || hidden(info.Name) {
			return nil
		}
		return fn(info)
	})
}

// unseen returns what a listing shows though it is gone, and which objects it
// does not show, as of now.
func (s *Store) unseen(faults []Fault) (stale map[string]int64, hidden func(string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stale = make(map[string]int64)
	missing := make(map[string]bool)
	for _, f := range faults {
		if f.since == nil {
			continue
		}
		for name, size := range f.since.removed {
			stale[name] = size
		}
		for name := range f.since.added {
			missing[name] = true
		}
	}
	return stale, func(name string) bool {
		return missing[name] || has(faults, func(f Fault) bool { return f.Hide != "" && strings.Contains(name, f.Hide) })
	}
}
