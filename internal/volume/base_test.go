package volume_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/volume"
)

func bases(t *testing.T, f *volume.Folder, id string) []string {
	t.Helper()
	states, err := f.Bases(id)
	must(t, err)
	return states
}

func TestBases(t *testing.T) {
	everywhere(t, func(t *testing.T, dir string) {
		ctx := context.Background()
		f := openFolder(t, dir)
		id, path := newVolume(t, f, 1<<20)
		neighbour, _ := newVolume(t, f, 1<<20)
		other := newID()
		_, _, err := f.TakeBase(ctx, neighbour, other)
		must(t, err)

		writeAt(t, path, content(1, 1<<16), 0)
		want := read(t, path)
		older, newer := newID(), "00112233445566778899aabbccddeeff"
		base, _, err := f.TakeBase(ctx, id, older)
		must(t, err)
		writeAt(t, path, content(2, 1<<16), 0)
		_, _, err = f.TakeBase(ctx, id, newer)
		must(t, err)
		if !bytes.Equal(read(t, base), want) {
			t.Error("the base moved with its volume")
		}
		found, err := f.BasePath(id, older)
		must(t, err)
		if found != base {
			t.Errorf("base at %s, taken at %s", found, base)
		}
		both := []string{older, newer}
		slices.Sort(both)
		if diff := cmp.Diff(both, bases(t, f, id)); diff != "" {
			t.Error(diff)
		}

		must(t, f.DropBase(ctx, id, older))
		kept := []string{newer}
		if diff := cmp.Diff(kept, bases(t, f, id)); diff != "" {
			t.Error(diff)
		}
		_, err = f.BasePath(id, older)
		mustFail(t, err, volume.ErrNotFound)

		_, _, err = f.TakeBase(ctx, id, older)
		must(t, err)
		for range 2 {
			must(t, f.DropBase(ctx, id, older))
		}
		if diff := cmp.Diff(kept, bases(t, f, id)); diff != "" {
			t.Error(diff)
		}
		must(t, f.Delete(ctx, id))
		if diff := cmp.Diff(kept, bases(t, f, id)); diff != "" {
			t.Errorf("bases of a deleted volume: %s", diff)
		}
		must(t, f.DropBase(ctx, id, newer))
		if diff := cmp.Diff([]string{other}, bases(t, f, neighbour)); diff != "" {
			t.Error(diff)
		}
	})
}
