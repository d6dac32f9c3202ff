package maps

import (
	"context"
	"encoding/binary"
	"fmt"

	"holdfast/internal/vault/format"
)

// MaxHeight is the largest height of a tree: levels of inner pages.
const MaxHeight = 5

// Height returns the height of the tree of a volume: 0 where one leaf covers
// it all.
func Height(size int64) int {
	leaves := (size + format.LeafSize - 1) / format.LeafSize
	height := 0
	for span := int64(1); span < leaves; span *= format.FanOut {
		height++
	}
	return height
}

// Sink is where a Builder puts inner pages.
type Sink interface {
	// Inherit returns the parent's page where it has the same content.
	Inherit(ctx context.Context, page *Inner) (Ref, bool)
	// Store stores a page.
	Store(ctx context.Context, page *Inner) (Ref, error)
}

// Builder builds a tree from references in the order of the volume. It holds
// one inner page a level, however large the volume.
type Builder struct {
	height int
	spine  [MaxHeight + 1]*Inner // by level; nil where none is open
	root   Ref
	next   uint64 // the first leaf that Add takes
}

// NewBuilder returns a builder of a tree.
func NewBuilder(height int) *Builder { return &Builder{height: height} }

// Height returns the height of the tree that is built.
func (b *Builder) Height() int { return b.height }

// Add puts a page at its place, with all below it: a leaf on level 0, an inner
// page of another tree above. It costs the same however much the page covers.
// Places rise; what lies between is holes.
func (b *Builder) Add(ctx context.Context, sink Sink, level int, index uint64, ref Ref) error {
	if level < 0 || level > b.height || index>>(8*(b.height-level)) != 0 || index<<(8*level) < b.next {
		return fmt.Errorf("add page %d of level %d where leaf %d comes next, height %d", index, level, b.next, b.height)
	}
	for l := 1; l <= level; l++ {
		if err := b.close(ctx, sink, l); err != nil {
			return err
		}
	}
	b.next = (index + 1) << (8 * level)
	return b.place(ctx, sink, level, index, ref)
}

// Finish closes all pages and returns the root, null for a volume of holes.
func (b *Builder) Finish(ctx context.Context, sink Sink) (Ref, error) {
	for l := 1; l <= b.height; l++ {
		if err := b.close(ctx, sink, l); err != nil {
			return Ref{}, err
		}
	}
	return b.root, nil
}

func (b *Builder) place(ctx context.Context, sink Sink, level int, index uint64, ref Ref) error {
	if level == b.height {
		b.root = ref
		return nil
	}
	above := level + 1
	if p := b.spine[above]; p != nil && p.Index != index/format.FanOut {
		if err := b.close(ctx, sink, above); err != nil {
			return err
		}
	}
	if b.spine[above] == nil {
		b.spine[above] = &Inner{Level: uint8(above), Index: index / format.FanOut}
	}
	b.spine[above].Children[index%format.FanOut] = ref
	return nil
}

func (b *Builder) close(ctx context.Context, sink Sink, level int) error {
	p := b.spine[level]
	if p == nil {
		return nil
	}
	b.spine[level] = nil
	if p.Children == [format.FanOut]Ref{} {
		return nil
	}
	ref, ok := sink.Inherit(ctx, p)
	if !ok {
		var err error
		if ref, err = sink.Store(ctx, p); err != nil {
			return err
		}
	}
	return b.place(ctx, sink, level, p.Index, ref)
}

// Append appends the builder's state, as between two calls of Add, to dst.
func (b *Builder) Append(dst []byte) []byte {
	dst = append(dst, byte(b.height))
	dst = binary.AppendUvarint(dst, b.next)
	dst = appendRef(dst, b.root)
	for l := 1; l <= b.height; l++ {
		p := b.spine[l]
		if p == nil {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 1)
		dst = binary.AppendUvarint(dst, p.Index)
		dst = appendChildren(dst, &p.Children)
	}
	return dst
}

// ParseBuilder takes a builder's state off the front of src and returns what
// follows it.
func ParseBuilder(src []byte) (*Builder, []byte, error) {
	r := reader{b: src}
	b := NewBuilder(int(r.byte()))
	if b.height > MaxHeight {
		return nil, nil, fmt.Errorf("%w: spine of height %d", format.ErrFormat, b.height)
	}
	b.next = r.uvarint(uint64(format.MaxVolume))
	b.root = r.ref()
	for l := 1; l <= b.height; l++ {
		switch r.byte() {
		case 0:
		case 1:
			p := &Inner{Level: uint8(l), Index: r.uvarint(uint64(format.MaxVolume))}
			r.children(&p.Children)
			b.spine[l] = p
		default:
			r.bad = true
		}
	}
	if r.bad {
		return nil, nil, fmt.Errorf("%w: spine", format.ErrFormat)
	}
	return b, r.b, nil
}

func appendRef(b []byte, ref Ref) []byte {
	b = append(b, ref.Pack[:]...)
	b = binary.LittleEndian.AppendUint32(b, ref.Page)
	return append(b, ref.Hash[:]...)
}

func (r *reader) ref() Ref {
	p := r.take(52)
	if p == nil {
		return Ref{}
	}
	return Ref{Pack: format.ID(p[:16]), Page: binary.LittleEndian.Uint32(p[16:]), Hash: [32]byte(p[20:])}
}

// AppendRoot appends a tree's root and height to b, 53 bytes.
func AppendRoot(b []byte, root Ref, height int) []byte {
	return append(appendRef(b, root), byte(height))
}

// ParseRoot decodes what AppendRoot made.
func ParseRoot(b []byte) (root Ref, height int, err error) {
	r := reader{b: b}
	root, height = r.ref(), int(r.byte())
	if r.bad || len(r.b) != 0 || height > MaxHeight {
		return Ref{}, 0, fmt.Errorf("%w: root", format.ErrFormat)
	}
	return root, height, nil
}
