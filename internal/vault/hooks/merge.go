package hooks

import "holdfast/internal/vault/format"

// SegmentBytes returns about how large a segment is that has the hooks of so
// many blocks.
func SegmentBytes(blocks int64) int64 {
	return blocks>>Sampling*hookSize + (blocks/format.ContainerBlocks+1)*placeSize
}

// Merge returns one segment in the place of several, the oldest first: where
// they name different places for a hook, the newest one's stays. Places that
// keep refuses, and those that are of no use, are left out. It returns nil
// where nothing is left.
func Merge(segments []*Segment, keep func(Place) bool) *Segment {
	out := &Segment{Bits: maxSampling}
	for _, s := range segments {
		kept := make([]bool, len(s.Places))
		for i := range s.Places {
			kept[i] = keep(s.Places[i])
		}
		base := uint32(len(out.Places))
		out.Places = append(out.Places, s.Places...)
		out.Hooks = merge(out.Hooks, s.Hooks, kept, base)
		out.Bits = min(out.Bits, s.Bits)
	}
	if len(out.Hooks) == 0 {
		return nil
	}
	out.compact()
	return out
}

// merge returns the hooks of two segments, sorted: old ones, and of the new
// ones those whose places are kept.
func merge(old, fresh []Hook, kept []bool, base uint32) []Hook {
	out := make([]Hook, 0, len(old)+len(fresh))
	for _, h := range fresh {
		if !kept[h.Place] {
			continue
		}
		for len(old) > 0 && old[0].Tag < h.Tag {
			out, old = append(out, old[0]), old[1:]
		}
		if len(old) > 0 && old[0].Tag == h.Tag {
			old = old[1:]
		}
		out = append(out, Hook{Tag: h.Tag, Place: base + h.Place})
	}
	return append(out, old...)
}

// compact drops the places that no hook names.
func (s *Segment) compact() {
	const unused = ^uint32(0)
	at := make([]uint32, len(s.Places))
	for i := range at {
		at[i] = unused
	}
	places := s.Places[:0:0]
	for i := range s.Hooks {
		h := &s.Hooks[i]
		if at[h.Place] == unused {
			at[h.Place] = uint32(len(places))
			places = append(places, s.Places[h.Place])
		}
		h.Place = at[h.Place]
	}
	s.Places = places
}
