// Package compress packs groups of blocks with S2 or zstd, or leaves them raw
// where that gains nothing.
package compress

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"holdfast/internal/vault/format"
)

// Method is how an Encoder tries to compress.
type Method uint8

// The methods, from the fastest to the densest.
const (
	S2 Method = iota
	ZstdFastest
	ZstdDefault
	ZstdBetter
	ZstdBest
)

// Encoder compresses groups on one goroutine.
type Encoder struct {
	zstd *zstd.Encoder // nil for S2
}

// NewEncoder returns an encoder of a method.
func NewEncoder(m Method) (*Encoder, error) {
	if m == S2 {
		return &Encoder{}, nil
	}
	level := zstd.SpeedFastest
	switch m {
	case ZstdDefault:
		level = zstd.SpeedDefault
	case ZstdBetter:
		level = zstd.SpeedBetterCompression
	case ZstdBest:
		level = zstd.SpeedBestCompression
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(format.GroupSize), zstd.WithEncoderCRC(false),
		zstd.WithSingleSegment(true), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return &Encoder{zstd: enc}, nil
}

// Encode compresses group into buf, which has room for MaxEncoded bytes, and
// returns the result, or group itself where compression gains less than 3 %.
func (e *Encoder) Encode(buf, group []byte) ([]byte, format.Codec) {
	enough := len(group) - len(group)/33
	if e.zstd == nil {
		out := s2.Encode(buf[:cap(buf)], group)
		if len(out) > enough {
			return group, format.Raw
		}
		return out, format.S2
	}
	// Random data has flat bytes; that it repeats nothing either costs a pass of
	// S2's matcher to see, a fifth of zstd's.
	if flat(group) && s2.EstimateBlockSize(group) < 0 {
		return group, format.Raw
	}
	out := e.zstd.EncodeAll(group, buf[:0])
	if len(out) > enough {
		return group, format.Raw
	}
	return out, format.Zstd
}

// MaxEncoded is the room in bytes that Encode needs.
func MaxEncoded() int { return s2.MaxEncodedLen(format.GroupSize) }

// flat reports whether a sample of the bytes, four times 1 KiB, is spread so
// evenly that coding them by frequency can't gain.
func flat(group []byte) bool {
	const pieces, piece = 4, 1 << 10
	var count [256]uint16
	n := 0
	for i := range pieces {
		off := i * len(group) / pieces
		for _, c := range group[off:min(off+piece, len(group))] {
			count[c]++
			n++
		}
	}
	squares := 0
	for _, c := range count {
		squares += int(c) * int(c)
	}
	// Random bytes have about n + n²/256; a tenth more is already text-like.
	return squares*10 < (n+n*n/256)*11
}

// ErrDecode is wrapped where bytes don't decompress to what was expected.
var ErrDecode = errors.New("group doesn't decompress")

// Decoder decompresses groups on one goroutine.
type Decoder struct {
	zstd *zstd.Decoder
}

// NewDecoder returns a decoder that never allocates more than a group needs.
func NewDecoder() (*Decoder, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(format.GroupSize), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &Decoder{zstd: dec}, nil
}

// Close frees the decoder.
func (d *Decoder) Close() { d.zstd.Close() }

// Decode decompresses src into buf, which has exactly the size of the
// result, and returns it; a raw group is returned as it is.
func (d *Decoder) Decode(buf, src []byte, codec format.Codec) ([]byte, error) {
	switch codec {
	case format.Raw:
		if len(src) != len(buf) {
			return nil, fmt.Errorf("%w: %d raw bytes for %d", ErrDecode, len(src), len(buf))
		}
		return src, nil
	case format.S2:
		if n, err := s2.DecodedLen(src); err != nil || n != len(buf) {
			return nil, fmt.Errorf("%w: length %d for %d", ErrDecode, n, len(buf))
		}
		out, err := s2.Decode(buf, src)
		if err != nil || len(out) != len(buf) {
			return nil, fmt.Errorf("%w: %w", ErrDecode, err)
		}
		return out, nil
	case format.Zstd:
		out, err := d.zstd.DecodeAll(src, buf[:0:len(buf)])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDecode, err)
		}
		if len(out) != len(buf) {
			return nil, fmt.Errorf("%w: length %d for %d", ErrDecode, len(out), len(buf))
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: unknown codec %d", ErrDecode, codec)
}
