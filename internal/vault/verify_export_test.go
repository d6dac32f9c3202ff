package vault

import (
	"context"

	"holdfast/internal/vault/format"
)

// GroupAt is where a group lies in its object.
type GroupAt struct {
	Container, Group int
	Offset, Length   int64
	Blocks           int
}

// Groups returns where the groups of a data pack lie.
func (v *Vault) Groups(ctx context.Context, p Placement) ([]GroupAt, error) {
	d, err := v.reader().readDirectory(ctx, p, inPack)
	if err != nil {
		return nil, err
	}
	var out []GroupAt
	for c, container := range d.Containers {
		for g := range container.Groups {
			if at := &container.Groups[g]; at.Present != 0 {
				out = append(out, GroupAt{c, g, p.Offset + int64(at.Offset), int64(at.Length), at.Blocks()})
			}
		}
	}
	return out, nil
}

// PageAt returns where a page lies in its object.
func (v *Vault) PageAt(ctx context.Context, p Placement, page int) (off, length int64, err error) {
	d, err := v.reader().pageDirectory(ctx, p, inPack)
	if err != nil {
		return 0, 0, err
	}
	return p.Offset + int64(d.Offsets[page]), int64(d.Offsets[page+1] - d.Offsets[page]), nil
}

// Parts of a pack that a test damages.
const (
	HeaderSize = format.HeaderSize
	GroupSize  = format.GroupSize
)

// OpenSegment opens an index segment's object and returns how many hooks it
// has, and the generations of the packs that it names.
func OpenSegment(keys Keys, b []byte) (n int, generations map[uint32]bool, err error) {
	s, err := openSegment(keys, b)
	if err != nil {
		return 0, nil, err
	}
	generations = map[uint32]bool{}
	for i := range s.Places {
		generations[s.Places[i].Generation] = true
	}
	return len(s.Hooks), generations, nil
}

// Lost returns how many blocks of a data pack's generation are lost.
func (v *Vault) Lost(ctx context.Context, p Placement) (int, error) {
	d, err := v.reader().readDirectory(ctx, p, inPack)
	if err != nil {
		return 0, err
	}
	return len(d.Lost), nil
}
