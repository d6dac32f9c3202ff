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

// shards is how many parts a table has: the tags' highest byte says which. They
// grow one by one, so that a large table never stands in memory twice.
const shards = 256

// table maps tags to ordinals from 1 on.
type table struct {
	shards [shards]shard
	used   int
	slots  int
}

// shard is a part of a table: open addressing in slotBytes a slot. The ordinal
// 0 marks a free one.
type shard struct {
	low  []uint32
	high []uint8
	ord  []uint32
	used int
}

const (
	slotBytes = 9
	minSlots  = 16
)

// room returns how many slots n entries take: a tenth of them is free at least.
func room(n int) int { return max(minSlots, n+n/9+1) }

func (t *table) bytes() int64 { return int64(t.slots) * slotBytes }

func (t *table) shard(tag uint64) *shard { return &t.shards[uint8(tag>>40)] }

// find returns the slot of a tag, or the free one in which it belongs.
func (s *shard) find(tag uint64) int {
	low, high := uint32(tag), uint8(tag>>32)
	// The bits above the lowest byte are as good as random.
	i := int(tag >> 8 & (1<<32 - 1) * uint64(len(s.ord)) >> 32)
	for ; s.ord[i] != 0 && (s.low[i] != low || s.high[i] != high); i++ {
		if i == len(s.ord)-1 {
			i = -1
		}
	}
	return i
}

func (t *table) get(tag uint64) (uint32, bool) {
	s := t.shard(tag)
	if s.used == 0 {
		return 0, false
	}
	ord := s.ord[s.find(tag)]
	return ord, ord != 0
}

// put stores an ordinal above 0; the last one put for a tag stays.
func (t *table) put(tag uint64, ord uint32) {
	s := t.shard(tag)
	if room(s.used+1) > len(s.ord) {
		t.resize(s, uint8(tag>>40), room(s.used+s.used/8+1), keepAll)
	}
	i := s.find(tag)
	if s.ord[i] == 0 {
		s.used++
		t.used++
	}
	s.low[i], s.high[i], s.ord[i] = uint32(tag), uint8(tag>>32), ord
}

// reserve makes room for as many more entries in each shard at once.
func (t *table) reserve(more *[shards]int) {
	for n := range t.shards {
		s := &t.shards[n]
		if size := room(s.used + more[n]); more[n] > 0 && size > len(s.ord) {
			t.resize(s, uint8(n), max(size, room(s.used+s.used/8+1)), keepAll)
		}
	}
}

func keepAll(_ uint64, ord uint32) uint32 { return ord }

// resize moves a shard's entries to one of size slots, under the ordinals that
// as returns; those that become 0 are dropped.
func (t *table) resize(s *shard, n uint8, size int, as func(tag uint64, ord uint32) uint32) {
	old := *s
	*s = shard{low: make([]uint32, size), high: make([]uint8, size), ord: make([]uint32, size)}
	old.each(n, func(tag uint64, ord uint32) {
		if ord = as(tag, ord); ord != 0 {
			j := s.find(tag)
			s.low[j], s.high[j], s.ord[j] = uint32(tag), uint8(tag>>32), ord
			s.used++
		}
	})
	t.used += s.used - old.used
	t.slots += size - len(old.ord)
}

// rename gives all entries the ordinals that as returns, drops those that
// become 0, and the slots that these leave.
func (t *table) rename(as func(tag uint64, ord uint32) uint32) {
	for n := range t.shards {
		s := &t.shards[n]
		left := 0
		s.each(uint8(n), func(tag uint64, ord uint32) {
			if as(tag, ord) != 0 {
				left++
			}
		})
		if s.used > 0 {
			t.resize(s, uint8(n), room(left), as)
		}
	}
}

// thin drops the entries that keep refuses, and the slots that they leave.
func (t *table) thin(keep func(tag uint64, ord uint32) bool) {
	t.rename(func(tag uint64, ord uint32) uint32 {
		if !keep(tag, ord) {
			return 0
		}
		return ord
	})
}

func (s *shard) each(n uint8, fn func(tag uint64, ord uint32)) {
	for i, ord := range s.ord {
		if ord != 0 {
			fn(uint64(n)<<40|uint64(s.high[i])<<32|uint64(s.low[i]), ord)
		}
	}
}
