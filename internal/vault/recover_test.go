package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// recovered recovers the rig's vault from its store and key alone.
func (r *rig) recovered() *vault.Recovered {
	r.t.Helper()
	bare, err := vault.OpenBareTwice(r.t.Context(), r.store, testKeys)
	if err != nil {
		r.t.Fatal(err)
	}
	found, err := bare.Recover(r.t.Context(), r.id, vault.RecoverRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// placesOf is a fence that knows nothing but where packs lie.
type placesOf map[vault.ID]vault.Placement

func (placesOf) Begin(context.Context, vault.SessionRef) (vault.Begun, error) {
	return vault.Begun{}, errBroken
}

func (placesOf) Checkpoint(context.Context, vault.SessionRef, vault.Checkpoint) error {
	return errBroken
}
func (placesOf) Commit(context.Context, vault.SessionRef, vault.Commit) error { return errBroken }

func (p placesOf) Locate(_ context.Context, _ vault.ID, packs []vault.ID) ([]vault.Placement, error) {
	out := make([]vault.Placement, len(packs))
	for i, id := range packs {
		out[i] = p[id]
	}
	return out, nil
}

// rebuilt opens the vault with what a recovery found.
func (r *rig) rebuilt(found *vault.Recovered) *rig {
	r.t.Helper()
	places := placesOf{}
	err := found.EachPack(func(p vault.RecoveredPack) error {
		places[p.Pack] = p.Placement
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	v, err := vault.Open(vault.Config{Store: r.store, Keys: vaulttest.Keys{Vault: r.id}, Fence: places, Workers: 2})
	if err != nil {
		r.t.Fatal(err)
	}
	return &rig{t: r.t, store: r.store, vault: v, id: r.id}
}

// junk puts objects into the store that nobody should believe: footers of high
// generations, names of nobody, records of no backup.
func (r *rig) junk() {
	r.t.Helper()
	var entries []format.FooterEntry
	for _, p := range r.fence.Placements() {
		kind := format.KindDataPack
		if p.Kind == vault.PagePack {
			kind = format.KindPagePack
		}
		entries = append(entries, format.FooterEntry{
			Pack: p.Pack, Generation: 1 << 30, Kind: kind, Offset: 0, Length: 5000, DirOffset: 200,
		})
	}
	body := bytes.Repeat([]byte{7}, 6000)
	b := format.AppendFooter(body, entries)
	for _, room := range []format.Room{format.Packs, format.Pages, format.Dirs} {
		replace(r.t.(*testing.T), r.store, format.Name(r.id, room, vault.ID{9}, 1, vault.ID{byte(len(room))}), b)
		replace(r.t.(*testing.T), r.store, format.RoomPrefix(r.id, room)+"something-else", b)
	}
	for _, room := range []format.Room{format.Placements, format.Index, format.Records, format.Epochs, format.Incarnations, format.Keys} {
		replace(r.t.(*testing.T), r.store, format.RoomPrefix(r.id, room)+"junk", body)
	}
	far := format.Numbered{Vault: r.id, Room: format.Epochs, Number: 1 << 60, Who: vault.ID{1}}
	replace(r.t.(*testing.T), r.store, far.String(), body[:200])
}

// TestRecoveryIsRight loses objects at random, after deletions, collections and
// merging, amid hostile objects. What the recovery says of each backup is what
// reading it block by block with the recovered placements says.
func TestRecoveryIsRight(t *testing.T) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		store := mem.New()
		r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
		refs, data := manyBackups(r, 300+seed, 5)
		rng := newRand(seed)
		if seed%3 > 0 {
			gone := rng.IntN(len(refs))
			r.delete(refs[gone])
			refs, data = slices.Delete(refs, gone, gone+1), slices.Delete(data, gone, gone+1)
			if seed%3 == 2 {
				r.collect(maintain)
			} else {
				r.collect()
			}
		}
		if seed%2 == 1 {
			r.junk()
		}
		for range rng.IntN(4) {
			room := []string{"packs", "packs", "pages", "dirs", "placement", "index"}[rng.IntN(6)]
			if list := objects(t, r.store, room); len(list) > 0 {
				o := list[rng.IntN(len(list))]
				if rng.IntN(2) == 0 {
					r.put(o.Name, nil)
				} else {
					r.alter(o.Name, flip(rng.Int64N(o.Size)))
				}
			}
		}
		found := r.recovered()
		if len(found.Backups) != len(refs) {
			t.Fatalf("seed %d: %d backups of %d", seed, len(found.Backups), len(refs))
		}
		again := r.rebuilt(found)
		for i, b := range found.Backups {
			if b.Ref != refs[i] {
				t.Fatalf("seed %d: backup %d is %+v", seed, i, b.Ref)
			}
			report := vault.VerifyReport{}
			if b.Damage != nil {
				report.DamagedBackups = append(report.DamagedBackups, *b.Damage)
			}
			again.readable(seed, b.Ref, data[i], report)
			if b.Damage == nil && seed%2 == 1 {
				bareRestores(t, r.store, b.Ref, data[i])
			}
		}
	}
}

// readable does what compareRanges does; but blocks whose sealed bytes alone are
// damaged can't be read although the recovery, which reads no data, doesn't say
// so.
func (r *rig) readable(seed uint64, ref vault.RecordRef, data []byte, report vault.VerifyReport) {
	r.t.Helper()
	deep := r.verify(vault.VerifyRequest{Backups: []vault.RecordRef{ref}, ReadData: true})
	r.compareRanges(seed, ref, data, deep)
	shallow := r.verify(vault.VerifyRequest{Backups: []vault.RecordRef{ref}})
	said, is := fmt.Sprint(report.DamagedBackups), fmt.Sprint(shallow.DamagedBackups)
	if len(report.DamagedBackups) != len(shallow.DamagedBackups) ||
		len(report.DamagedBackups) > 0 && !slices.Equal(report.DamagedBackups[0].Ranges, shallow.DamagedBackups[0].Ranges) {
		r.t.Fatalf("seed %d: said to be lost: %s; is: %s", seed, said, is)
	}
}

func bareRestores(t *testing.T, store blob.Store, ref vault.RecordRef, want []byte) {
	t.Helper()
	bare, err := vault.OpenBare(t.Context(), store, testKeys)
	if err != nil {
		t.Fatal(err)
	}
	target := &vaulttest.Volume{Data: make([]byte, len(want))}
	err = bare.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: target})
	if err == nil && !bytes.Equal(target.Data, want) {
		t.Fatal("a bare restore gives other bytes")
	}
	if err != nil && !errors.Is(err, vault.ErrCorrupt) {
		t.Fatal(err)
	}
}

// TestHostileFootersHideNothing has footers claim all packs, with and without
// placement segments.
func TestHostileFootersHideNothing(t *testing.T) {
	for _, segments := range []bool{true, false} {
		r, refs, data := damageRig(t, mem.New())
		r.junk()
		if !segments {
			for _, o := range objects(t, r.store, "placement") {
				r.put(o.Name, nil)
			}
		}
		bare, err := vault.OpenBare(t.Context(), r.store, testKeys)
		if err != nil {
			t.Fatal(err)
		}
		target := &vaulttest.Volume{Data: make([]byte, len(data))}
		if err := bare.Restore(t.Context(), vault.RestoreRequest{Record: refs[1], Target: target}); err != nil || !bytes.Equal(target.Data, data) {
			t.Fatalf("segments %v: %v", segments, err)
		}
		found := r.recovered()
		for _, b := range found.Backups {
			if b.Damage != nil {
				t.Errorf("segments %v: %+v", segments, b.Damage)
			}
		}
		if found.Epoch != 0 {
			t.Errorf("epoch %d", found.Epoch)
		}
		if slices.Contains(found.Sessions(), vault.ID{9}) {
			t.Error("the junk's session is known")
		}
		want := map[vault.ID]vault.Placement{}
		for _, p := range r.fence.Placements() {
			want[p.Pack] = p
		}
		err = found.EachPack(func(p vault.RecoveredPack) error {
			if p.Placement != want[p.Pack] {
				t.Errorf("segments %v: found %+v\nis %+v", segments, p.Placement, want[p.Pack])
			}
			if p.Retired != (p.Kind == vault.DataPack) {
				t.Errorf("segments %v: pack %s is retired: %v", segments, p.Pack, p.Retired)
			}
			delete(want, p.Pack)
			return nil
		})
		if err != nil || len(want) > 0 {
			t.Fatalf("%d packs were not found, %v", len(want), err)
		}
	}
}

// TestRecoveryOfTwins has objects twice, under names of other sessions, as a
// collection that crashed leaves the same generation twice; one is damaged.
func TestRecoveryOfTwins(t *testing.T) {
	for _, broken := range []string{"original", "twin", "none"} {
		r, refs, data := damageRig(t, mem.New())
		for i, o := range objects(t, r.store, "packs") {
			b := content(t, r.store, o)
			twin := bytes.Clone(b)
			switch broken {
			case "original":
				r.put(o.Name, flip(int64(len(b))-200)(b))
			case "twin":
				twin[len(twin)-200] ^= 1
			}
			replace(t, r.store, format.Name(r.id, format.Packs, vault.ID{byte(i)}, 1, vault.ID{byte(i)}), twin)
		}
		if broken == "original" { // else the second copy of its directory vouches for it
			for _, o := range objects(t, r.store, "dirs") {
				r.put(o.Name, nil)
			}
		}
		found := r.recovered()
		if found.Backups[1].Damage != nil {
			t.Fatalf("%s: %+v", broken, found.Backups[1].Damage)
		}
		r.rebuilt(found).same(refs[1], data)
	}
}

// TestRecoveryTakesAnOlderAttempt loses what the newest attempt wrote.
func TestRecoveryTakesAnOlderAttempt(t *testing.T) {
	for _, lost := range []string{"packs", "records", "nothing"} {
		r := newRig(t)
		data := make([]byte, 5<<20)
		fill(newRand(1), data)
		req := r.request(&vaulttest.Volume{Data: data}, nil)
		req.SourceState = "" // so that the second attempt reads all of it again
		r.fence.FailCommit(errBroken)
		if _, err := r.vault.Backup(t.Context(), req); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		old := objects(t, r.store, "")
		req.Session.Token++
		ref, _ := r.backup(req)
		for _, o := range objects(t, r.store, lost) {
			if !slices.Contains(old, o) {
				r.put(o.Name, nil)
			}
		}
		found := r.recovered()
		if len(found.Backups) != 1 || found.Backups[0].Damage != nil || (found.Backups[0].Ref == ref) != (lost == "nothing") {
			t.Fatalf("%s: %+v", lost, found.Backups)
		}
		r.rebuilt(found).same(found.Backups[0].Ref, data)
	}
}

// TestRecoveryListsTwice has the first listing of each room be late.
func TestRecoveryListsTwice(t *testing.T) {
	store := fault.New(mem.New())
	r, refs, data := damageRig(t, store)
	for _, o := range objects(t, store, "placement") {
		r.put(o.Name, nil)
	}
	for _, room := range []format.Room{format.Packs, format.Pages, format.Dirs} {
		store.Add(fault.Fault{Op: fault.List, Match: "/" + string(room) + "/", Nth: 1, Hide: "/" + string(room) + "/"})
	}
	store.Add(fault.Fault{Op: fault.List, Nth: 1, Hide: "/records/"})
	found := r.recovered()
	if len(found.Backups) != 2 || found.Backups[0].Damage != nil || found.Backups[1].Damage != nil {
		t.Fatalf("%+v", found.Backups)
	}
	r.rebuilt(found).same(refs[1], data)
}
