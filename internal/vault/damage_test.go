package vault_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/zeebo/blake3"

	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
	"holdfast/internal/vault/vaulttest"
)

// objects returns the names and sizes of what lies in a room, sorted.
func objects(t *testing.T, store blob.Store, room string) []blob.Info {
	t.Helper()
	var out []blob.Info
	if err := store.List(t.Context(), "", func(o blob.Info) error {
		if room == "" || strings.Contains(o.Name, "/"+room+"/") {
			out = append(out, o)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out, func(a, b blob.Info) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func content(t *testing.T, store blob.Store, o blob.Info) []byte {
	t.Helper()
	b := make([]byte, o.Size)
	if _, err := store.Get(t.Context(), o.Name, b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t *testing.T, store blob.Store, name string, b []byte) {
	t.Helper()
	if err := store.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), name, io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))); err != nil {
		t.Fatal(err)
	}
}

// damageRig is a vault with two backups of a volume of several leaves, the
// second of which names packs and pages of both.
func damageRig(t *testing.T, store blob.Store) (r *rig, refs []vault.RecordRef, data []byte) {
	t.Helper()
	rng := newRand(11)
	data = make([]byte, 9<<20)
	fill(rng, data[:2<<20])
	for i := 4 << 20; i < 5<<20; i++ {
		data[i] = byte(rng.Uint32())
	}
	r = newRig(t, func(cfg *vault.Config) { cfg.Store = store })
	ref1, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	data = bytes.Clone(data)
	fill(rng, data[1<<20:1<<20+50_000])
	ref2, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, &ref1))
	return r, []vault.RecordRef{ref1, ref2}, data
}

// damaged requires that an error is of damage and names an object.
func damaged(t *testing.T, err error, object string) {
	t.Helper()
	var corrupt *vault.CorruptError
	if !errors.As(err, &corrupt) || !errors.Is(err, vault.ErrCorrupt) {
		t.Fatalf("damage of %s: %v", object, err)
	}
	if corrupt.Object != object || !strings.Contains(err.Error(), object) {
		t.Fatalf("damage of %s is said to be of %s: %v", object, corrupt.Object, err)
	}
}

func TestFlippedBytesAreFound(t *testing.T) {
	store := fault.New(mem.New())
	r, refs, data := damageRig(t, store)
	found := 0
	for _, room := range []string{"packs", "pages", "records"} {
		for _, o := range objects(t, store, room) {
			if room == "records" && o.Name != refs[1].Object {
				continue
			}
			step := max(1, int(o.Size)/61)
			for at := 0; at < int(o.Size); at += step {
				store.Add(fault.Fault{Op: fault.Get, Match: o.Name, Flip: true, FlipAt: int64(at)})
				got, err := r.restored(refs[1], len(data))
				store.Clear()
				switch {
				case err != nil:
					damaged(t, err, o.Name)
					found++
				case !bytes.Equal(got, data):
					t.Fatalf("byte %d of %s flipped: other bytes were restored", at, o.Name)
				case room == "records":
					t.Fatalf("byte %d of %s flipped: nobody noticed", at, o.Name)
				case at > 2*format.HeaderSize && at < int(o.Size)-2*format.HeaderSize && len(objects(t, store, room)) == 1:
					t.Fatalf("byte %d of %s flipped: nobody noticed", at, o.Name)
				}
			}
		}
	}
	if found < 120 {
		t.Errorf("only %d flips were found", found)
	}
}

func TestMissingAndShortObjectsAreFound(t *testing.T) {
	for _, room := range []string{"packs", "pages", "records"} {
		r, refs, data := damageRig(t, mem.New())
		o := objects(t, r.store, room)[0]
		ref := refs[0]
		if room == "records" {
			o.Name = ref.Object
		}
		whole := content(t, r.store, o)
		replace(t, r.store, o.Name, whole[:len(whole)/2])
		_, err := r.restored(ref, len(data))
		damaged(t, err, o.Name)
		if err := r.store.Delete(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
		_, err = r.restored(ref, len(data))
		damaged(t, err, o.Name)
	}
}

func TestSwappedObjectsAreFound(t *testing.T) {
	for _, room := range []string{"packs", "pages", "records"} {
		r, refs, data := damageRig(t, mem.New())
		list := objects(t, r.store, room)
		if len(list) != 2 {
			t.Fatalf("%d objects in %s", len(list), room)
		}
		a, b := content(t, r.store, list[0]), content(t, r.store, list[1])
		replace(t, r.store, list[0].Name, b)
		replace(t, r.store, list[1].Name, a)
		for _, ref := range refs {
			_, err := r.restored(ref, len(data))
			var corrupt *vault.CorruptError
			if !errors.As(err, &corrupt) || !strings.Contains(corrupt.Object, "/"+room+"/") {
				t.Errorf("swapped %s: %v", room, err)
			}
		}
	}
}

func TestMovedPackIsFoundAgain(t *testing.T) {
	r, refs, data := damageRig(t, mem.New())
	for _, p := range r.fence.Placements() {
		// The object moves while a restore has the old placement in its hands.
		b := content(t, r.store, blob.Info{Name: p.Object, Size: size(t, r.store, p.Object)})
		moved := p
		moved.Object += "-moved"
		replace(t, r.store, moved.Object, b)
		if err := r.store.Delete(t.Context(), p.Object); err != nil {
			t.Fatal(err)
		}
		once := &movingFence{Fence: r.fence, moved: moved}
		v, err := vault.Open(vault.Config{Store: r.store, Keys: vaulttest.Keys{Vault: r.id}, Fence: once})
		if err != nil {
			t.Fatal(err)
		}
		target := &vaulttest.Volume{Data: make([]byte, len(data))}
		if err := v.Restore(t.Context(), vault.RestoreRequest{Record: refs[1], Target: target}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(target.Data, data) {
			t.Fatal("the restored volume differs")
		}
	}
}

func size(t *testing.T, store blob.Store, name string) int64 {
	t.Helper()
	n, err := store.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// movingFence learns that a pack has moved after it was asked once.
type movingFence struct {
	*vaulttest.Fence
	moved vault.Placement
}

func (f *movingFence) Locate(ctx context.Context, id vault.ID, packs []vault.ID) ([]vault.Placement, error) {
	out, err := f.Fence.Locate(ctx, id, packs)
	if slices.Contains(packs, f.moved.Pack) {
		f.Fence.Place(f.moved)
	}
	return out, err
}

// TestDamagedParentCountsAsChanged damages all of a parent's objects of a kind;
// the next backup is whole all the same.
func TestDamagedParentCountsAsChanged(t *testing.T) {
	for _, room := range []string{"packs", "pages", "dirs", "records", "index", "placement"} {
		for _, how := range []string{"gone", "flipped", "short"} {
			for _, changes := range []bool{false, true} {
				r, refs, data := damageRig(t, mem.New())
				parent, err := r.vault.Record(t.Context(), refs[1])
				if err != nil {
					t.Fatal(err)
				}
				for _, o := range objects(t, r.store, room) {
					b := content(t, r.store, o)
					switch how {
					case "gone":
						if err := r.store.Delete(t.Context(), o.Name); err != nil {
							t.Fatal(err)
						}
						continue
					case "flipped":
						for i := 0; i < len(b); i += 50 {
							b[i] ^= 1
						}
					case "short":
						b = b[:len(b)/3]
					}
					replace(t, r.store, o.Name, b)
				}
				r.open()
				next := bytes.Clone(data)
				fill(newRand(12), next[100_000:200_000])
				req := r.request(&vaulttest.Volume{Data: next}, &refs[1])
				if changes {
					req.Changes = &vault.ChangeMap{Since: parent.SourceState, Extents: differ(data, next)}
				}
				ref, _ := r.backup(req)
				if room == "packs" && how == "flipped" {
					continue // that the blocks themselves are damaged can't be seen without reading them
				}
				r.same(ref, next)
			}
		}
	}
}

// TestWrongBlockIsFound seals a map whose extents name blocks that are intact
// but other ones, all seals and hashes being right.
// That a parent's map can't be read is not the change map's fault.
func TestHonestMapOfADamagedParent(t *testing.T) {
	r := newRig(t)
	data := make([]byte, 20<<20)
	fill(newRand(12), data)
	req := r.request(&vaulttest.Volume{Data: data}, nil)
	ref, _ := r.backup(req)
	for _, o := range objects(t, r.store, "pages") {
		if err := r.store.Delete(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
	}
	changed := bytes.Clone(data)
	fill(newRand(13), changed[:4096])
	again := r.request(&vaulttest.Volume{Data: changed}, &ref)
	again.Changes = &vault.ChangeMap{Since: req.SourceState, Extents: []vault.Extent{{Length: 4096}}}
	ref, result := r.backup(again)
	if result.MapLied {
		t.Error("an honest map is called a lie")
	}
	r.same(ref, changed)
}

func TestWrongBlockIsFound(t *testing.T) {
	data := make([]byte, 2<<20)
	fill(newRand(13), data)
	store := mem.New()
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	rec, err := r.vault.Record(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	f := forger{t: t, store: store, fence: r.fence, keys: vaulttest.Keys{Vault: r.id}}
	var place vault.Placement
	for _, p := range r.fence.Placements() {
		if p.Kind == vault.PagePack {
			place = p
		}
	}
	page, dir := f.page(place, rec.Root.Page)
	var leaf maps.Leaf
	if err := leaf.Parse(page, 0); err != nil {
		t.Fatal(err)
	}
	e := leaf.Extents[0]
	leaf.Extents = append([]maps.Extent{
		{Block: e.Block, Count: 8, Pack: e.Pack, Container: e.Container, First: e.First + 8},
		{Block: e.Block + 8, Count: e.Count - 8, Pack: e.Pack, Container: e.Container, First: e.First + 8},
	}, leaf.Extents[1:]...)
	root := f.putPage(place, dir, leaf.Append(nil))
	forged := f.putRecord(ref, rec.Root, root)
	_, err = r.restored(forged, len(data))
	damaged(t, err, place.Object)
}

// forger makes objects with the keys in hand.
type forger struct {
	t     *testing.T
	store blob.Store
	fence *vaulttest.Fence
	keys  vault.Keys
}

func (f forger) page(p vault.Placement, number uint32) ([]byte, *pack.PageDirectory) {
	f.t.Helper()
	b := content(f.t, f.store, blob.Info{Name: p.Object, Size: p.Length})
	dir, err := pack.OpenPages(f.keys, pack.Expected{Pack: p.Pack, Generation: p.Generation, DirOffset: p.DirOffset}, b[p.DirOffset:])
	if err != nil {
		f.t.Fatal(err)
	}
	page, err := f.box(sealing.PageLabel, &dir.Header).Open(nil, b[dir.Offsets[number]:dir.Offsets[number+1]], sealing.PagePart, uint64(number))
	if err != nil {
		f.t.Fatal(err)
	}
	return page, dir
}

func (f forger) box(l sealing.Label, h *format.Header) *sealing.Box {
	f.t.Helper()
	box, err := sealing.New(f.keys, l, h)
	if err != nil {
		f.t.Fatal(err)
	}
	return box
}

// putPage puts a page pack with one page in place of another.
func (f forger) putPage(p vault.Placement, dir *pack.PageDirectory, page []byte) maps.Ref {
	f.t.Helper()
	b := dir.Header.Append(nil)
	b = f.box(sealing.PageLabel, &dir.Header).Seal(b, page, sealing.PagePart, 0)
	d := pack.PageDirectory{Header: dir.Header, Offsets: []uint32{format.HeaderSize, uint32(len(b))}}
	at := len(b)
	b = d.Append(b, f.box(sealing.DirectoryLabel, &dir.Header))
	length := len(b)
	b = format.AppendFooter(b, []format.FooterEntry{{
		Pack: p.Pack, Generation: p.Generation, Kind: format.KindPagePack, Length: int64(length), DirOffset: int64(at),
	}})
	replace(f.t, f.store, p.Object, b)
	p.DirOffset, p.Length = int64(at), int64(length)
	f.fence.Place(p)
	secret, err := naming.New(f.keys)
	if err != nil {
		f.t.Fatal(err)
	}
	return maps.Ref{Pack: p.Pack, Page: 0, Hash: secret.Hasher().Page(page)}
}

// putRecord seals a record anew with another root.
func (f forger) putRecord(ref vault.RecordRef, old, root maps.Ref) vault.RecordRef {
	f.t.Helper()
	n, err := f.store.Stat(f.t.Context(), ref.Object)
	if err != nil {
		f.t.Fatal(err)
	}
	b := content(f.t, f.store, blob.Info{Name: ref.Object, Size: n})
	h, err := format.ParseHeader(b, format.KindRecord)
	if err != nil {
		f.t.Fatal(err)
	}
	box := f.box(sealing.RecordLabel, &h)
	plain, err := box.Open(nil, b[format.HeaderSize:], sealing.WholePart, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	plain = bytes.Replace(plain, []byte(hex.EncodeToString(old.Hash[:])), []byte(hex.EncodeToString(root.Hash[:])), 1)
	b = box.Seal(h.Append(nil), plain, sealing.WholePart, 0)
	replace(f.t, f.store, ref.Object, b)
	return vault.RecordRef{Object: ref.Object, Hash: blake3.Sum256(b)}
}
