package quickstart

import "math/rand/v2"

// Change is one write to the volume between the two backups. It lies inside
// one piece.
type Change struct {
	Offset int64 // in the volume, in bytes
	Length int64 // in bytes
	kind   kind
	seed   uint64
}

// Zeroes reports whether the change makes its range zero.
func (c Change) Zeroes() bool { return c.kind == hole }

// Fill fills buf, of Length bytes, with what is written.
func (c Change) Fill(buf []byte) { c.kind.fill(buf, c.seed) }

// Changes returns what is written between the two moments, piece by piece and
// in order inside each.
func (c *Content) Changes() []Change {
	var all []Change
	for _, list := range c.changes {
		all = append(all, list...)
	}
	return all
}

// ChangedBytes returns how many bytes are written between the two moments.
func (c *Content) ChangedBytes() int64 {
	var n int64
	for _, ch := range c.Changes() {
		n += ch.Length
	}
	return n
}

// planChanges plans writes of about budget bytes: one file is zeroed, one
// grows into a hole, and small writes fall all over the data, most of them not
// on the bounds of any block.
func planChanges(rng *rand.Rand, pieces []piece, budget int64) [][]Change {
	p := &changePlan{rng: rng, pieces: pieces, byPiece: make([][]Change, len(pieces))}
	left := budget - p.zeroRange(budget/4)
	left -= p.growth(budget / 5)
	p.smallWrites(left)
	return p.byPiece
}

type changePlan struct {
	rng     *rand.Rand
	pieces  []piece
	byPiece [][]Change
}

func (p *changePlan) add(i int, offset, length int64, k kind) {
	p.byPiece[i] = append(p.byPiece[i], Change{
		Offset: int64(i)*PieceSize + offset, Length: length, kind: k, seed: p.rng.Uint64(),
	})
}

// zeroRange zeroes up to n bytes in the middle of the longest run of data, and
// returns how many.
func (p *changePlan) zeroRange(n int64) int64 {
	first, count := p.longestRun()
	n = min(n, int64(count)*PieceSize/2)
	at := int64(first)*PieceSize + (int64(count)*PieceSize-n)/2 + 1536
	for end := at + n; at < end; {
		i := int(at / PieceSize)
		length := min(end, int64(i+1)*PieceSize) - at
		p.add(i, at-int64(i)*PieceSize, length, hole)
		at += length
	}
	return n
}

func (p *changePlan) longestRun() (first, count int) {
	for i := 0; i < len(p.pieces); {
		j := i
		for j < len(p.pieces) && p.pieces[j].kind != hole {
			j++
		}
		if j-i > count {
			first, count = i, j-i
		}
		i = max(j, i+1)
	}
	return first, count
}

// growth writes up to n bytes into the first hole that is large enough, and
// returns how many.
func (p *changePlan) growth(n int64) int64 {
	want := int(n / PieceSize)
	for i := 0; want > 0 && i+want <= len(p.pieces); i++ {
		if !p.empty(i, want) {
			continue
		}
		for j := i; j < i+want; j++ {
			p.add(j, 0, PieceSize, logs)
		}
		return int64(want) * PieceSize
	}
	return 0
}

func (p *changePlan) empty(i, n int) bool {
	for _, piece := range p.pieces[i : i+n] {
		if piece.kind != hole {
			return false
		}
	}
	return true
}

// smallWrites writes n bytes over data of the same kind.
func (p *changePlan) smallWrites(n int64) {
	var data []int
	for i, piece := range p.pieces {
		if piece.kind != hole && !p.zeroed(i) {
			data = append(data, i)
		}
	}
	for n > 0 && len(data) > 0 {
		i := data[p.rng.IntN(len(data))]
		length := min(n, 512+p.rng.Int64N(96<<10))
		p.add(i, p.rng.Int64N(PieceSize-length+1), length, p.pieces[i].kind)
		n -= length
	}
}

func (p *changePlan) zeroed(i int) bool {
	for _, c := range p.byPiece[i] {
		if c.Zeroes() {
			return true
		}
	}
	return false
}
