package maps

import (
	"context"

	"holdfast/internal/vault/format"
)

// Pages loads pages.
type Pages interface {
	// Page returns the content of a page whose hash it has checked, good
	// until the next call.
	Page(ctx context.Context, ref Ref) ([]byte, error)
	// Bad returns the error for a page whose content is not what its place
	// in the tree asks for.
	Bad(ref Ref, err error) error
}

// Tree reads a map. It keeps one inner page a level and is used by one
// goroutine.
type Tree struct {
	pages  Pages
	root   Ref
	height int
	path   [MaxHeight + 1]struct {
		ref  Ref
		page *Inner
	}
}

// NewTree returns the tree below a root; a null root has holes only.
func NewTree(pages Pages, root Ref, height int) *Tree {
	return &Tree{pages: pages, root: root, height: height}
}

// Ref returns the reference to the page at a place, null where all of its
// range is holes or outside the tree.
func (t *Tree) Ref(ctx context.Context, level int, index uint64) (Ref, error) {
	if level > t.height || index>>(8*(t.height-level)) != 0 {
		return Ref{}, nil
	}
	ref := t.root
	for l := t.height; l > level && !ref.IsNull(); l-- {
		p, err := t.inner(ctx, l, index>>(8*(l-level)), ref)
		if err != nil {
			return Ref{}, err
		}
		ref = p.Children[index>>(8*(l-level-1))%format.FanOut]
	}
	return ref, nil
}

// Inner returns the inner page at a place, nil where all of its range is
// holes or outside the tree; it is good until the next call.
func (t *Tree) Inner(ctx context.Context, level int, index uint64) (*Inner, Ref, error) {
	ref, err := t.Ref(ctx, level, index)
	if err != nil || ref.IsNull() {
		return nil, ref, err
	}
	p, err := t.inner(ctx, level, index, ref)
	return p, ref, err
}

// Leaf decodes the leaf at index into leaf and returns its reference; where
// that is null, the leaf is all holes and its content is undefined.
func (t *Tree) Leaf(ctx context.Context, index uint64, leaf *Leaf) (Ref, error) {
	ref, err := t.Ref(ctx, 0, index)
	if err != nil || ref.IsNull() {
		return ref, err
	}
	b, err := t.pages.Page(ctx, ref)
	if err != nil {
		return ref, err
	}
	if err := leaf.Parse(b, index); err != nil {
		return ref, t.pages.Bad(ref, err)
	}
	return ref, nil
}

// Below returns the highest page that begins with leaf first and covers no leaf
// from end on, and its reference, null where all of its range is holes.
func (t *Tree) Below(ctx context.Context, first, end uint64) (level int, index uint64, ref Ref, err error) {
	for level < t.height && first>>(8*level)%format.FanOut == 0 && (first>>(8*(level+1))+1)<<(8*(level+1)) <= end {
		level++
	}
	index = first >> (8 * level)
	ref, err = t.Ref(ctx, level, index)
	return level, index, ref, err
}

// Next returns the first leaf at or after index that is not all holes, and
// whether there is one.
func (t *Tree) Next(ctx context.Context, index uint64) (uint64, bool, error) {
	for {
		level, at, ref, err := t.hole(ctx, index)
		if err != nil {
			return 0, false, err
		}
		if !ref.IsNull() {
			return index, true, nil
		}
		if level == t.height {
			return 0, false, nil
		}
		index = (at + 1) << (8 * level)
	}
}

// hole returns the place of the highest null page above a leaf, or the leaf's
// own where there is none.
func (t *Tree) hole(ctx context.Context, leaf uint64) (level int, at uint64, ref Ref, err error) {
	if leaf>>(8*t.height) != 0 {
		return t.height, 0, Ref{}, nil
	}
	for level = t.height; level >= 0; level-- {
		at = leaf >> (8 * level)
		if ref, err = t.Ref(ctx, level, at); err != nil || ref.IsNull() {
			return level, at, ref, err
		}
	}
	return 0, leaf, ref, nil
}

func (t *Tree) inner(ctx context.Context, level int, index uint64, ref Ref) (*Inner, error) {
	at := &t.path[level]
	if at.page != nil && at.ref == ref && at.page.Index == index {
		return at.page, nil
	}
	b, err := t.pages.Page(ctx, ref)
	if err != nil {
		return nil, err
	}
	p := at.page
	at.page = nil
	if p == nil {
		p = &Inner{}
	}
	if err := p.Parse(b, uint8(level), index); err != nil {
		return nil, t.pages.Bad(ref, err)
	}
	at.ref, at.page = ref, p
	return p, nil
}
