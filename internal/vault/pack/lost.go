package pack

import (
	"encoding/binary"
	"fmt"
	"slices"

	"holdfast/internal/vault/format"
)

// Lost is a block that a generation should have, and whose bytes nobody had
// when it was written. Its digest is kept, so that it can be healed.
type Lost struct {
	Container uint8
	Block     uint16
	Digest    format.Digest
}

const (
	lostSize = 4 + format.DigestSize
	maxLost  = format.PackContainers*format.ContainerBlocks*lostSize + format.TagSize
)

func appendLost(b []byte, lost []Lost) []byte {
	for i := range lost {
		b = append(b, lost[i].Container, 0)
		b = binary.LittleEndian.AppendUint16(b, lost[i].Block)
		b = append(b, lost[i].Digest[:]...)
	}
	return b
}

// parseLost decodes a list of lost blocks: sorted, none of them present, all in
// the groups that there are.
func parseLost(b []byte, containers []*Container) ([]Lost, error) {
	if len(b) == 0 || len(b)%lostSize != 0 {
		return nil, fmt.Errorf("%w: list of lost blocks of %d bytes", format.ErrFormat, len(b))
	}
	out := make([]Lost, 0, len(b)/lostSize)
	last := -1
	for ; len(b) > 0; b = b[lostSize:] {
		l := Lost{Container: b[0], Block: binary.LittleEndian.Uint16(b[2:]), Digest: format.Digest(b[4:])}
		at := int(l.Container)*format.ContainerBlocks + int(l.Block)
		if b[1] != 0 || int(l.Container) >= len(containers) || int(l.Block) >= len(containers[l.Container].Digests) ||
			containers[l.Container].Digests[l.Block] != (format.Digest{}) || l.Digest == (format.Digest{}) || at <= last {
			return nil, fmt.Errorf("%w: lost block %d of container %d", format.ErrFormat, l.Block, l.Container)
		}
		out, last = append(out, l), at
	}
	return out, nil
}

// LostDigest returns the digest of a lost block, and whether it is one.
func (d *Directory) LostDigest(container uint8, block int) (format.Digest, bool) {
	i, ok := slices.BinarySearchFunc(d.Lost, int(container)*format.ContainerBlocks+block, func(l Lost, at int) int {
		return int(l.Container)*format.ContainerBlocks + int(l.Block) - at
	})
	if !ok {
		return format.Digest{}, false
	}
	return d.Lost[i].Digest, true
}
