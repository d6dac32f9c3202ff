package hooks

import (
	"slices"
	"sync"

	"holdfast/internal/vault/format"
)

// Index holds the committed hooks of all vaults of a process within a budget.
// It may be used concurrently.
type Index struct {
	budget int64

	mu     sync.Mutex
	vaults map[format.ID]*vaultHooks
	clock  int64 // of use
}

// NewIndex returns an empty index that keeps to a budget in bytes.
func NewIndex(budget int64) *Index {
	return &Index{budget: budget, vaults: map[format.ID]*vaultHooks{}}
}

// vaultHooks is one vault's part.
type vaultHooks struct {
	mu       sync.RWMutex
	table    table
	places   []Place   // ordinal - 1
	segments []segment // in the order in which they were added
	used     int64     // guarded by Index.mu
}

type segment struct {
	name string
	last uint32 // its highest ordinal
	bits uint8
}

func (v *vaultHooks) bytes() int64 {
	return v.table.bytes() + int64(cap(v.places))*placeSize + int64(cap(v.segments))*64
}

func (x *Index) vault(id format.ID) *vaultHooks {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := x.vaults[id]
	if v == nil {
		v = &vaultHooks{}
		x.vaults[id] = v
	}
	x.clock++
	v.used = x.clock
	return v
}

// Has reports whether a vault's segment is loaded.
func (x *Index) Has(vault format.ID, name string) bool {
	v := x.vault(vault)
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.ContainsFunc(v.segments, func(s segment) bool { return s.name == name })
}

// Add adds a segment to a vault's hooks, and keeps to the budget.
func (x *Index) Add(vault format.ID, name string, s *Segment) {
	v := x.vault(vault)
	v.mu.Lock()
	if !slices.ContainsFunc(v.segments, func(s segment) bool { return s.name == name }) {
		v.add(name, s)
	}
	v.mu.Unlock()
	x.fit()
}

func (v *vaultHooks) add(name string, s *Segment) {
	base := uint32(len(v.places)) + 1
	v.places = append(v.places, s.Places...)
	v.table.grow(len(s.Hooks))
	for _, h := range s.Hooks {
		v.table.put(h.Tag, base+h.Place)
	}
	v.segments = append(v.segments, segment{name: name, last: uint32(len(v.places)), bits: s.Bits})
}

// View returns the vault's hooks for many lookups.
func (x *Index) View(vault format.ID) *View { return &View{v: x.vault(vault)} }

// View looks up hooks of one vault.
type View struct{ v *vaultHooks }

// Lookup returns the container in which a hook was seen last.
func (w *View) Lookup(tag uint64) (Place, bool) {
	w.v.mu.RLock()
	defer w.v.mu.RUnlock()
	ord, ok := w.v.table.get(tag)
	if !ok || int(ord) > len(w.v.places) {
		return Place{}, false
	}
	return w.v.places[ord-1], true
}

// Bytes returns how much memory the index takes.
func (x *Index) Bytes() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.bytes()
}

func (x *Index) bytes() int64 {
	n := int64(0)
	for _, v := range x.vaults {
		v.mu.RLock()
		n += v.bytes()
		v.mu.RUnlock()
	}
	return n
}

// fit samples the vault that was used longest ago more thinly, its oldest
// segments first, and drops it where that isn't enough, until the index is
// within its budget.
func (x *Index) fit() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.bytes() > x.budget && len(x.vaults) > 0 {
		var id format.ID
		var oldest *vaultHooks
		for k, v := range x.vaults {
			if oldest == nil || v.used < oldest.used {
				id, oldest = k, v
			}
		}
		if !oldest.thin() {
			oldest.clear()
			delete(x.vaults, id)
		}
	}
}

func (v *vaultHooks) clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.table, v.places, v.segments = table{}, nil, nil
}

// thin halves the sampling of the older half of the hooks at least, and
// reports whether that freed any memory.
func (v *vaultHooks) thin() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.bytes()
	for range 2 * (maxSampling - Sampling) {
		bits := uint8(maxSampling)
		for _, s := range v.segments {
			bits = min(bits, s.bits)
		}
		if bits == maxSampling {
			return false
		}
		last, begin, left := uint32(0), uint32(0), len(v.places)/2
		for i := range v.segments {
			s := &v.segments[i]
			places := int(s.last - begin)
			begin = s.last
			if s.bits != bits {
				continue
			}
			s.bits++
			last = s.last
			if left -= places; left <= 0 {
				break
			}
		}
		next := bits + 1
		v.table.thin(func(tag uint64, ord uint32) bool { return ord > last || sampled(tag, next) })
		if v.bytes() < before {
			return true
		}
	}
	return false
}
