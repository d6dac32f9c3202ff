package vault

import (
	"context"
	"errors"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/pack"
)

// source is where a block may lie intact.
type source struct {
	pack      ID
	container uint8
	block     uint16
}

// sources are the places of one digest, two at most: should one turn out to be
// damaged, the other is tried.
type sources struct {
	at [2]source
	n  uint8
}

// find looks for the blocks that packs lost in other packs, and elsewhere in
// the same. First it looks where the index says that others like them are, then
// everywhere.
func (h *healer) find(ctx context.Context, batch []*healPack) (map[format.Digest]sources, error) {
	s := &search{h: h, found: map[format.Digest]sources{}, seen: map[ID]bool{}}
	hinted := map[ID]bool{}
	var first []ID
	for _, p := range batch {
		p.eachBad(func(_, _ int, d *format.Digest) {
			if _, ok := s.found[*d]; ok {
				return
			}
			s.found[*d] = sources{}
			if !hooks.IsHook(d) {
				return
			}
			if at, ok := h.s.index.Lookup(hooks.Tag(d)); ok && !hinted[at.Pack] {
				hinted[at.Pack] = true
				first = append(first, at.Pack)
			}
		})
	}
	s.missing = len(s.found)
	for _, ids := range [][]ID{first, h.others} {
		if err := s.look(ctx, ids); err != nil {
			return nil, err
		}
	}
	return s.found, nil
}

// search goes through directories for digests.
type search struct {
	h       *healer
	found   map[format.Digest]sources
	missing int // digests that no place is known of
	seen    map[ID]bool
}

var errFound = errors.New("all is found")

// look goes through the directories of packs until all is found.
func (s *search) look(ctx context.Context, ids []ID) error {
	r := s.h.s.read
	for len(ids) > 0 && s.missing > 0 {
		n := min(locateBatch, len(ids))
		places, err := r.locate(ctx, r.vault, ids[:n])
		if err != nil {
			return err
		}
		known := places[:0]
		for i, p := range places {
			if p.Object != "" && p.Kind == DataPack && !s.seen[ids[i]] {
				p.Pack = ids[i]
				known = append(known, p)
			}
		}
		ids = ids[n:]
		err = r.directories(ctx, known, s.match)
		if errors.Is(err, ErrCorrupt) { // of one of them
			err = s.oneByOne(ctx, known)
		}
		if err != nil && !errors.Is(err, errFound) {
			return err
		}
	}
	return nil
}

func (s *search) oneByOne(ctx context.Context, places []Placement) error {
	for _, p := range places {
		d, err := s.h.s.read.directory(ctx, p, inCopy)
		if errors.Is(err, ErrCorrupt) {
			continue
		}
		if err == nil {
			err = s.match(p, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// match takes what of a pack is looked for.
func (s *search) match(p Placement, d *pack.Directory) error {
	if s.seen[p.Pack] {
		return nil
	}
	s.seen[p.Pack] = true
	damaged := s.h.packs[p.Pack]
	for c, container := range d.Containers {
		for n := range container.Digests {
			digest := &container.Digests[n]
			at, ok := s.found[*digest]
			if !ok || int(at.n) == len(at.at) || s.h.avoid[sourceGroup{p.Pack, c*format.ContainerGroups + n/format.GroupBlocks}] ||
				damaged != nil && damaged.bad[c].group(n/format.GroupBlocks)>>(n%format.GroupBlocks)&1 == 1 {
				continue
			}
			at.at[at.n] = source{p.Pack, uint8(c), uint16(n)}
			if at.n++; at.n == 1 {
				s.missing--
			}
			s.found[*digest] = at
		}
	}
	if s.missing == 0 {
		return errFound
	}
	return nil
}
