package quickstart_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/quickstart"
)

const piece = quickstart.PieceSize

func small(seed uint64) quickstart.Plan {
	return quickstart.Plan{Seed: seed, Size: 64 * piece, Data: 40 * piece}
}

// hash returns the digest of a whole volume at a moment.
func hash(c *quickstart.Content, at quickstart.Moment) string {
	h := sha256.New()
	buf := make([]byte, piece)
	for i := range c.Pieces() {
		c.Piece(at, i, buf)
		h.Write(buf)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func TestContentIsTheSameEverywhere(t *testing.T) {
	c := quickstart.NewContent(small(1))
	if got, want := hash(c, quickstart.Filled), "7d00406798547c5e"; got != want {
		t.Errorf("filled: %s, want %s", got, want)
	}
	if got, want := hash(c, quickstart.Changed), "2b443774a4a7c88d"; got != want {
		t.Errorf("changed: %s, want %s", got, want)
	}
}

func TestContentDependsOnTheSeed(t *testing.T) {
	if hash(quickstart.NewContent(small(1)), quickstart.Filled) == hash(quickstart.NewContent(small(2)), quickstart.Filled) {
		t.Error("two seeds give the same content")
	}
}

// A piece may be asked for in any order, and what the buffer held before must
// not shine through.
func TestPieceIsAFunctionOfItsNumber(t *testing.T) {
	c := quickstart.NewContent(small(3))
	clean, dirty := make([]byte, piece), bytes.Repeat([]byte{0xa5}, piece)
	for i := c.Pieces() - 1; i >= 0; i-- {
		for _, at := range []quickstart.Moment{quickstart.Changed, quickstart.Filled} {
			clear(clean)
			c.Piece(at, i, clean)
			c.Piece(at, i, dirty)
			if !bytes.Equal(clean, dirty) {
				t.Fatalf("piece %d at moment %d depends on the buffer", i, at)
			}
		}
	}
}

func TestVolumeHoldsWhatThePlanSays(t *testing.T) {
	plan := quickstart.Plan{Seed: 7, Size: 1024 * piece, Data: 600 * piece}
	c := quickstart.NewContent(plan)
	var data int64
	for i := range c.Pieces() {
		if !c.Hole(quickstart.Filled, i) {
			data += piece
		}
	}
	if data != plan.Data || c.Data() != plan.Data || int64(c.Pieces())*piece != plan.Size {
		t.Errorf("%d bytes of data in %d pieces, want %d in %d", data, c.Pieces(), plan.Data, plan.Size/piece)
	}
	changed := c.ChangedBytes()
	if changed < plan.Size*18/1000 || changed > plan.Size*22/1000 {
		t.Errorf("%d bytes change, which isn't about 2 %%", changed)
	}
	var zeroed int64
	for _, ch := range c.Changes() {
		if ch.Zeroes() {
			zeroed += ch.Length
		}
	}
	if zeroed < 4*piece {
		t.Errorf("only %d bytes are zeroed", zeroed)
	}
}

// What the volume holds after the changes is what it held before, with the
// changes written over it, and nothing else.
func TestChangesTurnOneMomentIntoTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := quickstart.Plan{Seed: rapid.Uint64().Draw(t, "seed"), Size: piece * rapid.Int64Range(2, 30).Draw(t, "size")}
		plan.Data = piece * rapid.Int64Range(1, plan.Size/piece).Draw(t, "data")
		c := quickstart.NewContent(plan)
		changes := c.Changes()
		got, want := make([]byte, piece), make([]byte, piece)
		for i := range c.Pieces() {
			start := int64(i) * piece
			c.Piece(quickstart.Filled, i, got)
			for len(changes) > 0 && changes[0].Offset < start+piece {
				ch := changes[0]
				changes = changes[1:]
				if ch.Offset < start || ch.Length < 1 || ch.Offset+ch.Length > start+piece {
					t.Fatalf("change of %d bytes at %d is not inside piece %d", ch.Length, ch.Offset, i)
				}
				into := got[ch.Offset-start:][:ch.Length]
				before := bytes.Clone(into)
				ch.Fill(into)
				if ch.Zeroes() && len(bytes.Trim(into, "\x00")) > 0 {
					t.Fatalf("piece %d: a zeroed range holds data", i)
				}
				if ch.Zeroes() && ch.Length > 64<<10 && bytes.Equal(before, into) {
					t.Fatalf("piece %d: zeroes what was zero", i)
				}
			}
			c.Piece(quickstart.Changed, i, want)
			if !bytes.Equal(got, want) {
				t.Fatalf("piece %d is not what the changes make of it", i)
			}
		}
		if len(changes) > 0 {
			t.Fatalf("%d changes are outside the volume", len(changes))
		}
	})
}

func BenchmarkPiece(b *testing.B) {
	c := quickstart.NewContent(quickstart.Plan{Seed: 1, Size: 600 * piece, Data: 600 * piece})
	buf := make([]byte, piece)
	b.SetBytes(piece)
	for i := 0; b.Loop(); i++ {
		c.Piece(quickstart.Filled, i%c.Pieces(), buf)
	}
}
