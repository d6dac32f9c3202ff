package vault

import (
	"context"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

// dirCopy is a directory that waits for its second place.
type dirCopy struct {
	place Placement
	dir   []byte
}

// listed is how many bytes of directories go into one directory object.
const listed = 8 << 20

// list writes the second copies of the directories of all durable packs, and
// a placement segment of these; afterwards they are in w.placed. Without all,
// it does so only where a directory object can be filled.
func (w *writer) list(ctx context.Context, all bool) error {
	for {
		batch := w.nextCopies(all)
		if len(batch) == 0 {
			return nil
		}
		placed, err := w.writeCopies(ctx, batch)
		if err != nil {
			return err
		}
		name, err := w.name(format.Placements)
		if err != nil {
			return err
		}
		if _, err := w.putWhole(ctx, whole{
			name: name, kind: format.KindPlacement, label: sealing.PlacementLabel, plain: appendPlacements(nil, placed),
		}); err != nil {
			return err
		}
		w.listing.Lock()
		w.placed = append(w.placed, placed...)
		w.listing.Unlock()
		for _, p := range placed {
			w.read.places.set(p.Pack, p)
		}
	}
}

// nextCopies takes the next directory object's worth of copies.
func (w *writer) nextCopies(all bool) []dirCopy {
	w.listing.Lock()
	defer w.listing.Unlock()
	size := 0
	for i := range w.unlisted {
		size += len(w.unlisted[i].dir)
		if size >= listed {
			batch := w.unlisted[:i+1]
			w.unlisted = append([]dirCopy(nil), w.unlisted[i+1:]...)
			return batch
		}
	}
	if !all {
		return nil
	}
	batch := w.unlisted
	w.unlisted = nil
	return batch
}

func (w *writer) writeCopies(ctx context.Context, batch []dirCopy) ([]Placement, error) {
	h, err := w.header(format.KindDirectories, ID{})
	if err != nil {
		return nil, err
	}
	name, err := w.name(format.Dirs)
	if err != nil {
		return nil, err
	}
	b := body{pool: &w.chunks}
	defer b.release()
	b.Write(h.Append(nil))
	placed := make([]Placement, 0, len(batch))
	entries := make([]format.FooterEntry, 0, len(batch))
	for i := range batch {
		p := batch[i].place
		p.DirObject, p.DirAt = name, b.size
		kind := format.KindDataPack
		if p.Kind == PagePack {
			kind = format.KindPagePack
		}
		entries = append(entries, format.FooterEntry{
			Pack: p.Pack, Generation: p.Generation, Kind: kind, Offset: b.size, Length: int64(len(batch[i].dir)),
		})
		b.Write(batch[i].dir)
		placed = append(placed, p)
	}
	b.Write(format.AppendFooter(nil, entries))
	return placed, w.put(ctx, name, &b, b.size)
}

// takePlaced takes the packs that became durable since the last call.
func (w *writer) takePlaced() []Placement {
	w.listing.Lock()
	defer w.listing.Unlock()
	placed := w.placed
	w.placed = nil
	return placed
}
