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
// a placement segment of these; afterwards they are in s.placed. Without all,
// it does so only where a directory object can be filled.
func (s *session) list(ctx context.Context, all bool) error {
	for {
		batch := s.nextCopies(all)
		if len(batch) == 0 {
			return nil
		}
		placed, err := s.writeCopies(ctx, batch)
		if err != nil {
			return err
		}
		name, err := s.name(format.Placements)
		if err != nil {
			return err
		}
		if _, err := s.putWhole(ctx, whole{
			name: name, kind: format.KindPlacement, label: sealing.PlacementLabel, plain: appendPlacements(nil, placed),
		}); err != nil {
			return err
		}
		s.mu.Lock()
		s.placed = append(s.placed, placed...)
		s.mu.Unlock()
		for _, p := range placed {
			s.read.places.set(p.Pack, p)
		}
	}
}

// nextCopies takes the next directory object's worth of copies.
func (s *session) nextCopies(all bool) []dirCopy {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := 0
	for i := range s.unlisted {
		size += len(s.unlisted[i].dir)
		if size >= listed {
			batch := s.unlisted[:i+1]
			s.unlisted = append([]dirCopy(nil), s.unlisted[i+1:]...)
			return batch
		}
	}
	if !all {
		return nil
	}
	batch := s.unlisted
	s.unlisted = nil
	return batch
}

func (s *session) writeCopies(ctx context.Context, batch []dirCopy) ([]Placement, error) {
	h, err := s.header(format.KindDirectories, ID{})
	if err != nil {
		return nil, err
	}
	name, err := s.name(format.Dirs)
	if err != nil {
		return nil, err
	}
	b := body{pool: &s.chunks}
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
	return placed, s.put(ctx, name, &b, b.size)
}
