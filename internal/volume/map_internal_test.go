package volume

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// place is where a grain of a modelled file lies: 0 is a hole, -1 nowhere that
// says anything.
type place = int64

const opaque place = -1

// sliceMap is an extent map of a modelled file, cut where cuts says so.
type sliceMap struct {
	ranges []mapped
}

func (m *sliceMap) Next(context.Context) (mapped, bool, error) {
	if len(m.ranges) == 0 {
		return mapped{}, false, nil
	}
	r := m.ranges[0]
	m.ranges = m.ranges[1:]
	return r, true, nil
}

func mapOf(t *rapid.T, places []place) *sliceMap {
	m := &sliceMap{}
	for i, p := range places {
		if p == 0 {
			continue
		}
		r := mapped{start: int64(i) * grain, end: int64(i+1) * grain, physical: p * grain}
		if p == opaque {
			r.physical, r.opaque = 0, true
		}
		last := len(m.ranges) - 1
		if last >= 0 && m.ranges[last].follows(r) && rapid.Bool().Draw(t, "join") {
			m.ranges[last].end = r.end
			continue
		}
		m.ranges = append(m.ranges, r)
	}
	return m
}

func TestDifferIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few places, mostly in rising order, make equal and adjoining ones
		// likely.
		draw := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) place { return rapid.Int64Range(-1, 4).Draw(t, "place") }), 40, 40)
		older := draw.Draw(t, "older")
		newer := append([]place(nil), older...)
		for i := range newer {
			if older[i] > 0 {
				older[i] += int64(i)
				newer[i] = older[i]
			}
			if rapid.IntRange(0, 3).Draw(t, "touch") == 0 {
				newer[i] = rapid.Int64Range(-1, 60).Draw(t, "new place")
			}
		}
		found := &extents{size: 40 * grain, max: 1000}
		if err := differ(context.Background(), mapOf(t, older), mapOf(t, newer), 40*grain, found); err != nil {
			t.Fatal(err)
		}
		want := &extents{size: 40 * grain, max: 1000}
		for i := range older {
			if older[i] != newer[i] || older[i] == opaque {
				want.add(int64(i)*grain, int64(i+1)*grain)
			}
		}
		if diff := cmp.Diff(want.list, found.list); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestExtentsCoverWithinTheirBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 1<<22).Draw(t, "size")
		x := &extents{size: size, max: rapid.IntRange(1, 8).Draw(t, "max")}
		touched := map[int64]bool{}
		pos := int64(0)
		for range rapid.IntRange(0, 40).Draw(t, "count") {
			start := pos + rapid.Int64Range(0, 60000).Draw(t, "gap")
			pos = start + rapid.Int64Range(0, 20000).Draw(t, "length")
			x.add(start, pos)
			for g := start / grain; g*grain < min(pos, size) && start < pos; g++ {
				touched[g] = true
			}
		}
		if len(x.list) > x.max {
			t.Fatal("too many extents", len(x.list))
		}
		end := int64(-1)
		for _, e := range x.list {
			stop := e.Offset + e.Length
			if e.Offset <= end || e.Length <= 0 || e.Offset%grain != 0 || stop > size || stop%grain != 0 && stop != size {
				t.Fatal("extent out of order or place", e)
			}
			end = stop
			for g := e.Offset / grain; g*grain < stop; g++ {
				delete(touched, g)
			}
		}
		if len(touched) > 0 {
			t.Fatal("not covered", touched)
		}
	})
}

func TestExtentsStayExactBelowTheirBound(t *testing.T) {
	x := &extents{size: 1 << 20, max: 3}
	x.add(5000, 5001)
	x.add(8192, 9000)
	x.add(100000, 100001)
	x.add(1<<20-10, 1<<20+10)
	want := []Extent{{4096, 8192}, {98304, 4096}, {1<<20 - 4096, 4096}}
	if diff := cmp.Diff(want, x.list); diff != "" {
		t.Error(diff)
	}
}
