package vault_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// TestDamagedPageStopsCollection has a page of a backup's map be missing: what
// it refers to could be any block, so none is removed.
func TestDamagedPageStopsCollection(t *testing.T) {
	faults := fault.New(mem.New())
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = faults })
	data := make([]byte, 6<<20)
	fill(newRand(1), data)
	ref1, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	fill(newRand(2), data)
	ref2, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	pages := pagesOf(r, 2)
	r.delete(ref1)
	for _, f := range []fault.Fault{
		{Op: fault.Get, Match: pages, Err: blob.ErrNotFound},
		{Op: fault.Get, Match: pages, Flip: true, FlipAt: format.HeaderSize + 20},
	} {
		faults.Add(f)
		req := vault.CollectRequest{Session: r.fence.Session(r.id, nil), Ledger: r.fence, Maintain: true}
		res, err := r.vault.Collect(t.Context(), req)
		var damage *vault.CorruptError
		if !errors.As(err, &damage) || damage.Object != pages || res.Condemned != 0 {
			t.Errorf("%+v, %v", res, err)
		}
		faults.Clear()
		r.fence.Abandon(req.Session)
		r.same(ref2, data)
	}
	if res := r.collect(); res.Removed == 0 {
		t.Errorf("once it is there again: %+v", res)
	}
	r.same(ref2, data)
}

// pagesOf returns the object of the page pack that the n-th session wrote.
func pagesOf(r *rig, n uint64) string {
	for _, p := range r.fence.Placements() {
		if s, ok := format.ParseSession(r.id, format.Pages, p.Object); ok && s == session(n) {
			return p.Object
		}
	}
	r.t.Fatalf("session %d wrote no pages", n)
	return ""
}

func session(n uint64) (id vault.ID) {
	id[15] = byte(n)
	return id
}

// TestDamagedPackIsLeftAsItIs has a group of a pack be damaged that is worth
// rewriting: the others are, and it stays.
func TestDamagedPackIsLeftAsItIs(t *testing.T) {
	faults := fault.New(mem.New())
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = faults })
	var refs []vault.RecordRef
	var want [][]byte
	for n := range 4 {
		data := make([]byte, 2<<20)
		fill(newRand(uint64(n)), data)
		ref, _ := r.backup(r.request(&vaulttest.Volume{Data: bytes.Clone(data)}, nil))
		clear(data[:1<<20])
		kept, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, &ref))
		r.delete(ref)
		refs, want = append(refs, kept), append(want, data)
	}
	var object string
	for _, p := range r.fence.Committed(vault.SessionRef{Session: session(1)}).Packs {
		if p.Kind == vault.DataPack {
			object = p.Object
			faults.Add(fault.Fault{Op: fault.Get, Match: object, Flip: true, FlipAt: p.Length * 3 / 5})
		}
	}
	res := r.collect()
	if len(res.Damaged) != 1 || res.Damaged[0].Object != object || res.Condemned != 4 || res.Rewritten < 3 {
		t.Errorf("%+v", res)
	}
	faults.Clear()
	for i := range refs {
		r.same(refs[i], want[i])
	}
	if res := r.collect(); len(res.Damaged) != 0 || res.Rewritten == 0 {
		t.Errorf("once it is whole again: %+v", res)
	}
	for i := range refs {
		r.same(refs[i], want[i])
	}
}

// TestSweepLeavesWhatItDoesNotKnow has objects be there of sessions that are
// open, or unknown, and names that nobody gave.
func TestSweepLeavesWhatItDoesNotKnow(t *testing.T) {
	r := newRig(t)
	open := r.fence.Session(r.id, nil)
	if _, err := r.fence.Begin(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	ended := r.fence.Session(r.id, nil)
	r.fence.Abandon(ended)
	var stay, gone []string
	for _, room := range []format.Room{format.Packs, format.Pages, format.Dirs, format.Placements, format.Index} {
		stay = append(stay,
			format.Name(r.id, room, open.Session, 1, vault.ID{1}),
			format.Name(r.id, room, vault.ID{0xee}, 1, vault.ID{1}),
			format.RoomPrefix(r.id, room)+"something",
			format.Name(r.id, room, ended.Session, 1, vault.ID{2})+"x")
		gone = append(gone, format.Name(r.id, room, ended.Session, 1, vault.ID{1}))
	}
	stay = append(stay, format.VaultPrefix(r.id)+"keys/x", format.VaultPrefix(vault.ID{8})+"packs/x")
	for _, name := range append(stay, gone...) {
		if err := r.store.Put(t.Context(), name, io.NewSectionReader(strings.NewReader("x"), 0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if res := r.collect(); res.Orphans != len(gone) {
		t.Errorf("%+v", res)
	}
	for _, name := range stay {
		if _, err := r.store.Stat(context.Background(), name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range gone {
		if _, err := r.store.Stat(context.Background(), name); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%s is still there", name)
		}
	}
}
