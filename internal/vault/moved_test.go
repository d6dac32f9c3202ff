package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// movingRig is a vault over a store with faults, and a volume's backups whose
// data lies in several packs.
func movingRig(t *testing.T) (*rig, *fault.Store, []vault.RecordRef, [][]byte) {
	t.Helper()
	store := fault.New(mem.New())
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
	refs, data := manyBackups(r, 71, 3)
	return r, store, refs, data
}

// switchAt replaces all generations when an object of a room is read for the
// n-th time, and each later time until rounds are over.
func (r *rig) switchAt(store *fault.Store, room string, n, rounds int) (switched func() int) {
	var mu sync.Mutex
	done := 0
	store.Add(fault.Fault{Op: fault.Get, Match: "/" + room + "/", Nth: n, Since: true, Before: func(context.Context) error {
		if !mu.TryLock() { // the rewriting itself, or another reader meanwhile
			return nil
		}
		defer mu.Unlock()
		if done < rounds {
			done++
			r.rewrite(r.everything(), vault.RewriteOptions{ObjectSize: int64(done%3) << 20})
		}
		return nil
	}})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return done
	}
}

// TestRestoreFollowsMovedPacks switches all packs to new generations, and
// deletes the old ones, in the middle of a restore.
func TestRestoreFollowsMovedPacks(t *testing.T) {
	for _, room := range []string{"records", "pages", "dirs", "packs"} {
		for _, n := range []int{1, 2, 3} {
			for _, rounds := range []int{1, 4} {
				t.Run(fmt.Sprintf("%s %d, %d times", room, n, rounds), func(t *testing.T) {
					r, store, refs, data := movingRig(t)
					switched := r.switchAt(store, room, n, rounds)
					for i := range refs {
						r.same(refs[i], data[i])
					}
					if switched() == 0 {
						t.Error("nothing was switched")
					}
				})
			}
		}
	}
}

// TestReaderFollowsMovedPacks reads at random while generations are switched.
func TestReaderFollowsMovedPacks(t *testing.T) {
	for _, room := range []string{"pages", "dirs", "packs"} {
		r, store, refs, data := movingRig(t)
		r.switchAt(store, room, 1, 5)
		b, err := r.vault.OpenBackup(t.Context(), refs[1])
		if err != nil {
			t.Fatal(err)
		}
		rng := newRand(3)
		for range 60 {
			off := rng.IntN(len(data[1]))
			p := make([]byte, rng.IntN(min(len(data[1])-off, 200_000))+1)
			if _, err := b.ReadAt(p, int64(off)); err != nil {
				t.Fatalf("%s: %v", room, err)
			}
			if !bytes.Equal(p, data[1][off:off+len(p)]) {
				t.Fatalf("%s: other bytes at %d", room, off)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestVerifyFollowsMovedPacks verifies while generations are switched, at each
// of the first reads of packs.
func TestVerifyFollowsMovedPacks(t *testing.T) {
	for _, room := range []string{"pages", "dirs", "packs"} {
		for n := 1; n <= 8; n++ {
			r, store, refs, _ := movingRig(t)
			r.switchAt(store, room, n, 2)
			report, err := r.vault.Verify(t.Context(), vault.VerifyRequest{Backups: refs, ReadData: true})
			if err != nil || len(report.DamagedBackups)+len(report.DamagedPacks) > 0 {
				t.Errorf("switched at read %d of %s: %+v, %v", n, room, report, err)
			}
		}
	}
}

// TestEndlessMovesEnd moves the packs each time that one is read.
func TestEndlessMovesEnd(t *testing.T) {
	r, store, refs, data := movingRig(t)
	r.switchAt(store, "packs", 1, 1000)
	if _, err := r.restored(refs[0], len(data[0])); err == nil {
		r.t.Log("the restore overtook the moves")
	}
}

// TestAbsentBlockIsFound switches to generations that lack blocks, or pages,
// which a backup needs.
func TestAbsentBlockIsFound(t *testing.T) {
	for _, kind := range []vault.PackKind{vault.DataPack, vault.PagePack} {
		r, _, refs, data := movingRig(t)
		var items []vault.RewriteItem
		for _, p := range r.fence.Placements() {
			item := vault.RewriteItem{Place: p, Pages: func(page uint32) bool { return page != 0 && int64(page) < p.Live }}
			switch {
			case p.Kind != kind:
				continue
			case kind == vault.DataPack:
				has, err := r.vault.Directory(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				item.Live = func(c, block int) bool { return block != 5 && has(c, block) }
			}
			items = append(items, item)
		}
		r.rewrite(items, vault.RewriteOptions{})
		_, err := r.restored(refs[0], len(data[0]))
		if !errors.Is(err, vault.ErrCorrupt) || !strings.Contains(err.Error(), "it has no block 5") && !strings.Contains(err.Error(), "it is not among") {
			t.Errorf("packs of kind %d: %v", kind, err)
		}
	}
}

// TestEitherDirectoryWillDo damages one place of each directory, then both.
func TestEitherDirectoryWillDo(t *testing.T) {
	for _, kind := range []vault.PackKind{vault.DataPack, vault.PagePack} {
		for _, how := range []string{"own", "copy", "no copy", "both"} {
			r, store, refs, data := movingRig(t)
			for _, p := range r.fence.Placements() {
				if p.Kind != kind {
					continue
				}
				if how != "copy" && how != "no copy" {
					store.Add(fault.Fault{Op: fault.Get, Match: p.Object, Flip: true, FlipAt: p.Offset + p.DirOffset + format.HeaderSize + 10})
				}
				if how == "copy" || how == "both" {
					store.Add(fault.Fault{Op: fault.Get, Match: p.DirObject, Flip: true, FlipAt: p.DirAt + format.HeaderSize + 10})
				}
				if how == "no copy" {
					p.DirObject, p.DirAt = "", 0
					r.fence.Place(p)
				}
			}
			got, err := r.restored(refs[1], len(data[1]))
			switch {
			case how == "both" && !errors.Is(err, vault.ErrCorrupt):
				t.Errorf("kind %d, %s: %v", kind, how, err)
			case how != "both" && (err != nil || !bytes.Equal(got, data[1])):
				t.Errorf("kind %d, %s: %v", kind, how, err)
			}
			b, err := r.vault.OpenBackup(t.Context(), refs[1])
			if err != nil {
				t.Fatal(err)
			}
			p := make([]byte, len(data[1]))
			if _, err := b.ReadAt(p, 0); (err != nil) != (how == "both") || err == nil && !bytes.Equal(p, data[1]) {
				t.Errorf("kind %d, %s, read at: %v", kind, how, err)
			}
			b.Close()
		}
	}
}

// TestRestoreRange restores ranges, aligned or not, to where they were and to
// the target's beginning.
func TestRestoreRange(t *testing.T) {
	r := newRig(t)
	data := volume(newRand(5), 13<<20+1234)
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	size := int64(len(data))
	for _, part := range []vault.Range{
		{0, size, 0},
		{0, 0, 0},
		{size, 0, 0},
		{1, 1, 0},
		{4095, 2, 4095},
		{4096, 8192, 0},
		{4 << 20, 4 << 20, 4 << 20},
		{3 << 20, 6 << 20, 100},
		{size - 5000, 5000, 0},
		{size - 1, 1, size - 1},
		{5<<20 + 7, 1<<20 + 9, 5<<20 + 7},
	} {
		have := bytes.Repeat([]byte{0xa5}, int(part.To+part.Length)+50)
		want := bytes.Clone(have)
		copy(want[part.To:], data[part.Offset:part.Offset+part.Length])
		target := &vaulttest.Volume{Data: have}
		var last vault.Progress
		var reached int64
		err := r.vault.Restore(t.Context(), vault.RestoreRequest{
			Record: ref, Target: target, Range: &part, Progress: func(p vault.Progress) { last = p },
			Reached: func(off int64) error { reached = off; return nil },
		})
		if err != nil {
			t.Fatalf("%+v: %v", part, err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%+v: other bytes", part)
		}
		if part.Length > 0 && (last.Done != part.Length || last.Size != part.Length || reached != part.Offset+part.Length) {
			t.Errorf("%+v: %+v, reached %d", part, last, reached)
		}
	}
	small := &vaulttest.Volume{Data: make([]byte, 100)}
	for _, part := range []vault.Range{{-1, 1, 0}, {0, -1, 0}, {0, 1, -1}, {size, 1, 0}, {1, size, 0}, {0, size + 1, 0}} {
		if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: small, Range: &part}); err == nil {
			t.Errorf("%+v is taken", part)
		}
	}
	part := vault.Range{Length: 60, To: 41}
	if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: small, Range: &part}); !errors.Is(err, vault.ErrTooSmall) {
		t.Error(err)
	}
}

// dots is a volume with one block of data in each leaf.
type dots struct{ leaves int64 }

func (d dots) Size() int64 { return d.leaves * format.LeafSize }

func (d dots) block(leaf int64) []byte {
	b := make([]byte, format.BlockSize)
	fill(newRand(uint64(leaf)), b)
	return b
}

func (d dots) NextData(off int64) (start, end int64, err error) {
	leaf := off / format.LeafSize
	if off%format.LeafSize >= format.BlockSize {
		leaf++
		off = leaf * format.LeafSize
	}
	if leaf >= d.leaves {
		return d.Size(), d.Size(), nil
	}
	return off, leaf*format.LeafSize + format.BlockSize, nil
}

func (d dots) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if at := off % format.LeafSize; at < format.BlockSize {
		copy(p, d.block(off / format.LeafSize)[at:])
	}
	return len(p), nil
}

// TestReaderFollowsMovedPages moves large page packs of which all parts of a
// reader hold something: what one of them finds out the others know.
func TestReaderFollowsMovedPages(t *testing.T) {
	r := newRig(t)
	d := dots{leaves: 8000}
	ref, _ := r.backup(r.request(d, nil))
	for _, p := range r.fence.Placements() {
		if p.Kind == vault.PagePack && p.Length < 600<<10 {
			t.Fatalf("a page pack has %d bytes: it is read at once", p.Length)
		}
	}
	b := openReader(t, r, ref)
	read := func(leaf int64) {
		t.Helper()
		p := make([]byte, format.BlockSize)
		if _, err := b.ReadAt(p, leaf*format.LeafSize); err != nil {
			t.Fatalf("leaf %d: %v", leaf, err)
		}
		if !bytes.Equal(p, d.block(leaf)) {
			t.Fatalf("leaf %d: other bytes", leaf)
		}
	}
	for round := range int64(3) {
		for i := range int64(12) {
			read((i*1999 + round*71) % d.leaves)
		}
		r.rewrite(r.everything(), vault.RewriteOptions{})
	}
	for i := range int64(12) {
		read((i*1777 + 5) % d.leaves)
	}
}
