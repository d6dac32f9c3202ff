package hooks

import (
	"cmp"
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
	gone bool // its hooks lead nowhere any more; they go once that many do
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

// Keep forgets all segments of a vault but those named, and returns which of
// these are not there. What is forgotten is freed once it is more than half, so
// that forgetting costs no more than adding did.
func (x *Index) Keep(vault format.ID, names []string) (missing []string) {
	v := x.vault(vault)
	v.mu.Lock()
	defer v.mu.Unlock()
	at := make(map[string]int, len(v.segments))
	for i := range v.segments {
		at[v.segments[i].name] = i
		v.segments[i].gone = true
	}
	for _, name := range names {
		if i, ok := at[name]; ok {
			v.segments[i].gone = false
		} else {
			missing = append(missing, name)
		}
	}
	v.free()
	return missing
}

// free drops the segments that are gone where they hold more than half of all
// places.
func (v *vaultHooks) free() {
	gone, begin := 0, uint32(0)
	shift := make([]uint32, len(v.segments)) // of each segment's ordinals
	for i, s := range v.segments {
		shift[i] = uint32(gone)
		if s.gone {
			gone += int(s.last - begin)
		}
		begin = s.last
	}
	if gone == 0 || gone <= len(v.places)/2 {
		return
	}
	old := v.segments
	v.table.rename(func(_ uint64, ord uint32) uint32 {
		i, _ := slices.BinarySearchFunc(old, ord, func(s segment, ord uint32) int { return cmp.Compare(s.last, ord) })
		if i == len(old) || old[i].gone {
			return 0
		}
		return ord - shift[i]
	})
	places := make([]Place, 0, len(v.places)-gone)
	v.segments = nil
	begin = 0
	for _, s := range old {
		if !s.gone {
			places = append(places, v.places[begin:s.last]...)
			v.segments = append(v.segments, segment{name: s.name, last: uint32(len(places)), bits: s.bits})
		}
		begin = s.last
	}
	v.places = places
}

// Add adds a segment to a vault's hooks, and keeps to the budget.
func (x *Index) Add(vault format.ID, name string, s *Segment) {
	v := x.vault(vault)
	v.mu.Lock()
	if i := slices.IndexFunc(v.segments, func(s segment) bool { return s.name == name }); i < 0 {
		v.add(name, s)
	} else {
		v.segments[i].gone = false
	}
	v.mu.Unlock()
	x.fit()
}

func (v *vaultHooks) add(name string, s *Segment) {
	base := uint32(len(v.places)) + 1
	if n := len(v.places) + len(s.Places); n > cap(v.places) {
		v.places = append(make([]Place, 0, n+n/16), v.places...)
	}
	v.places = append(v.places, s.Places...)
	var more [shards]int
	for _, h := range s.Hooks {
		more[uint8(h.Tag>>40)]++
	}
	v.table.reserve(&more)
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
