package vault

import (
	"context"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/pack"
)

// A segment's blocks are compared with the containers that its hooks name,
// the most frequently named ones.
const (
	segmentBlocks     = 256 // 1 MiB
	segmentContainers = 8
)

// finder is a worker's scratch for looking up one segment.
type finder struct {
	named []named
}

type named struct {
	place     hooks.Place
	count     int
	container *pack.Container
	pack      uint16
}

// find looks for the leaf's blocks that the parent doesn't have in containers
// of the vault and of the session itself.
func (w *worker) find(ctx context.Context) error {
	for first := 0; first < format.LeafBlocks; first += segmentBlocks {
		w.finder.named = w.finder.named[:0]
		for i := first; i < first+segmentBlocks; i++ {
			if w.wanted(i) && hooks.IsHook(&w.digests[i]) {
				if place, ok := w.s.lookup(hooks.Tag(&w.digests[i])); ok {
					w.finder.name(place)
				}
			}
		}
		if len(w.finder.named) == 0 {
			continue
		}
		if err := w.loadNamed(ctx); err != nil {
			return err
		}
		w.match(first)
	}
	return nil
}

func (w *worker) wanted(i int) bool {
	return w.where[i].pack == 0 && w.digests[i] != (format.Digest{})
}

func (f *finder) name(p hooks.Place) {
	for i := range f.named {
		if f.named[i].place == p {
			f.named[i].count++
			return
		}
	}
	f.named = append(f.named, named{place: p, count: 1})
}

// loadNamed keeps the containers that were named most, and loads them.
func (w *worker) loadNamed(ctx context.Context) error {
	f := &w.finder
	for i := 1; i < len(f.named); i++ {
		for k := i; k > 0 && f.named[k].count > f.named[k-1].count; k-- {
			f.named[k], f.named[k-1] = f.named[k-1], f.named[k]
		}
	}
	f.named = f.named[:min(len(f.named), segmentContainers)]
	n := 0
	for i := range f.named {
		c, err := w.s.container(ctx, f.named[i].place)
		if err != nil {
			return err
		}
		if c != nil {
			f.named[n] = f.named[i]
			f.named[n].container = c
			f.named[n].pack = w.packIndex(f.named[n].place.Pack)
			n++
		}
	}
	f.named = f.named[:n]
	return nil
}

// match compares a segment's blocks with the named containers. A block that
// continues the run before it is preferred to one elsewhere.
func (w *worker) match(first int) {
	var run *named
	next := 0
	for i := first; i < first+segmentBlocks; i++ {
		if !w.wanted(i) {
			run = nil
			continue
		}
		if run != nil {
			if d, ok := run.container.Digest(next); ok && d == w.digests[i] {
				w.where[i] = location{pack: run.pack, container: run.place.Container, block: uint16(next), found: true}
				next++
				continue
			}
			run = nil
		}
		for k := range w.finder.named {
			c := &w.finder.named[k]
			if n := c.container.Find(&w.digests[i]); n >= 0 {
				w.where[i] = location{pack: c.pack, container: c.place.Container, block: uint16(n), found: true}
				run, next = c, n+1
				break
			}
		}
	}
}
