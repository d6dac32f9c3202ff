package hooks

import (
	"cmp"
	"slices"
	"sync"

	"holdfast/internal/vault/format"
)

// The bounds of a session's own hooks, which keep it in its memory and its
// segment in one object. 2 Mi of them stand for 256 GiB of new blocks; beyond,
// they are sampled more thinly, and at 2 TiB no more are taken.
const (
	deltaLimit  = 2 << 20
	placesLimit = 1 << 20
)

// Delta holds the hooks of one session's own containers. It may be used
// concurrently.
type Delta struct {
	mu     sync.RWMutex
	table  table
	places []Place // ordinal - 1
	bits   uint8
}

// NewDelta returns an empty delta.
func NewDelta() *Delta { return &Delta{bits: Sampling} }

// Add adds a container's hooks, unless there are too many. A tag that is there
// already keeps its place.
func (d *Delta) Add(p Place, digests []format.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.places) >= placesLimit || d.table.used >= deltaLimit && d.bits == maxSampling {
		return
	}
	ord := uint32(len(d.places)) + 1
	for i := range digests {
		if !IsHook(&digests[i]) || digests[i] == (format.Digest{}) {
			continue
		}
		tag := Tag(&digests[i])
		if !sampled(tag, d.bits) {
			continue
		}
		if _, ok := d.table.get(tag); !ok {
			d.table.put(tag, ord)
			if len(d.places) < int(ord) {
				d.places = append(d.places, p)
			}
		}
	}
	if d.table.used > deltaLimit && d.bits < maxSampling {
		d.bits++
		d.table.thin(func(tag uint64, _ uint32) bool { return sampled(tag, d.bits) })
	}
}

// Lookup returns the container in which a hook was seen.
func (d *Delta) Lookup(tag uint64) (Place, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	ord, ok := d.table.get(tag)
	if !ok {
		return Place{}, false
	}
	return d.places[ord-1], true
}

// Segment returns the delta as a segment, nil where it is empty.
func (d *Delta) Segment() *Segment {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.table.used == 0 {
		return nil
	}
	s := &Segment{Bits: d.bits, Places: d.places[:len(d.places):len(d.places)], Hooks: make([]Hook, 0, d.table.used)}
	// Each shard's tags are below those of the next.
	for n := range d.table.shards {
		first := len(s.Hooks)
		d.table.shards[n].each(uint8(n), func(tag uint64, ord uint32) {
			s.Hooks = append(s.Hooks, Hook{Tag: tag, Place: ord - 1})
		})
		slices.SortFunc(s.Hooks[first:], func(a, b Hook) int { return cmp.Compare(a.Tag, b.Tag) })
	}
	return s
}
