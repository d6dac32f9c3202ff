package vault

import (
	"context"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/sealing"
)

// RewriteItem asks a test's rewriter for a pack's next generation.
type RewriteItem struct {
	Place Placement
	Live  func(container, block int) bool // nil: all
	Pages func(page uint32) bool          // nil: all
}

// RewriteOptions are those of a test's rewriter.
type RewriteOptions struct {
	Compression Compression
	Recompress  bool
	ObjectSize  int64
}

// Rewrite rewrites packs, and puts their hooks' segment and the epoch where one
// is given, as a collection does.
func (v *Vault) Rewrite(ctx context.Context, ref SessionRef, items []RewriteItem, opt RewriteOptions, epoch int64) ([]Placement, []DamagedPack, *SegmentRef, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := newWriter(v, ref, ID{0xfe}, cancel)
	list := make([]rewriteItem, len(items))
	for i, item := range items {
		list[i] = rewriteItem{place: item.Place}
		if item.Live != nil {
			list[i].live = &[format.PackContainers]blockSet{}
			for c := range list[i].live {
				for n := range format.ContainerBlocks {
					if item.Live(c, n) {
						list[i].live[c].addGroup(n/format.GroupBlocks, 1<<(n%format.GroupBlocks))
					}
				}
			}
		}
		if item.Pages != nil {
			list[i].pages = &pageSet{}
			for n := range uint32(1 << 14) {
				if item.Pages(n) {
					list[i].pages.add(n)
				}
			}
		}
	}
	var damaged []DamagedPack
	delta := hooks.NewDelta()
	places, err := w.rewrite(ctx, list, rewriteOptions{
		compression: opt.Compression, recompress: opt.Recompress, objectSize: opt.ObjectSize, hooks: delta,
		damaged: func(d DamagedPack) { damaged = append(damaged, d) },
	})
	if err != nil {
		return nil, damaged, nil, err
	}
	if epoch > 0 {
		if err := w.putEpoch(ctx, epoch); err != nil {
			return nil, damaged, nil, err
		}
	}
	segment := delta.Segment()
	if segment == nil {
		return places, damaged, nil, nil
	}
	name, err := w.name(format.Index)
	if err != nil {
		return nil, damaged, nil, err
	}
	b, err := w.putWhole(ctx, whole{name: name, kind: format.KindIndex, label: sealing.IndexLabel, plain: segment.Append(nil)})
	return places, damaged, &SegmentRef{Object: name, Size: int64(len(b))}, err
}

// Directory returns which blocks a data pack's generation has.
func (v *Vault) Directory(ctx context.Context, p Placement) (func(container, block int) bool, error) {
	d, err := v.reader().readDirectory(ctx, p, inPack)
	if err != nil {
		return nil, err
	}
	return func(c, n int) bool {
		if c >= len(d.Containers) {
			return false
		}
		_, ok := d.Containers[c].Digest(n)
		return ok
	}, nil
}
