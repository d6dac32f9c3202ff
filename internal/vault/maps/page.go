// Package maps holds the tree that says what a volume looked like. Leaves
// cover 4 MiB each and name blocks; inner pages name pages. Trees share the
// pages in which they don't differ.
package maps

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"holdfast/internal/vault/format"
)

// MaxPage is the largest encoded page in bytes.
const MaxPage = 32 << 10

const pageVersion = 1

// Ref names a page; the zero Ref stands for a range that is all holes.
type Ref struct {
	Pack format.ID
	Page uint32
	Hash [32]byte // naming's page hash of the encoded page
}

// IsNull reports whether the reference stands for holes.
func (r Ref) IsNull() bool { return r.Pack == format.ID{} }

// Extent maps blocks of a leaf's range to blocks of a container.
type Extent struct {
	Block     uint16 // first block in the leaf's range
	Count     uint16 // at least 1
	Pack      uint16 // index in the leaf's Packs
	Container uint8
	First     uint16 // block number in the container
}

// Leaf is the map of format.LeafBlocks blocks. Blocks that no extent covers
// are holes.
type Leaf struct {
	Index   uint64 // of the leaf in the volume
	Check   [32]byte
	Packs   []format.ID
	Extents []Extent // sorted by Block, without overlap
}

// Inner is a page of references: its child n covers position
// Index × format.FanOut + n one level below.
type Inner struct {
	Level    uint8 // 1 and up
	Index    uint64
	Children [format.FanOut]Ref
}

// ErrPage is wrapped where a page's content isn't what its place in the tree
// asks for.
var ErrPage = fmt.Errorf("%w page", format.ErrFormat)

func appendPrefix(b []byte, level uint8, index uint64) []byte {
	b = append(b, pageVersion, level, 0, 0)
	return binary.LittleEndian.AppendUint64(b, index)
}

func parsePrefix(b []byte, level uint8, index uint64) ([]byte, error) {
	if len(b) < 12 || len(b) > MaxPage || b[0] != pageVersion || b[2]|b[3] != 0 {
		return nil, fmt.Errorf("%w: prefix", ErrPage)
	}
	if got := binary.LittleEndian.Uint64(b[4:]); b[1] != level || got != index {
		return nil, fmt.Errorf("%w: it is of level %d, index %d, not %d, %d", ErrPage, b[1], got, level, index)
	}
	return b[12:], nil
}

// Append appends the encoded leaf to b.
func (l *Leaf) Append(b []byte) []byte {
	b = appendPrefix(b, 0, l.Index)
	b = append(b, l.Check[:]...)
	b = appendPacks(b, l.Packs)
	b = binary.AppendUvarint(b, uint64(len(l.Extents)))
	end := uint16(0)
	for i := range l.Extents {
		e := &l.Extents[i]
		b = binary.AppendUvarint(b, uint64(e.Block-end))
		b = binary.AppendUvarint(b, uint64(e.Count))
		b = binary.AppendUvarint(b, uint64(e.Pack))
		b = append(b, e.Container)
		b = binary.AppendUvarint(b, uint64(e.First))
		end = e.Block + e.Count
	}
	return b
}

// Parse decodes the leaf page that stands at index into l, whose slices it
// reuses.
func (l *Leaf) Parse(b []byte, index uint64) error {
	b, err := parsePrefix(b, 0, index)
	if err != nil {
		return err
	}
	if len(b) < len(l.Check) {
		return fmt.Errorf("%w: no leaf check", ErrPage)
	}
	l.Index = index
	copy(l.Check[:], b)
	r := reader{b: b[len(l.Check):]}
	l.Packs = r.packs(l.Packs[:0], format.LeafBlocks)
	n := r.uvarint(format.LeafBlocks)
	l.Extents = l.Extents[:0]
	end := uint64(0)
	for range n {
		gap := r.uvarint(format.LeafBlocks)
		count := r.uvarint(format.LeafBlocks)
		pack := r.uvarint(uint64(len(l.Packs)))
		container := r.byte()
		first := r.uvarint(format.ContainerBlocks)
		if r.bad || count == 0 || pack == uint64(len(l.Packs)) || container >= format.PackContainers ||
			first+count > format.ContainerBlocks || end+gap+count > format.LeafBlocks {
			return fmt.Errorf("%w: extent", ErrPage)
		}
		l.Extents = append(l.Extents, Extent{
			Block: uint16(end + gap), Count: uint16(count), Pack: uint16(pack), Container: container, First: uint16(first),
		})
		end += gap + count
	}
	if r.bad || len(r.b) != 0 || n == 0 {
		return fmt.Errorf("%w: leaf", ErrPage)
	}
	return nil
}

// Append appends the encoded page to b.
func (p *Inner) Append(b []byte) []byte {
	b = appendPrefix(b, p.Level, p.Index)
	return appendChildren(b, &p.Children)
}

// Parse decodes the inner page that stands at level and index into p.
func (p *Inner) Parse(b []byte, level uint8, index uint64) error {
	b, err := parsePrefix(b, level, index)
	if err != nil {
		return err
	}
	p.Level, p.Index = level, index
	r := reader{b: b}
	if n := r.children(&p.Children); r.bad || len(r.b) != 0 || n == 0 {
		return fmt.Errorf("%w: inner page", ErrPage)
	}
	return nil
}

func appendPacks(b []byte, packs []format.ID) []byte {
	b = binary.AppendUvarint(b, uint64(len(packs)))
	for i := range packs {
		b = append(b, packs[i][:]...)
	}
	return b
}

// appendChildren writes the table of page packs, a bitmap of the children
// that are not null, and these.
func appendChildren(b []byte, children *[format.FanOut]Ref) []byte {
	packs := make([]format.ID, 0, 4)
	var present [format.FanOut / 8]byte
	var at [format.FanOut]int
	for i := range children {
		if children[i].IsNull() {
			continue
		}
		present[i/8] |= 1 << (i % 8)
		for at[i] = 0; at[i] < len(packs) && packs[at[i]] != children[i].Pack; at[i]++ {
		}
		if at[i] == len(packs) {
			packs = append(packs, children[i].Pack)
		}
	}
	b = appendPacks(b, packs)
	b = append(b, present[:]...)
	for i := range children {
		if c := &children[i]; !c.IsNull() {
			b = binary.AppendUvarint(b, uint64(at[i]))
			b = binary.AppendUvarint(b, uint64(c.Page))
			b = append(b, c.Hash[:]...)
		}
	}
	return b
}

// reader takes values off the front of b; bad is set once one is missing or
// out of range.
type reader struct {
	b   []byte
	bad bool
}

// uvarint takes a number of at most limit, in its shortest form.
func (r *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit || n > 1 && r.b[n-1] == 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) packs(packs []format.ID, limit uint64) []format.ID {
	for range r.uvarint(limit) {
		p := r.take(16)
		if p == nil || format.ID(p) == (format.ID{}) {
			r.bad = true
			return nil
		}
		packs = append(packs, format.ID(p))
	}
	return packs
}

func (r *reader) children(children *[format.FanOut]Ref) int {
	packs := r.packs(nil, format.FanOut)
	present := r.take(format.FanOut / 8)
	if r.bad {
		return 0
	}
	n := 0
	for i, c := range present {
		n += bits.OnesCount8(c)
		for bit := range 8 {
			child := &children[i*8+bit]
			*child = Ref{}
			if c>>bit&1 == 0 {
				continue
			}
			pack := r.uvarint(uint64(len(packs)))
			page := r.uvarint(1<<32 - 1)
			hash := r.take(32)
			if r.bad || pack == uint64(len(packs)) {
				r.bad = true
				return 0
			}
			*child = Ref{Pack: packs[pack], Page: uint32(page), Hash: [32]byte(hash)}
		}
	}
	return n
}
