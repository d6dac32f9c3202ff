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

func header(kind format.Kind) format.Header {
	return format.Header{
		Kind: kind, KeyVersion: 1, Generation: 1, DigestLen: format.DigestSize,
		Vault: format.ID{1}, Identity: format.ID{2}, Salt: [32]byte{3},
	}
}

func box(t testing.TB, h *format.Header) *sealing.Box {
	t.Helper()
	b, err := sealing.New(vaulttest.Keys{Vault: format.ID{1}}, sealing.DirectoryLabel, h)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sample() *pack.Directory {
	d := &pack.Directory{Header: header(format.KindDataPack)}
	for c := range 3 {
		groups := []format.Group{{Present: 0xffff_ffff, Offset: 160, Length: 100, Codec: format.S2}, {Present: 5, Offset: 300, Length: 50, Codec: format.Zstd}}
		digests := make([]format.Digest, 64)
		for i := range digests {
			if groups[i/32].Has(i % 32) {
				digests[i] = format.Digest{byte(c), byte(i), 9, 9, 9, 9, 9, 9, byte(i * 7)}
			}
		}
		d.Containers = append(d.Containers, &pack.Container{Groups: groups, Digests: digests})
	}
	return d
}

func TestDirectory(t *testing.T) {
	d := sample()
	b := d.Append(nil, box(t, &d.Header))
	keys := vaulttest.Keys{Vault: format.ID{1}}
	want := pack.Expected{Pack: format.ID{2}, Generation: 1, DirOffset: 1000}
	got, err := pack.Open(keys, want, b)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range got.Containers {
		if diff := cmp.Diff(d.Containers[i].Groups, c.Groups); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(d.Containers[i].Digests, c.Digests); diff != "" {
			t.Error(diff)
		}
	}
	for at := range b {
		bad := bytes.Clone(b)
		bad[at] ^= 4
		if _, err := pack.Open(keys, want, bad); err == nil {
			t.Fatalf("byte %d changed, and nobody noticed", at)
		}
	}
	for _, other := range []pack.Expected{{format.ID{3}, 1, 1000}, {format.ID{2}, 2, 1000}, {format.ID{2}, 1, 310}} {
		if _, err := pack.Open(keys, other, b); !errors.Is(err, format.ErrFormat) {
			t.Errorf("%+v: %v", other, err)
		}
	}
	if _, err := pack.Open(vaulttest.Keys{Vault: format.ID{9}}, want, b); !errors.Is(err, sealing.ErrSeal) {
		t.Errorf("another vault's keys: %v", err)
	}
}

func TestPageDirectory(t *testing.T) {
	d := &pack.PageDirectory{Header: header(format.KindPagePack), Offsets: []uint32{160, 300, 1000}}
	b := d.Append(nil, box(t, &d.Header))
	keys := vaulttest.Keys{Vault: format.ID{1}}
	got, err := pack.OpenPages(keys, pack.Expected{Pack: format.ID{2}, Generation: 1, DirOffset: 1000}, b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, got); diff != "" {
		t.Error(diff)
	}
	if _, err := pack.OpenPages(keys, pack.Expected{Pack: format.ID{2}, Generation: 1, DirOffset: 999}, b); !errors.Is(err, format.ErrFormat) {
		t.Errorf("a page behind the end: %v", err)
	}
}

// FuzzOpen opens directories whose seals are right, whatever they hold.
func FuzzOpen(f *testing.F) {
	d := sample()
	b := box(f, &d.Header)
	groups := [][]format.Group{d.Containers[0].Groups}
	f.Add(format.AppendSummary(nil, groups), format.AppendDigests(nil, groups[0], d.Containers[0].Digests))
	keys := vaulttest.Keys{Vault: format.ID{1}}
	f.Fuzz(func(t *testing.T, summary, list []byte) {
		object := d.Header.Append(nil)
		n := uint32(len(summary) + format.TagSize)
		object = append(object, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
		object = b.Seal(object, summary, sealing.SummaryPart, 0)
		object = b.Seal(object, list, sealing.DigestsPart, 0)
		got, err := pack.Open(keys, pack.Expected{Pack: format.ID{2}, Generation: 1, DirOffset: 1000}, object)
		if err == nil && !bytes.Equal(got.Append(nil, b), object) {
			t.Error("the directory isn't what it was")
		}
	})
}
