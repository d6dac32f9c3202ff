package vault

import (
	"encoding/binary"
	"fmt"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
)

const maxName = 512

// appendPlacements appends the content of a placement segment to b.
func appendPlacements(b []byte, places []Placement) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(places)))
	for i := range places {
		p := &places[i]
		b = append(b, p.Pack[:]...)
		b = le.AppendUint32(b, p.Generation)
		b = append(b, byte(p.Kind), 0, 0, 0)
		for _, v := range []int64{p.Offset, p.Length, p.DirOffset, p.DirAt, p.Live} {
			b = le.AppendUint64(b, uint64(v))
		}
		for _, name := range []string{p.Object, p.DirObject} {
			b = le.AppendUint16(b, uint16(len(name)))
			b = append(b, name...)
		}
	}
	return b
}

// parsePlacements decodes the content of a placement segment.
func parsePlacements(b []byte) ([]Placement, error) {
	bad := fmt.Errorf("%w: placement segment", format.ErrFormat)
	if len(b) < 4 {
		return nil, bad
	}
	le := binary.LittleEndian
	n := le.Uint32(b)
	b = b[4:]
	const fixed = 16 + 8 + 5*8
	if uint64(n)*(fixed+4) > uint64(len(b)) {
		return nil, bad
	}
	places := make([]Placement, n)
	for i := range places {
		if len(b) < fixed {
			return nil, bad
		}
		p := &places[i]
		p.Pack, p.Generation, p.Kind = ID(b[:16]), le.Uint32(b[16:]), PackKind(b[20])
		if b[21]|b[22]|b[23] != 0 || p.Kind != DataPack && p.Kind != PagePack || p.Generation == 0 {
			return nil, bad
		}
		for k, v := range []*int64{&p.Offset, &p.Length, &p.DirOffset, &p.DirAt, &p.Live} {
			*v = int64(le.Uint64(b[24+8*k:]))
			if *v < 0 || *v > blob.MaxSize {
				return nil, bad
			}
		}
		b = b[fixed:]
		for _, name := range []*string{&p.Object, &p.DirObject} {
			if len(b) < 2 || int(le.Uint16(b)) > min(maxName, len(b)-2) {
				return nil, bad
			}
			k := 2 + int(le.Uint16(b))
			*name, b = string(b[2:k]), b[k:]
		}
		if p.Object == "" || p.DirOffset > p.Length {
			return nil, bad
		}
	}
	if len(b) != 0 {
		return nil, bad
	}
	return places, nil
}
