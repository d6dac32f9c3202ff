package vault

import "testing"

// Of a generation that was made twice, by a collection that came to nothing
// and by a healing, the one that holds more counts; an authentic one before
// one that is only outlined.
func TestTheFullerTwinCounts(t *testing.T) {
	row := func(generation, live uint32, p proof) candidate {
		return candidate{generation: generation, live: live, proof: p, kind: DataPack}
	}
	for _, c := range []struct {
		name string
		rows []candidate // the highest generation first
		want int
	}{
		{"twins", []candidate{row(2, 5, authentic), row(2, 9, authentic), row(1, 20, authentic)}, 1},
		{"the higher generation", []candidate{row(3, 1, authentic), row(2, 9, authentic)}, 0},
		{"what authenticates", []candidate{row(3, 9, outlined), row(2, 1, refuted), row(2, 4, authentic)}, 2},
		{"an outline", []candidate{row(3, 9, vanished), row(2, 4, outlined), row(2, 6, outlined)}, 2},
		{"none", []candidate{row(3, 9, refuted)}, -1},
	} {
		got := -1
		if best := bestOf(c.rows); best != nil {
			for i := range c.rows {
				if best == &c.rows[i] {
					got = i
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: candidate %d, not %d", c.name, got, c.want)
		}
	}
}
