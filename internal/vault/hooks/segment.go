package hooks

import (
	"encoding/binary"
	"fmt"
	"slices"

	"holdfast/internal/vault/format"
)

// Hook is an entry of a segment.
type Hook struct {
	Tag   uint64
	Place uint32 // index in the segment's Places
}

// Segment is what an index segment object holds.
type Segment struct {
	Bits   uint8 // low bits that are zero in each of its tags
	Places []Place
	Hooks  []Hook // sorted by Tag, each once
}

const (
	placeSize = 24
	hookSize  = 10
	headSize  = 16
)

// Append appends the encoded segment to b.
func (s *Segment) Append(b []byte) []byte {
	le := binary.LittleEndian
	b = slices.Grow(b, headSize+len(s.Places)*placeSize+len(s.Hooks)*hookSize)
	b = append(b, s.Bits, 0, 0, 0)
	b = le.AppendUint32(b, uint32(len(s.Places)))
	b = le.AppendUint32(b, uint32(len(s.Hooks)))
	b = append(b, 0, 0, 0, 0)
	for i := range s.Places {
		p := &s.Places[i]
		b = append(b, p.Pack[:]...)
		b = le.AppendUint32(b, p.Generation)
		b = append(b, p.Container, 0, 0, 0)
	}
	for _, h := range s.Hooks {
		b = le.AppendUint32(b, uint32(h.Tag))
		b = le.AppendUint16(b, uint16(h.Tag>>32))
		b = le.AppendUint32(b, h.Place)
	}
	return b
}

// ParseSegment decodes a segment.
func ParseSegment(b []byte) (*Segment, error) {
	le := binary.LittleEndian
	if len(b) < headSize || b[1]|b[2]|b[3] != 0 || le.Uint32(b[12:]) != 0 || b[0] < Sampling || b[0] > maxSampling {
		return nil, fmt.Errorf("%w: head of index segment", format.ErrFormat)
	}
	places, hooks := uint64(le.Uint32(b[4:])), uint64(le.Uint32(b[8:]))
	if uint64(len(b)) != headSize+places*placeSize+hooks*hookSize {
		return nil, fmt.Errorf("%w: index segment of %d bytes", format.ErrFormat, len(b))
	}
	s := &Segment{Bits: b[0], Places: make([]Place, places), Hooks: make([]Hook, hooks)}
	b = b[headSize:]
	for i := range s.Places {
		p := Place{Pack: format.ID(b[:16]), Generation: le.Uint32(b[16:]), Container: b[20]}
		if p.Container >= format.PackContainers || b[21]|b[22]|b[23] != 0 {
			return nil, fmt.Errorf("%w: place in index segment", format.ErrFormat)
		}
		s.Places[i], b = p, b[placeSize:]
	}
	for i := range s.Hooks {
		h := Hook{Tag: uint64(le.Uint32(b)) | uint64(le.Uint16(b[4:]))<<32, Place: le.Uint32(b[6:])}
		if uint64(h.Place) >= places || !sampled(h.Tag, s.Bits) || i > 0 && h.Tag <= s.Hooks[i-1].Tag {
			return nil, fmt.Errorf("%w: hook in index segment", format.ErrFormat)
		}
		s.Hooks[i], b = h, b[hookSize:]
	}
	return s, nil
}
