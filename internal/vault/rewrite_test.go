package vault_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// collectSession returns a session of the kind that collections have.
func (r *rig) collectSession() vault.SessionRef {
	r.t.Helper()
	s := r.fence.Session(r.id, nil)
	if _, err := r.fence.Survey(r.t.Context(), s, func(vault.PackRow) error { return nil }); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// rewrite rewrites packs and switches to their next generations. The objects
// that nothing names any more are deleted.
func (r *rig) rewrite(items []vault.RewriteItem, opt vault.RewriteOptions) []vault.Placement {
	r.t.Helper()
	s := r.collectSession()
	var gens []vault.PackGen
	for _, item := range items {
		gens = append(gens, vault.PackGen{Pack: item.Place.Pack, Generation: item.Place.Generation})
	}
	if _, err := r.fence.Condemn(r.t.Context(), s, gens); err != nil {
		r.t.Fatal(err)
	}
	places, damaged, segment, err := r.vault.Rewrite(r.t.Context(), s, items, opt, 0)
	if err != nil || len(damaged) > 0 {
		r.t.Fatalf("rewrite: %v, %v", err, damaged)
	}
	dead := map[string]bool{}
	for _, item := range items {
		dead[item.Place.Object], dead[item.Place.DirObject] = true, true
	}
	if _, err := r.fence.Switch(r.t.Context(), s, vault.Switch{New: places, Segment: segment}); err != nil {
		r.t.Fatal(err)
	}
	for _, p := range r.fence.Placements() {
		delete(dead, p.Object)
		delete(dead, p.DirObject)
	}
	for name := range dead {
		if err := r.store.Delete(r.t.Context(), name); err != nil {
			r.t.Fatal(err)
		}
	}
	return places
}

// everything asks for all packs with all that they hold.
func (r *rig) everything() []vault.RewriteItem {
	var items []vault.RewriteItem
	for _, p := range r.fence.Placements() {
		items = append(items, vault.RewriteItem{Place: p})
	}
	return items
}

// manyBackups takes backups of a volume that changes a little each time.
func manyBackups(r *rig, seed uint64, n int) (refs []vault.RecordRef, data [][]byte) {
	rng := newRand(seed)
	now := volume(rng, 6<<20)
	var parent *vault.RecordRef
	for range n {
		ref, _ := r.backup(r.request(&vaulttest.Volume{Data: bytes.Clone(now)}, parent))
		refs, data = append(refs, ref), append(data, bytes.Clone(now))
		parent = &refs[len(refs)-1]
		at := rng.IntN(len(now) - 40_000)
		fill(rng, now[at:at+rng.IntN(40_000)])
		for i := range 5000 {
			now[at/4096*4096+i] = byte(rng.Uint32())
		}
	}
	return refs, data
}

// TestRewrittenPacksAreMerged puts the packs of many small backups together,
// twice, and restores all of them.
func TestRewrittenPacksAreMerged(t *testing.T) {
	r := newRig(t)
	refs, data := manyBackups(r, 41, 9)
	for _, opt := range []vault.RewriteOptions{
		{}, {Recompress: true, Compression: vault.Small}, {ObjectSize: 1 << 20, Recompress: true},
	} {
		items := r.everything()
		if places := r.rewrite(items, opt); len(places) != len(items) {
			t.Fatalf("%d of %d packs were rewritten", len(places), len(items))
		}
		packs, pages := len(objects(t, r.store, "packs")), len(objects(t, r.store, "pages"))
		if opt.ObjectSize == 0 && (packs != 1 || pages != 1) {
			t.Errorf("%d objects of packs and %d of pages are left of small ones", packs, pages)
		}
		if opt.ObjectSize > 0 && packs < 2 {
			t.Errorf("%d objects of at most 1 MiB hold all", packs)
		}
		r.open()
		for i, ref := range refs {
			r.same(ref, data[i])
		}
	}
	for _, p := range r.fence.Placements() {
		if p.Generation != 4 {
			t.Errorf("pack %s is at generation %d", p.Pack, p.Generation)
		}
	}
	if bare, err := vault.OpenBare(t.Context(), r.store, testKeys); err != nil {
		t.Fatal(err)
	} else if err := bare.Restore(t.Context(), vault.RestoreRequest{
		Record: refs[3], Target: &vaulttest.Volume{Data: make([]byte, len(data[3]))},
	}); err != nil {
		t.Errorf("restore from the bare store: %v", err)
	}
}

// TestRewriteKeepsWhatIsAsked rewrites packs with random sets of blocks, and
// compares what the next generations have.
func TestRewriteKeepsWhatIsAsked(t *testing.T) {
	for seed := range uint64(4) {
		r := newRig(t)
		refs, _ := manyBackups(r, 50+seed, 2)
		rng := newRand(seed)
		var items []vault.RewriteItem
		wanted := map[vault.ID]func(c, n int) bool{}
		for _, p := range r.fence.Placements() {
			if p.Kind != vault.DataPack {
				continue
			}
			has, err := r.vault.Directory(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			drop, kept := map[[2]int]bool{}, false
			for c := range format.PackContainers {
				for n := range format.ContainerBlocks {
					drop[[2]int{c, n}] = rng.IntN(10) < int(seed)*3 || seed == 1 && n/32%2 == 0
					kept = kept || has(c, n) && !drop[[2]int{c, n}]
				}
			}
			if !kept {
				continue
			}
			wanted[p.Pack] = func(c, n int) bool { return has(c, n) && !drop[[2]int{c, n}] }
			items = append(items, vault.RewriteItem{Place: p, Live: wanted[p.Pack]})
		}
		for _, p := range r.rewrite(items, vault.RewriteOptions{Recompress: seed%2 == 0}) {
			has, err := r.vault.Directory(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			live := int64(0)
			for c := range format.PackContainers {
				for n := range format.ContainerBlocks {
					if want := wanted[p.Pack](c, n); has(c, n) != want {
						t.Fatalf("block %d of container %d: present %v", n, c, !want)
					} else if want {
						live++
					}
				}
			}
			if live != p.Live {
				t.Errorf("it is said to hold %d blocks and has %d", p.Live, live)
			}
		}
		_, err := r.restored(refs[1], 6<<20)
		if seed == 0 && err != nil {
			t.Fatal(err)
		}
		if seed > 0 {
			damagedIn(t, err, "/packs/")
		}
	}
}

func damagedIn(t *testing.T, err error, room string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), room) || !strings.Contains(err.Error(), "is damaged") {
		t.Fatalf("damage in %s: %v", room, err)
	}
}

// TestRewriteLeavesPagesOut drops pages of a pack; the numbers of the others
// stay.
func TestRewriteLeavesPagesOut(t *testing.T) {
	r := newRig(t)
	refs, data := manyBackups(r, 61, 3)
	var items []vault.RewriteItem
	for _, p := range r.fence.Placements() {
		if p.Kind == vault.PagePack && p.Live > 2 {
			items = append(items, vault.RewriteItem{Place: p, Pages: func(n uint32) bool { return n == 1 }})
			break
		}
	}
	if len(items) == 0 {
		t.Fatal("no page pack of three pages")
	}
	places := r.rewrite(items, vault.RewriteOptions{})
	if len(places) != 1 || places[0].Live != 1 || places[0].Generation != 2 {
		t.Fatalf("%+v", places)
	}
	broken := 0
	for i, ref := range refs {
		if got, err := r.restored(ref, len(data[i])); err != nil {
			damagedIn(t, err, "/pages/")
			broken++
		} else if !bytes.Equal(got, data[i]) {
			t.Fatal("other bytes were restored")
		}
	}
	if broken == 0 {
		t.Error("no backup misses the pages")
	}
}

// TestRewriteNeverLaundersDamage flips each of many bytes of a pack; a pack
// that a live block of is damaged is never sealed anew.
func TestRewriteNeverLaundersDamage(t *testing.T) {
	r := newRig(t)
	refs, data := manyBackups(r, 71, 2)
	places := r.fence.Placements()
	leftOut := 0
	for i, p := range places {
		if p.Kind != vault.DataPack {
			continue
		}
		whole := content(t, r.store, blob.Info{Name: p.Object, Size: size(t, r.store, p.Object)})
		for at := format.HeaderSize; at < len(whole); at += max(1, len(whole)/23) {
			bad := bytes.Clone(whole)
			bad[at] ^= 4
			replace(t, r.store, p.Object, bad)
			r.open()
			out, damaged, _, err := r.vault.Rewrite(t.Context(), r.collectSession(), []vault.RewriteItem{{Place: p}, {Place: places[(i+1)%len(places)]}}, vault.RewriteOptions{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if int64(at) < p.DirOffset {
				if len(damaged) != 1 || damaged[0].Pack != p.Pack || damaged[0].Object != p.Object || len(out) != 1 {
					t.Fatalf("byte %d: %+v, %+v", at, damaged, out)
				}
				leftOut++
			} else if len(damaged) != 0 || len(out) != 2 {
				t.Fatalf("byte %d of the directory: %+v", at, damaged)
			}
		}
		replace(t, r.store, p.Object, whole)
	}
	if leftOut < 20 {
		t.Errorf("%d packs were left out", leftOut)
	}
	for i, ref := range refs {
		r.same(ref, data[i])
	}
}

// TestNoNonceTwice takes all headers of a vault's history: no two generations,
// directories or segments are sealed under the same key.
func TestNoNonceTwice(t *testing.T) {
	store := mem.New()
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
	manyBackups(r, 81, 3)
	seen := map[[math.MaxUint8]byte]string{}
	note := func() {
		for _, o := range objects(t, r.store, "") {
			b := content(t, r.store, o)
			for at := 0; at+format.HeaderSize <= len(b); at++ {
				if !bytes.HasPrefix(b[at:], []byte("HOLDFAST")) {
					continue
				}
				var key [math.MaxUint8]byte
				copy(key[:], b[at:at+format.HeaderSize])
				if old, ok := seen[key]; ok && old != o.Name && !strings.Contains(old+o.Name, "/dirs/") {
					t.Fatalf("%s and %s have a header in common", old, o.Name)
				}
				seen[key] = o.Name
			}
		}
	}
	note()
	for range 3 {
		r.rewrite(r.everything(), vault.RewriteOptions{})
		note()
	}
	if len(seen) < 40 {
		t.Errorf("%d headers", len(seen))
	}
}
