package vault

import (
	"math/bits"

	"holdfast/internal/vault/format"
)

// blockSet is a set of a container's blocks.
type blockSet [format.ContainerBlocks / 64]uint64

// group returns which slots of a group are in the set.
func (s *blockSet) group(g int) uint32 { return uint32(s[g/2] >> (g % 2 * format.GroupBlocks)) }

// addGroup adds slots of a group.
func (s *blockSet) addGroup(g int, slots uint32) {
	s[g/2] |= uint64(slots) << (g % 2 * format.GroupBlocks)
}

func (s *blockSet) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// pageSet is a set of a page pack's pages; it grows as it needs.
type pageSet []uint64

func (s pageSet) has(page uint32) bool {
	return int(page/64) < len(s) && s[page/64]>>(page%64)&1 == 1
}

// add adds a page, and reports whether it wasn't there.
func (s *pageSet) add(page uint32) bool {
	if s.has(page) {
		return false
	}
	for len(*s) <= int(page/64) {
		*s = append(*s, 0)
	}
	(*s)[page/64] |= 1 << (page % 64)
	return true
}

func (s pageSet) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}
