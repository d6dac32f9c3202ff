// Package hooks holds the sparse index: one block's digest in 32, the hooks,
// and the containers in which they were seen. It is a hint; all that it says
// is checked against digest lists before it is used.
package hooks

import (
	"holdfast/internal/vault/format"
)

// Place is a container of a pack generation.
type Place struct {
	Pack       format.ID
	Generation uint32
	Container  uint8
}

// Sampling is the number of low bits of a digest that are zero in a hook.
const Sampling = 5

const maxSampling = 8

// IsHook reports whether a digest is a hook.
func IsHook(d *format.Digest) bool { return d[0]&(1<<Sampling-1) == 0 }

// Tag returns what the index keeps of a hook: 48 bits.
func Tag(d *format.Digest) uint64 {
	return uint64(d[0]) | uint64(d[1])<<8 | uint64(d[2])<<16 | uint64(d[3])<<24 | uint64(d[4])<<32 | uint64(d[5])<<40
}

func sampled(tag uint64, bits uint8) bool { return tag&(1<<bits-1) == 0 }

// table maps tags to ordinals by open addressing, in 10 bytes a slot. The
// ordinal 0 marks a free slot.
type table struct {
	low  []uint32
	high []uint16
	ord  []uint32
	used int
}

const slotBytes = 10

func (t *table) bytes() int64 { return int64(len(t.ord)) * slotBytes }

func (t *table) find(tag uint64) int {
	low, high := uint32(tag), uint16(tag>>32)
	mask := len(t.ord) - 1
	// The lowest bits of a tag are zero; the others are as good as random.
	for i := int(tag>>maxSampling) & mask; ; i = (i + 1) & mask {
		if t.ord[i] == 0 || t.low[i] == low && t.high[i] == high {
			return i
		}
	}
}

func (t *table) get(tag uint64) (uint32, bool) {
	if len(t.ord) == 0 {
		return 0, false
	}
	ord := t.ord[t.find(tag)]
	return ord, ord != 0
}

// put stores an ordinal above 0; the last one put for a tag stays.
func (t *table) put(tag uint64, ord uint32) {
	if t.used*8 >= len(t.ord)*7 {
		t.rebuild(max(1024, 2*len(t.ord)), func(uint64, uint32) bool { return true })
	}
	i := t.find(tag)
	if t.ord[i] == 0 {
		t.used++
	}
	t.low[i], t.high[i], t.ord[i] = uint32(tag), uint16(tag>>32), ord
}

// grow makes room for n more entries at once.
func (t *table) grow(n int) {
	size := max(1024, len(t.ord))
	for size*7 < (t.used+n)*8 {
		size *= 2
	}
	if size > len(t.ord) {
		t.rebuild(size, func(uint64, uint32) bool { return true })
	}
}

// rebuild moves the entries that keep accepts to a table of size slots, a
// power of two.
func (t *table) rebuild(size int, keep func(tag uint64, ord uint32) bool) {
	old := *t
	*t = table{low: make([]uint32, size), high: make([]uint16, size), ord: make([]uint32, size)}
	for i, ord := range old.ord {
		if ord == 0 {
			continue
		}
		tag := uint64(old.high[i])<<32 | uint64(old.low[i])
		if !keep(tag, ord) {
			continue
		}
		j := t.find(tag)
		t.low[j], t.high[j], t.ord[j] = old.low[i], old.high[i], ord
		t.used++
	}
}

// thin drops the entries that keep refuses, and the slots that they leave.
func (t *table) thin(keep func(tag uint64, ord uint32) bool) {
	n := 0
	t.each(func(tag uint64, ord uint32) {
		if keep(tag, ord) {
			n++
		}
	})
	size := 1024
	for size*7 < n*8+8 {
		size *= 2
	}
	t.rebuild(size, keep)
}

func (t *table) each(fn func(tag uint64, ord uint32)) {
	for i, ord := range t.ord {
		if ord != 0 {
			fn(uint64(t.high[i])<<32|uint64(t.low[i]), ord)
		}
	}
}
