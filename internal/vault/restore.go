package vault

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
)

// A window is the part of a volume whose reads are sorted together; when it is
// done, all before its end is durable in the target.
const (
	windowLeaves = 64              // with data, 256 MiB
	windowSpan   = int64(64) << 30 // holes included
	zeroPiece    = int64(1) << 30  // of one call of Target.Zero
)

// Restore writes a backup's exact bytes, holes included, to the target.
// Everything that is read is checked.
//
// Errors: *CorruptError where the vault's data is damaged; *TargetError;
// ErrTooSmall, before anything is written; the context's.
func (v *Vault) Restore(ctx context.Context, req RestoreRequest) error {
	return restore(ctx, v.reader(), v.cfg.Workers, req)
}

func restore(ctx context.Context, r *reader, workers int, req RestoreRequest) error {
	rec, err := r.record(ctx, req.Record)
	if err != nil {
		return err
	}
	if have := req.Target.Size(); have < rec.Size {
		return fmt.Errorf("restore %s: %w: it holds %d bytes of %d", rec.Info.Backup, ErrTooSmall, have, rec.Size)
	}
	if req.From < 0 || req.From > rec.Size {
		return fmt.Errorf("restore %s: offset %d of %d bytes", rec.Info.Backup, req.From, rec.Size)
	}
	pages := newPageReader(r)
	x := &restorer{
		r: r, req: req, size: rec.Size, pages: pages, tree: maps.NewTree(pages, rec.Root, rec.Height),
		fetchers: min(max(2*workers, minFetchers), maxFetchers), hasher: r.names.Hasher(),
	}
	defer x.close()
	for leaf := req.From / format.LeafSize; ; {
		end, err := x.window(ctx, leaf)
		if err != nil {
			return fmt.Errorf("restore %s: %w", rec.Info.Backup, err)
		}
		if leaf = end; leaf*format.LeafSize >= rec.Size {
			return nil
		}
	}
}

// window restores the next window, from a leaf on, and returns the leaf after
// it. Where an object is gone it asks once more where things lie.
func (x *restorer) window(ctx context.Context, leaf int64) (int64, error) {
	end, err := x.try(ctx, leaf)
	if errors.Is(err, blob.ErrNotFound) && ctx.Err() == nil {
		x.r.forget()
		x.pages.reset()
		end, err = x.try(ctx, leaf)
	}
	if err != nil {
		return 0, err
	}
	if err := x.req.Target.Sync(); err != nil {
		return 0, &TargetError{Err: fmt.Errorf("sync: %w", err)}
	}
	reached := min(end*format.LeafSize, x.size)
	if x.req.Reached != nil {
		if err := x.req.Reached(reached); err != nil {
			return 0, fmt.Errorf("note progress: %w", err)
		}
	}
	if x.req.Progress != nil {
		x.req.Progress(Progress{Done: reached, Size: x.size, Read: x.read.Load()})
	}
	return end, nil
}

func (x *restorer) try(ctx context.Context, leaf int64) (int64, error) {
	w := &x.plan
	w.reset()
	end, err := x.gather(ctx, leaf)
	if err != nil {
		return 0, err
	}
	w.sort()
	return end, x.fetch(ctx)
}

// gather plans a window: what to read for its blocks, and what is holes. The
// digests of each leaf's blocks are checked against the leaf's check.
func (x *restorer) gather(ctx context.Context, leaf int64) (int64, error) {
	limit := min((x.size+format.LeafSize-1)/format.LeafSize, leaf+windowSpan/format.LeafSize)
	for n := 0; n < windowLeaves && leaf < limit; n++ {
		next, ok, err := x.tree.Next(ctx, uint64(leaf))
		if err != nil {
			return 0, err
		}
		if !ok || int64(next) >= limit {
			x.plan.hole(leaf*format.LeafSize, min(limit*format.LeafSize, x.size))
			return limit, nil
		}
		x.plan.hole(leaf*format.LeafSize, int64(next)*format.LeafSize)
		if err := x.leafPieces(ctx, int64(next), n); err != nil {
			return 0, err
		}
		leaf = int64(next) + 1
	}
	return leaf, nil
}

// leafPieces plans one leaf, the window's n-th.
func (x *restorer) leafPieces(ctx context.Context, index int64, n int) error {
	ref, err := x.tree.Leaf(ctx, uint64(index), &x.leaf)
	if err != nil {
		return err
	}
	base := index * format.LeafSize
	digests := (*[format.LeafBlocks]format.Digest)(x.plan.digests[n*format.LeafBlocks:])
	*digests = [format.LeafBlocks]format.Digest{}
	if err := x.r.learn(ctx, x.leaf.Packs); err != nil {
		return err
	}
	at := 0
	for _, e := range x.leaf.Extents {
		x.plan.hole(base+int64(at)*format.BlockSize, base+int64(e.Block)*format.BlockSize)
		if err := x.extentPieces(ctx, e, digests, base, n); err != nil {
			return err
		}
		at = int(e.Block + e.Count)
	}
	if base+int64(at-1)*format.BlockSize >= x.size {
		return x.pages.Bad(ref, fmt.Errorf("%w: it maps blocks behind the volume's end", maps.ErrPage))
	}
	x.plan.hole(base+int64(at)*format.BlockSize, min(base+format.LeafSize, x.size))
	if x.hasher.Leaf(digests) != x.leaf.Check {
		return x.pages.Bad(ref, fmt.Errorf("%w: its blocks are not those of its check", maps.ErrPage))
	}
	return nil
}

// extentPieces plans the reads of one extent, and fills in its blocks' digests.
func (x *restorer) extentPieces(ctx context.Context, e maps.Extent, digests *[format.LeafBlocks]format.Digest, base int64, n int) error {
	id := x.leaf.Packs[e.Pack]
	place, err := x.r.placement(ctx, id)
	if err != nil {
		return err
	}
	place.Pack = id
	if place.Object == "" {
		return &CorruptError{Object: placeName(place), What: "it lies nowhere that is known"}
	}
	d, err := x.r.directory(ctx, place, inPack)
	if err != nil {
		return err
	}
	if int(e.Container) >= len(d.Containers) {
		return &CorruptError{Object: place.Object, What: fmt.Sprintf("it has no container %d", e.Container)}
	}
	c := d.Containers[e.Container]
	pack := x.plan.pack(place, &d.Header)
	for i := 0; i < int(e.Count); {
		number := int(e.First) + i
		slot := number % format.GroupBlocks
		count := min(format.GroupBlocks-slot, int(e.Count)-i)
		for k := range count {
			digest, ok := c.Digest(number + k)
			if !ok {
				return &CorruptError{Object: place.Object, What: fmt.Sprintf("it has no block %d in container %d", number+k, e.Container)}
			}
			digests[int(e.Block)+i+k] = digest
		}
		block := int(e.Block) + i
		x.plan.pieces = append(x.plan.pieces, piece{
			group: c.Groups[number/format.GroupBlocks], part: uint16(int(e.Container)*format.ContainerGroups + number/format.GroupBlocks),
			pack: pack, slot: uint8(slot), count: uint8(count),
			offset: base + int64(block)*format.BlockSize, digest: int32(n*format.LeafBlocks + block),
		})
		i += count
	}
	return nil
}

// restorer restores one backup.
type restorer struct {
	r     *reader
	req   RestoreRequest
	size  int64
	pages *pageReader
	tree  *maps.Tree
	leaf  maps.Leaf
	plan  window

	hasher   *naming.Hasher
	fetchers int
	idle     []*fetcher
	read     atomic.Int64
}
