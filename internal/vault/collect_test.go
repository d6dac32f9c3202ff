package vault_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// collect collects the vault in a session of its own.
func (r *rig) collect(change ...func(*vault.CollectRequest)) vault.CollectResult {
	r.t.Helper()
	req := vault.CollectRequest{Session: r.fence.Session(r.id, nil), Ledger: r.fence}
	for _, c := range change {
		c(&req)
	}
	res, err := r.vault.Collect(r.t.Context(), req)
	if err != nil {
		r.t.Fatalf("collect: %v", err)
	}
	return res
}

func maintain(req *vault.CollectRequest) { req.Maintain = true }

// delete deletes a backup: its record, then its place in the catalog.
func (r *rig) delete(ref vault.RecordRef) {
	r.t.Helper()
	r.remove(ref)
	r.fence.Delete(ref)
}

// rooms returns the names of all objects, by room.
func rooms(t testing.TB, store blob.Store, id vault.ID) map[format.Room][]string {
	t.Helper()
	out := map[format.Room][]string{}
	err := store.List(context.Background(), format.VaultPrefix(id), func(o blob.Info) error {
		room := format.Room(strings.Split(strings.TrimPrefix(o.Name, format.VaultPrefix(id)), "/")[0])
		out[room] = append(out[room], o.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// storedIn returns how many bytes there are.
func storedIn(t testing.TB, store blob.Store, id vault.ID) int64 {
	t.Helper()
	size := int64(0)
	err := store.List(context.Background(), format.VaultPrefix(id), func(o blob.Info) error {
		size += o.Size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// empty requires that nothing is left of a vault but what is never removed.
func (r *rig) empty() {
	r.t.Helper()
	for room, names := range rooms(r.t, r.store, r.id) {
		switch {
		case room == format.Keys || room == format.Incarnations:
		case room == format.Epochs && len(names) == 1:
		default:
			r.t.Errorf("in %s there are still %d: %q", room, len(names), names)
		}
	}
}

// TestCollectionFreesWhatNothingNeeds deletes backups one by one.
func TestCollectionFreesWhatNothingNeeds(t *testing.T) {
	r := newRig(t)
	first := make([]byte, 12<<20)
	fill(newRand(1), first)
	second := bytes.Clone(first)
	fill(newRand(2), second[:6<<20])
	ref1, _ := r.backup(r.request(&vaulttest.Volume{Data: first}, nil))
	ref2, _ := r.backup(r.request(&vaulttest.Volume{Data: second}, &ref1))
	ref3, _ := r.backup(r.request(&vaulttest.Volume{Data: second}, &ref2))

	before := storedIn(t, r.store, r.id)
	if res := r.collect(); res.Condemned+res.Rewritten+res.Removed+res.Deleted+res.Orphans != 0 || res.Backups != 3 {
		t.Errorf("nothing was deleted, and yet: %+v", res)
	}
	r.delete(ref1)
	res := r.collect()
	if res.Condemned == 0 || res.Rewritten == 0 || res.Waiting || len(res.Damaged) > 0 {
		t.Errorf("after the first: %+v", res)
	}
	if after := storedIn(t, r.store, r.id); before-after < 3<<20 || before-after > res.Freed || before-after < res.Freed-res.Written-1000 {
		t.Errorf("%d bytes before, %d after: %+v", before, after, res)
	}
	r.same(ref2, second)
	r.same(ref3, second)
	r.delete(ref2)
	if res := r.collect(); res.Condemned != 0 {
		t.Errorf("the third is as the second was: %+v", res)
	}
	r.same(ref3, second)
	r.delete(ref3)
	r.collect()
	r.empty()
}

// TestCollectionWaitsForOlderSessions has a session open when packs are
// condemned.
func TestCollectionWaitsForOlderSessions(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 8<<20)
	fill(newRand(3), data)
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	older := r.fence.Session(r.id, nil)
	if _, err := r.fence.Begin(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	r.delete(ref)
	req := vault.CollectRequest{Session: r.fence.Session(r.id, nil), Ledger: r.fence}
	res, err := r.vault.Collect(t.Context(), req)
	if err != nil || !res.Waiting || res.Condemned == 0 || res.Removed != 1 { // the page pack waits for nobody
		t.Fatalf("%+v, %v", res, err)
	}
	younger := r.fence.Session(r.id, nil)
	if b, err := r.fence.Begin(t.Context(), younger); err != nil || len(b.Writable) > 0 {
		t.Fatalf("%+v, %v", b.Writable, err)
	}
	req.Session.Token++
	if res, err = r.vault.Collect(t.Context(), req); err != nil || !res.Waiting || res.Removed != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	r.fence.Abandon(older)
	req.Session.Token++
	if res, err = r.vault.Collect(t.Context(), req); err != nil || res.Waiting || res.Removed == 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := r.vault.Collect(t.Context(), req); !errors.Is(err, vault.ErrFenced) {
		t.Errorf("a collection that has ended goes on: %v", err)
	}
	r.empty()
}

// TestSessionThatEndsMeanwhile has a session, begun before packs are
// condemned, commit right afterwards what refers to their dead blocks.
func TestSessionThatEndsMeanwhile(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 8<<20)
	fill(newRand(3), data)
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	begun, release := make(chan struct{}), make(chan struct{})
	req := r.request(&pausing{Volume: &vaulttest.Volume{Data: data}, read: func() {
		close(begun)
		<-release
	}}, nil)
	var result vault.Result
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		result, err = r.vault.Backup(t.Context(), req)
	}()
	<-begun
	r.delete(ref)
	ledger := &interrupted{Ledger: r.fence, condemned: func() {
		close(release)
		<-done
	}}
	res := r.collect(func(req *vault.CollectRequest) { req.Ledger = ledger })
	if err != nil {
		t.Fatal(err)
	}
	if result.New != 0 || res.Waiting || res.Condemned == 0 {
		t.Errorf("%+v; %+v", result, res)
	}
	r.same(r.fence.Committed(req.Session).Record, data)
}

// interrupted calls condemned once after something was.
type interrupted struct {
	vault.Ledger
	condemned func()
}

func (i *interrupted) Condemn(ctx context.Context, s vault.SessionRef, packs []vault.PackGen) (int64, error) {
	epoch, err := i.Ledger.Condemn(ctx, s, packs)
	if call := i.condemned; call != nil && len(packs) > 0 {
		i.condemned = nil
		call()
	}
	return epoch, err
}

// TestParentIsDeletedUnderItsChild deletes and collects a running session's
// parent.
func TestParentIsDeletedUnderItsChild(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 12<<20)
	fill(newRand(4), data)
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	child := &pausing{Volume: &vaulttest.Volume{Data: data}, read: func() {
		r.delete(ref)
		for range 3 {
			if res := r.collect(maintain); res.Removed > 0 {
				t.Errorf("what the child refers to is removed: %+v", res)
			}
		}
	}}
	ref2, result := r.backup(r.request(child, &ref))
	if result.New != 0 {
		t.Errorf("%d bytes are new", result.New)
	}
	r.collect()
	r.same(ref2, data)
}

// pausing calls read at the first read.
type pausing struct {
	*vaulttest.Volume
	once sync.Once
	read func()
}

func (p *pausing) ReadAt(b []byte, off int64) (int, error) {
	p.once.Do(func() {
		if p.read != nil {
			p.read()
		}
	})
	return p.Volume.ReadAt(b, off)
}

// TestMaintainMerges puts the small packs of many backups together, compresses
// them anew, and merges their index segments.
func TestMaintainMerges(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 4<<20)
	var refs []vault.RecordRef
	var want [][]byte
	for n := range 12 {
		fill(newRand(uint64(n)), data[n<<18:(n+1)<<18])
		req := r.request(&vaulttest.Volume{Data: bytes.Clone(data)}, nil)
		req.Compression = vault.Fast
		if n > 0 {
			req = r.request(req.Source, &refs[n-1])
			req.Compression = vault.Fast
		}
		ref, _ := r.backup(req)
		refs, want = append(refs, ref), append(want, bytes.Clone(data))
	}
	before := storedIn(t, r.store, r.id)
	res := r.collect(maintain)
	if res.Condemned != 0 || res.Rewritten != 24 {
		t.Errorf("%+v", res)
	}
	left := rooms(t, r.store, r.id)
	for room, n := range map[format.Room]int{format.Packs: 1, format.Pages: 1, format.Dirs: 1, format.Placements: 1, format.Index: 1} {
		if len(left[room]) != n {
			t.Errorf("%d objects in %s", len(left[room]), room)
		}
	}
	if after := storedIn(t, r.store, r.id); after > before*9/10 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	for i := range refs {
		r.same(refs[i], want[i])
	}
	// What is deduplicated still is.
	if _, result := r.backup(r.request(&vaulttest.Volume{Data: want[11]}, nil)); result.New > 1<<20 {
		t.Errorf("%d bytes are new", result.New)
	}
	r.collect(maintain)
	if res := r.collect(maintain); res.Rewritten != 0 || res.Written != 0 {
		t.Errorf("there was nothing to do: %+v", res)
	}
	for _, ref := range r.fence.Available() {
		r.delete(ref)
	}
	r.collect()
	r.empty()
}

// TestEachPageIsReadOnce has many backups share most of their maps: a
// collection's work follows the pages that there are, not the sum of the maps.
func TestEachPageIsReadOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("many backups of a sparse volume")
	}
	faults := fault.New(mem.New())
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = faults })
	data := make([]byte, 32<<20)
	for off := 0; off < len(data); off += 4 << 20 {
		fill(newRand(uint64(off)), data[off:off+4096])
	}
	const backups = 8 // too few for their packs to be merged
	leaves := len(data) >> 22
	var refs []vault.RecordRef
	for n := range backups {
		fill(newRand(uint64(n)), data[n*4<<20:n*4<<20+4096])
		var parent *vault.RecordRef
		if n > 0 {
			parent = &refs[n-1]
		}
		ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data, Holes: 4096}, parent))
		refs = append(refs, ref)
	}
	pages := int64(0)
	for _, p := range r.fence.Placements() {
		if p.Kind == vault.PagePack {
			pages += p.Live
		}
	}
	if sum := int64(backups * (leaves + 1)); pages > sum/2 {
		t.Fatalf("%d pages, the maps have %d together", pages, sum)
	}
	gets := faults.Calls(fault.Get)
	if res := r.collect(); res.PagesRead != pages || res.Backups != backups {
		t.Errorf("%d pages were read of %d", res.PagesRead, pages)
	}
	if n := faults.Calls(fault.Get) - gets; n > 2*backups {
		t.Errorf("%d requests for the pages of %d page packs", n, backups)
	}
	// What is deleted is no work, and so is most of what was added since.
	for _, ref := range refs[:backups-1] {
		r.delete(ref)
	}
	if res := r.collect(); res.PagesRead != int64(leaves+1) {
		t.Errorf("%d pages were read of one map of %d", res.PagesRead, leaves+1)
	}
	r.same(refs[backups-1], data)
}

func TestHeldVaultIsLeftAlone(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 1<<20)
	fill(newRand(5), data)
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	r.delete(ref)
	before := rooms(t, r.store, r.id)
	r.fence.SetHold(true)
	if res := r.collect(); !res.Held || res.Condemned != 0 {
		t.Errorf("%+v", res)
	}
	if after := rooms(t, r.store, r.id); len(after[format.Packs]) != len(before[format.Packs]) || len(after[format.Epochs]) != 0 {
		t.Errorf("%v", after)
	}
	r.fence.SetHold(false)
	r.collect()
	r.empty()
}

// What lies among the records and can't be opened is nobody's backup, and keeps
// nothing from being freed.
func TestForgedRecordStopsNoCollection(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 1<<20)
	fill(newRand(8), data)
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	forged := format.RecordName{Vault: r.id, Backup: format.ID{1}, Attempt: 1, Random: format.ID{2}}.String()
	replace(t, r.store, forged, bytes.Repeat([]byte{7}, 400))
	r.delete(ref)
	if res := r.collect(); res.Removed == 0 {
		t.Errorf("nothing was removed: %+v", res)
	}
}

// TestOldCatalogCollectsNothing has a catalog come back from a dump.
func TestOldCatalogCollectsNothing(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 4<<20)
	fill(newRand(6), data)
	ref1, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	dump := r.fence.Clone()

	refuses := func(what string) {
		t.Helper()
		old := r.fence
		r.fence = dump.Clone()
		r.open()
		for range 9 {
			r.fence.Session(r.id, nil) // another catalog has other sessions
		}
		before := rooms(t, r.store, r.id)
		_, err := r.vault.Collect(t.Context(), vault.CollectRequest{Session: r.fence.Session(r.id, nil), Ledger: r.fence})
		if !errors.Is(err, vault.ErrOldCatalog) {
			t.Errorf("%s: %v", what, err)
		}
		after := rooms(t, r.store, r.id)
		for room := range before {
			if !slices.Equal(before[room], after[room]) {
				t.Errorf("%s: %s has changed", what, room)
			}
		}
		r.fence = old
		r.open()
	}
	fill(newRand(7), data)
	ref2, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	refuses("a record that it doesn't know")
	r.delete(ref1)
	r.collect()
	refuses("an epoch that it doesn't know")
	r.same(ref2, data)
}
