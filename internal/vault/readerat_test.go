package vault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

func openReader(t testing.TB, r *rig, ref vault.RecordRef) *vault.BackupReader {
	t.Helper()
	b, err := r.vault.OpenBackup(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	})
	return b
}

// TestReaderModel reads at random places of volumes of random sizes.
func TestReaderModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t)
		data := volume(newRand(rapid.Uint64().Draw(rt, "seed")), rapid.IntRange(1, 9<<20).Draw(rt, "size"))
		ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
		b, err := r.vault.OpenBackup(t.Context(), ref)
		if err != nil {
			rt.Fatal(err)
		}
		defer b.Close()
		if b.Size() != int64(len(data)) {
			rt.Fatalf("size %d", b.Size())
		}
		want := bytes.NewReader(data)
		for range rapid.IntRange(1, 20).Draw(rt, "reads") {
			off := rapid.Int64Range(0, int64(len(data))+5000).Draw(rt, "offset")
			n := rapid.OneOf(rapid.IntRange(0, 9000), rapid.IntRange(0, 9<<20)).Draw(rt, "length")
			p, q := bytes.Repeat([]byte{0xa5}, n), make([]byte, n)
			got, err := b.ReadAt(p, off)
			have, werr := want.ReadAt(q, off)
			if n == 0 {
				continue // bytes.Reader says EOF at the end, others need not
			}
			if got != have || !errors.Is(err, werr) || !bytes.Equal(p[:got], q[:have]) {
				rt.Fatalf("%d bytes at %d: %d, %v", n, off, got, err)
			}
		}
	})
}

// TestReaderConcurrently has readers in order, at random, and far too large.
func TestReaderConcurrently(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 26<<20+99)
	rng := newRand(7)
	fill(rng, data[:20<<20])
	clear(data[6<<20 : 11<<20])
	copy(data[22<<20:], data[1<<20:3<<20])
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	b := openReader(t, r, ref)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := newRand(uint64(g))
			p := make([]byte, 700_000)
			at := 0
			for range 60 {
				q := p[:rng.IntN(len(p))+1]
				if g%2 == 0 {
					at = rng.IntN(len(data))
				}
				n, err := b.ReadAt(q, int64(at))
				if err != nil && !(errors.Is(err, io.EOF) && at+len(q) > len(data)) {
					t.Errorf("read at %d: %v", at, err)
					return
				}
				if !bytes.Equal(q[:n], data[at:at+n]) {
					t.Errorf("other bytes at %d", at)
					return
				}
				if at += n; at == len(data) {
					at = 0
				}
			}
		})
	}
	wg.Wait()
	var all bytes.Buffer
	if _, err := io.Copy(&all, io.NewSectionReader(b, 0, b.Size())); err != nil || !bytes.Equal(all.Bytes(), data) {
		t.Errorf("read from one end to the other: %v", err)
	}
}

// TestReaderFindsDamage flips bytes and removes objects.
func TestReaderFindsDamage(t *testing.T) {
	store := fault.New(mem.New())
	r, refs, data := damageRig(t, store)
	found := 0
	for _, room := range []string{"packs", "pages"} {
		for _, o := range objects(t, store, room) {
			for at := int64(0); at < o.Size; at += max(1, o.Size/17) {
				store.Add(fault.Fault{Op: fault.Get, Match: o.Name, Flip: true, FlipAt: at})
				b := openReader(t, r, refs[1])
				p := make([]byte, len(data))
				n, err := b.ReadAt(p, 0)
				if err != nil {
					damaged(t, err, o.Name)
					found++
				} else if n != len(data) || !bytes.Equal(p, data) {
					t.Fatalf("byte %d of %s flipped: other bytes are read", at, o.Name)
				}
				store.Clear()
				// What failed is tried again.
				if _, err := b.ReadAt(p, 0); err != nil || !bytes.Equal(p, data) {
					t.Fatalf("after damage that went away: %v", err)
				}
				b.Close()
			}
		}
	}
	if found < 30 {
		t.Errorf("only %d flips were found", found)
	}
}

func TestReaderEnds(t *testing.T) {
	r, refs, _ := damageRig(t, mem.New())
	b := openReader(t, r, refs[0])
	p := make([]byte, 10)
	if _, err := b.ReadAt(p, -1); err == nil {
		t.Error("a negative offset is taken")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	if _, err := b.ReadAt(p, 0); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b, err := r.vault.OpenBackup(ctx, refs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cancel()
	if _, err := b.ReadAt(p, 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := r.vault.OpenBackup(t.Context(), vault.RecordRef{Object: "nothing"}); err == nil {
		t.Error("what is no record is opened")
	}
}

// TestBareReader reads without a catalog.
func TestBareReader(t *testing.T) {
	r, refs, data := damageRig(t, mem.New())
	bare, err := vault.OpenBare(t.Context(), r.store, testKeys)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bare.OpenBackup(t.Context(), refs[1])
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p := make([]byte, len(data)+1)
	if n, err := b.ReadAt(p, 0); n != len(data) || !errors.Is(err, io.EOF) || !bytes.Equal(p[:n], data) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
