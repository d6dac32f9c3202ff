package pack_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
	"holdfast/internal/vault/vaulttest"
)

func TestLost(t *testing.T) {
	d := sample()
	keys := vaulttest.Keys{Vault: format.ID{1}}
	want := pack.Expected{Pack: format.ID{2}, Generation: 1, DirOffset: 1000}
	good := []pack.Lost{{0, 33, format.Digest{7}}, {2, 33, format.Digest{8}}, {2, 63, format.Digest{8}}}
	d.Lost = good
	b := d.Append(nil, box(t, &d.Header))
	got, err := pack.Open(keys, want, b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good, got.Lost); diff != "" {
		t.Error(diff)
	}
	for at := range b {
		bad := bytes.Clone(b)
		bad[at] ^= 4
		if _, err := pack.Open(keys, want, bad); err == nil {
			t.Fatalf("byte %d changed, and nobody noticed", at)
		}
	}
	for name, lost := range map[string][]pack.Lost{
		"a block that is present":      {{0, 3, format.Digest{7}}},
		"a container that isn't there": {{3, 33, format.Digest{7}}},
		"a group that isn't there":     {{0, 64, format.Digest{7}}},
		"no digest":                    {{0, 33, format.Digest{}}},
		"out of order":                 {good[1], good[0]},
		"twice":                        {good[0], good[0]},
	} {
		d.Lost = lost
		if _, err := pack.Open(keys, want, d.Append(nil, box(t, &d.Header))); !errors.Is(err, format.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzLost opens directories whose seals are right, with any list of lost
// blocks.
func FuzzLost(f *testing.F) {
	d := sample()
	b := box(f, &d.Header)
	whole := d.Append(nil, b)
	d.Lost = []pack.Lost{{0, 33, format.Digest{7}}}
	list, err := b.Open(nil, d.Append(nil, b)[len(whole):], sealing.LostPart, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(list)
	f.Fuzz(func(t *testing.T, list []byte) {
		object := b.Seal(bytes.Clone(whole), list, sealing.LostPart, 0)
		got, err := pack.Open(vaulttest.Keys{Vault: format.ID{1}}, pack.Expected{Pack: format.ID{2}, Generation: 1, DirOffset: 1000}, object)
		if err == nil && !bytes.Equal(got.Append(nil, b), object) {
			t.Error("the directory isn't what it was")
		}
	})
}
