package vault

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
)

// mapTask is a part of a map that one goroutine checks: a page of level 1, or a
// leaf, and all below it.
type mapTask struct {
	ref   maps.Ref
	level int
	index uint64
	size  int64 // of the volume
}

// print tells references to a page apart by what they expect of it; never 0.
func (t *mapTask) print() uint32 {
	place := t.index*(maps.MaxHeight+1) + uint64(t.level)
	return (binary.LittleEndian.Uint32(t.ref.Hash[:]) ^ uint32(place*0x9e3779b97f4a7c15>>32)) | 1
}

// first reports whether this is the first time that a page is met. A reference
// that expects something else of a page that is known is looked at too.
func (v *verifier) first(t *mapTask) bool {
	print := t.print()
	v.mu.Lock()
	defer v.mu.Unlock()
	pages := v.seen[t.ref.Pack]
	for len(pages) <= int(t.ref.Page) && t.ref.Page < pack.MaxPages {
		pages = append(pages, 0)
	}
	v.seen[t.ref.Pack] = pages
	v.needed[t.ref.Pack] = PagePack
	if t.ref.Page < pack.MaxPages {
		if pages[t.ref.Page] == print {
			return false
		}
		if pages[t.ref.Page] == 0 {
			pages[t.ref.Page] = print
		}
	}
	v.report.Pages++
	return true
}

// maps checks the backups' maps, each page once. The upper levels are walked
// here, what is below them by several goroutines.
func (v *verifier) maps(ctx context.Context, backups []verified) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tasks := make(chan mapTask)
	var wg sync.WaitGroup
	for range v.workers {
		w := newMapWalker(v)
		wg.Go(func() {
			for t := range tasks {
				if ctx.Err() != nil {
					continue
				}
				if err := w.below(ctx, t); err != nil {
					cancel(err)
				}
			}
		})
	}
	top := newMapWalker(v)
	var err error
	for i, b := range backups {
		v.progress(VerifyMaps, i, len(backups))
		if err = top.above(ctx, mapTask{b.root, b.height, 0, b.size}, tasks); err != nil {
			break
		}
	}
	close(tasks)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	v.progress(VerifyMaps, len(backups), len(backups))
	return err
}

// mapWalker reads pages on one goroutine.
type mapWalker struct {
	v       *verifier
	pages   *pageReader
	hasher  *naming.Hasher
	leaf    maps.Leaf
	inner   [maps.MaxHeight + 1]*maps.Inner
	refs    []maps.Ref
	digests [format.LeafBlocks]format.Digest
}

func newMapWalker(v *verifier) *mapWalker {
	return &mapWalker{v: v, pages: newPageReader(v.r), hasher: v.r.names.Hasher()}
}

// above walks the pages above level 1, and hands out those of that level.
func (w *mapWalker) above(ctx context.Context, t mapTask, tasks chan<- mapTask) error {
	if t.ref.IsNull() || ctx.Err() != nil || !w.v.first(&t) {
		return context.Cause(ctx)
	}
	if t.level <= 1 {
		select {
		case tasks <- t:
		case <-ctx.Done():
		}
		return context.Cause(ctx)
	}
	return w.children(ctx, &t, func(t mapTask) error { return w.above(ctx, t, tasks) })
}

// below walks a page that was met for the first time and all below it.
func (w *mapWalker) below(ctx context.Context, t mapTask) error {
	if t.level == 0 {
		return w.checkLeaf(ctx, &t)
	}
	return w.children(ctx, &t, func(t mapTask) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !w.v.first(&t) {
			return nil
		}
		return w.below(ctx, t)
	})
}

// children calls fn with each child of an inner page that isn't null.
func (w *mapWalker) children(ctx context.Context, t *mapTask, fn func(mapTask) error) error {
	b, err := w.page(ctx, t)
	if b == nil || err != nil {
		return err
	}
	p := w.inner[t.level]
	if p == nil {
		p = &maps.Inner{}
		w.inner[t.level] = p
	}
	if err := p.Parse(b, uint8(t.level), t.index); err != nil {
		w.bad(t, w.pages.Bad(t.ref, err))
		return nil
	}
	if t.level == 1 {
		w.ahead(ctx, p)
	}
	for i := range p.Children {
		if p.Children[i].IsNull() {
			continue
		}
		if err := fn(mapTask{p.Children[i], t.level - 1, t.index*format.FanOut + uint64(i), t.size}); err != nil {
			return err
		}
	}
	return nil
}

// ahead reads the leaves below a page that are new, in few reads.
func (w *mapWalker) ahead(ctx context.Context, p *maps.Inner) {
	w.refs = w.refs[:0]
	w.v.mu.Lock()
	for _, ref := range p.Children {
		if pages := w.v.seen[ref.Pack]; !ref.IsNull() && (int(ref.Page) >= len(pages) || pages[ref.Page] == 0) {
			w.refs = append(w.refs, ref)
		}
	}
	w.v.mu.Unlock()
	w.pages.prefetch(ctx, w.refs)
}

// page returns a page's content, nil where it is damaged.
func (w *mapWalker) page(ctx context.Context, t *mapTask) ([]byte, error) {
	b, err := w.pages.Page(ctx, t.ref)
	if errors.Is(err, ErrCorrupt) {
		w.bad(t, err)
		return nil, nil
	}
	return b, err
}

func (w *mapWalker) bad(t *mapTask, err error) {
	place, ok := w.v.r.places.get(t.ref.Pack)
	if !ok || place.Object == "" {
		place.Kind = PagePack
	}
	place.Pack = t.ref.Pack
	w.v.badPage(place, t.ref, t.print(), err.Error())
}

// checkLeaf checks that a leaf's blocks are there, by the directories of their
// packs, and are those of its check.
func (w *mapWalker) checkLeaf(ctx context.Context, t *mapTask) error {
	b, err := w.page(ctx, t)
	if b == nil || err != nil {
		return err
	}
	if err := w.leaf.Parse(b, t.index); err != nil {
		w.bad(t, w.pages.Bad(t.ref, err))
		return nil
	}
	w.v.need(w.leaf.Packs)
	if err := w.v.r.learn(ctx, w.leaf.Packs); err != nil {
		return err
	}
	w.digests = [format.LeafBlocks]format.Digest{}
	unknown := ""
	end := uint16(0)
	for _, e := range w.leaf.Extents {
		what, err := w.extent(ctx, w.leaf.Packs[e.Pack], e)
		if err != nil {
			return err
		}
		unknown = cmp.Or(unknown, what)
		end = e.Block + e.Count
	}
	switch last := int64(t.index)*format.LeafSize + int64(end-1)*format.BlockSize; {
	case last >= t.size:
		w.bad(t, w.pages.Bad(t.ref, fmt.Errorf("%w: it maps blocks behind the volume's end", maps.ErrPage)))
	case unknown != "":
		// Nothing of the leaf can be checked, so nothing of it is restored.
		w.v.badLeaf(t, unknown)
	case w.hasher.Leaf(&w.digests) != w.leaf.Check:
		w.bad(t, w.pages.Bad(t.ref, fmt.Errorf("%w: its blocks are not those of its check", maps.ErrPage)))
	}
	return nil
}

// extent fills in the digests of an extent's blocks, and returns why they are
// not all known, empty where they are.
func (w *mapWalker) extent(ctx context.Context, id ID, e maps.Extent) (string, error) {
	place, d, what, err := w.v.directory(ctx, id)
	if err != nil || d == nil {
		return what, err
	}
	if int(e.Container) >= len(d.Containers) {
		d = &pack.Directory{Containers: make([]*pack.Container, format.PackContainers)}
	}
	c := d.Containers[e.Container]
	unknown := ""
	for i := range int(e.Count) {
		n := int(e.First) + i
		var digest format.Digest
		has := false
		if c != nil {
			digest, has = c.Digest(n)
		}
		if !has {
			what := "blocks of it are lost"
			if digest, has = d.LostDigest(e.Container, n); !has {
				what = fmt.Sprintf("it has no block %d in container %d", n, e.Container)
				unknown = cmp.Or(unknown, what)
			}
			w.v.blocks(place, int(e.Container)*format.ContainerGroups+n/format.GroupBlocks, 1<<(n%format.GroupBlocks),
				fmt.Sprintf("object %s is damaged: %s", place.Object, what))
		}
		w.digests[int(e.Block)+i] = digest
	}
	return unknown, nil
}

// need notes packs of blocks that a leaf names.
func (v *verifier) need(packs []ID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range packs {
		v.needed[id] = DataPack
	}
}

// directory returns a data pack's directory, from either of its places; nil
// where the pack is damaged so that nothing of it can be read, and why.
func (v *verifier) directory(ctx context.Context, id ID) (place Placement, d *pack.Directory, what string, err error) {
	if place, err = v.r.placement(ctx, id); err != nil {
		return place, nil, "", err
	}
	err = v.r.follow(ctx, place, func(now Placement) error {
		place = now
		if now.Object == "" {
			place.Kind = DataPack
			return &CorruptError{Object: placeName(now), What: "it lies nowhere that is known"}
		}
		d, err = v.r.directory(ctx, now, inCopy)
		return err
	})
	if errors.Is(err, ErrCorrupt) {
		v.whole(place, err.Error())
		return place, nil, err.Error(), nil
	}
	return place, d, "", err
}
