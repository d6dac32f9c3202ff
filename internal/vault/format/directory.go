package format

import (
	"encoding/binary"
	"math/bits"
)

// Codec says how a group's blocks are compressed.
type Codec uint8

// The codecs.
const (
	Raw  Codec = 0
	S2   Codec = 1 // S2 block format
	Zstd Codec = 2 // one zstd frame
)

// Group is where a group of blocks lies in its pack generation.
type Group struct {
	Present uint32 // bit n: slot n holds a block; the stored blocks are these, in order
	Offset  uint32 // of the sealed group, from the generation's header
	Length  uint32 // sealed, in bytes; 0 where no block is present
	Codec   Codec
}

// Blocks returns how many blocks the group holds.
func (g *Group) Blocks() int { return bits.OnesCount32(g.Present) }

// Has reports whether a slot's block is present.
func (g *Group) Has(slot int) bool { return g.Present>>slot&1 == 1 }

// Rank returns where a slot's block stands among the present ones.
func (g *Group) Rank(slot int) int { return bits.OnesCount32(g.Present & (1<<slot - 1)) }

const (
	groupEntrySize = 16
	// MaxSummary is the largest encoded summary in bytes.
	MaxSummary = 4 + PackContainers*(4+ContainerGroups*groupEntrySize)
)

// AppendSummary appends a directory's summary, the groups of each container,
// to b.
func AppendSummary(b []byte, containers [][]Group) []byte {
	le := binary.LittleEndian
	b = append(b, byte(len(containers)), 0, 0, 0)
	for _, groups := range containers {
		b = append(b, byte(len(groups)), 0, 0, 0)
		for i := range groups {
			g := &groups[i]
			b = le.AppendUint32(b, g.Present)
			b = le.AppendUint32(b, g.Offset)
			b = le.AppendUint32(b, g.Length)
			b = append(b, byte(g.Codec), 0, 0, 0)
		}
	}
	return b
}

// ParseSummary decodes a summary; end is where the directory begins in its
// generation: every group lies before it.
func ParseSummary(b []byte, end int64) ([][]Group, error) {
	n, b, err := countByte(b, PackContainers)
	if err != nil {
		return nil, err
	}
	containers := make([][]Group, n)
	for c := range containers {
		var groups int
		if groups, b, err = countByte(b, ContainerGroups); err != nil {
			return nil, err
		}
		if len(b) < groups*groupEntrySize {
			return nil, errorf("summary ends in container %d", c)
		}
		containers[c] = make([]Group, groups)
		for i := range containers[c] {
			if containers[c][i], err = parseGroup(b[:groupEntrySize], end); err != nil {
				return nil, err
			}
			b = b[groupEntrySize:]
		}
	}
	if len(b) != 0 {
		return nil, errorf("%d bytes after the summary", len(b))
	}
	return containers, nil
}

// countByte takes a count of at most limit and three reserved bytes off b.
func countByte(b []byte, limit int) (int, []byte, error) {
	if len(b) < 4 || b[1]|b[2]|b[3] != 0 || int(b[0]) > limit {
		return 0, nil, errorf("count in summary")
	}
	return int(b[0]), b[4:], nil
}

func parseGroup(b []byte, end int64) (Group, error) {
	le := binary.LittleEndian
	g := Group{Present: le.Uint32(b), Offset: le.Uint32(b[4:]), Length: le.Uint32(b[8:]), Codec: Codec(b[12])}
	raw := g.Blocks()*BlockSize + TagSize
	switch {
	case b[13]|b[14]|b[15] != 0 || g.Codec > Zstd:
		return g, errorf("unknown codec %d", g.Codec)
	case g.Present == 0:
		if g.Offset != 0 || g.Length != 0 || g.Codec != Raw {
			return g, errorf("group without blocks has a place")
		}
	case g.Offset < HeaderSize || int64(g.Offset)+int64(g.Length) > end:
		return g, errorf("group outside its pack")
	case g.Codec == Raw && int(g.Length) != raw, g.Codec != Raw && int(g.Length) >= raw, g.Length <= TagSize:
		return g, errorf("group of %d bytes for %d blocks, codec %d", g.Length, g.Blocks(), g.Codec)
	}
	return g, nil
}

// CountBlocks returns how many blocks a container's groups hold.
func CountBlocks(groups []Group) int {
	n := 0
	for i := range groups {
		n += groups[i].Blocks()
	}
	return n
}

// AppendDigests appends the digests of a container's present blocks, in the
// order of their numbers, to b. Digests are indexed by block number.
func AppendDigests(b []byte, groups []Group, digests []Digest) []byte {
	for i := range groups {
		for p := groups[i].Present; p != 0; p &= p - 1 {
			b = append(b, digests[i*GroupBlocks+bits.TrailingZeros32(p)][:]...)
		}
	}
	return b
}

// ParseDigests decodes a container's digest list: indexed by block number,
// zero where no block is present.
func ParseDigests(b []byte, groups []Group) ([]Digest, error) {
	if len(b) != CountBlocks(groups)*DigestSize {
		return nil, errorf("digest list of %d bytes for %d blocks", len(b), CountBlocks(groups))
	}
	digests := make([]Digest, len(groups)*GroupBlocks)
	for i := range groups {
		for p := groups[i].Present; p != 0; p &= p - 1 {
			d := &digests[i*GroupBlocks+bits.TrailingZeros32(p)]
			copy(d[:], b)
			if *d == (Digest{}) {
				return nil, errorf("zero digest in list")
			}
			b = b[DigestSize:]
		}
	}
	return digests, nil
}
