package quickstart

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// PieceSize is the unit in which content is made, in bytes.
const PieceSize = 1 << 20

// Plan says what a volume is to hold. Sizes are in bytes and multiples of
// PieceSize.
type Plan struct {
	Seed uint64
	Size int64 // of the volume
	Data int64 // of that, what is not a hole at first
}

// Moment is an instant of the volume.
type Moment int

// The moments at which the volume is backed up.
const (
	Filled  Moment = iota // after the first filling
	Changed               // after the changes
)

// Content makes what a volume holds at each moment. It is a function of the
// plan alone, and may be used concurrently.
type Content struct {
	plan    Plan
	pieces  []piece
	changes [][]Change // by piece, in the order of their writing
}

// piece is a MiB of the volume at first. The zero piece is a hole.
type piece struct {
	kind kind
	seed uint64
}

// NewContent lays out the content of a plan.
func NewContent(p Plan) *Content {
	rng := rand.New(rand.NewPCG(p.Seed, 'l'))
	c := &Content{plan: p, pieces: layOut(rng, int(p.Size/PieceSize), int(p.Data/PieceSize))}
	c.changes = planChanges(rand.New(rand.NewPCG(p.Seed, 'c')), c.pieces, p.Size/50)
	return c
}

// layOut places extents of one kind each, with holes between them, on a
// volume. About one extent in twelve is a copy of an earlier one, as on real
// disks.
func layOut(rng *rand.Rand, pieces, data int) []piece {
	type extent struct {
		count int
		first piece
	}
	var extents []extent
	for left := data; left > 0; {
		e := extent{count: min(left, 4+rng.IntN(21)), first: piece{kind: pickKind(rng), seed: rng.Uint64()}}
		if n := len(extents); n > 0 && rng.IntN(12) == 0 {
			e = extents[rng.IntN(n)]
			e.count = min(e.count, left)
		}
		extents = append(extents, e)
		left -= e.count
	}
	all := make([]piece, 0, pieces)
	holes := pieces - data
	for i, e := range extents {
		gap := holes / (len(extents) - i)
		gap = min(holes, gap/2+rng.IntN(gap+1))
		holes -= gap
		for n := range e.count {
			p := e.first
			p.seed += uint64(n)
			all = append(all, p)
		}
		all = append(all, make([]piece, gap)...)
	}
	return append(all, make([]piece, holes)...)
}

// Pieces returns how many pieces the volume has.
func (c *Content) Pieces() int { return len(c.pieces) }

// Size returns the volume's size in bytes.
func (c *Content) Size() int64 { return c.plan.Size }

// Data returns how many bytes are not holes at first.
func (c *Content) Data() int64 { return c.plan.Data }

// Hole reports whether piece i was never written at that moment. A piece
// that is none may hold zeros all the same.
func (c *Content) Hole(at Moment, i int) bool {
	return c.pieces[i].kind == hole && (at == Filled || len(c.changes[i]) == 0)
}

// Piece fills buf, of PieceSize bytes, with what piece i holds at that moment.
func (c *Content) Piece(at Moment, i int, buf []byte) {
	p := c.pieces[i]
	p.kind.fill(buf, p.seed)
	if at == Filled {
		return
	}
	start := int64(i) * PieceSize
	for _, ch := range c.changes[i] {
		ch.Fill(buf[ch.Offset-start:][:ch.Length])
	}
}

// kind is a sort of content.
type kind uint8

const (
	hole kind = iota
	logs
	documents
	pages
	noise
)

// pickKind chooses as a server's disk might: mostly what compresses well,
// about a quarter that doesn't compress at all.
func pickKind(rng *rand.Rand) kind {
	switch n := rng.IntN(100); {
	case n < 30:
		return logs
	case n < 50:
		return documents
	case n < 75:
		return pages
	default:
		return noise
	}
}

// fill fills buf with content of the kind. The same seed gives the same bytes.
func (k kind) fill(buf []byte, seed uint64) {
	src := rand.NewPCG(seed, uint64(k))
	switch k {
	case hole:
		clear(buf)
	case logs:
		fillLines(buf, newLogWriter(src).line)
	case documents:
		fillLines(buf, newDocumentWriter(src).line)
	case pages:
		fillPages(buf, src)
	case noise:
		fillNoise(buf, src)
	}
}

// fillLines fills buf with lines, the last one cut off.
func fillLines(buf []byte, line func([]byte) []byte) {
	const longest = 512
	out := buf[:0:len(buf)]
	for cap(out)-len(out) >= longest {
		out = line(out)
	}
	tail := make([]byte, 0, 2*longest)
	for left := cap(out) - len(out); len(tail) < left; {
		tail = line(tail)
	}
	copy(buf[len(out):], tail)
}

func fillNoise(buf []byte, src *rand.PCG) {
	for len(buf) >= 8 {
		binary.LittleEndian.PutUint64(buf, src.Uint64())
		buf = buf[8:]
	}
	for i := range buf {
		buf[i] = byte(src.Uint64())
	}
}

// zero reports whether b holds nothing but zeros.
func zero(b []byte) bool {
	const step = 4096
	var zeros [step]byte
	for len(b) > step {
		if !bytes.Equal(b[:step], zeros[:]) {
			return false
		}
		b = b[step:]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
