package hooks_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
)

func TestMerge(t *testing.T) {
	place := func(n byte) hooks.Place { return hooks.Place{Pack: format.ID{n}, Generation: 1} }
	a := &hooks.Segment{Bits: 5, Places: []hooks.Place{place(1), place(2)}, Hooks: []hooks.Hook{{32, 0}, {64, 1}, {96, 0}, {256, 1}}}
	b := &hooks.Segment{Bits: 6, Places: []hooks.Place{place(3), place(4)}, Hooks: []hooks.Hook{{64, 0}, {128, 1}, {256, 1}, {512, 0}}}
	got := hooks.Merge([]*hooks.Segment{a, b}, func(p hooks.Place) bool { return p != place(4) })
	want := &hooks.Segment{
		Bits: 5, Places: []hooks.Place{place(1), place(3), place(2)},
		Hooks: []hooks.Hook{{32, 0}, {64, 1}, {96, 0}, {256, 2}, {512, 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again, err := hooks.ParseSegment(got.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Error(diff)
	}
	if got := hooks.Merge([]*hooks.Segment{a, b}, func(hooks.Place) bool { return false }); got != nil {
		t.Errorf("nothing is kept, and yet: %+v", got)
	}
	if got := hooks.Merge(nil, nil); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
}
