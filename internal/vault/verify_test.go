package vault_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"holdfast/internal/blob"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

func (r *rig) verify(req vault.VerifyRequest) vault.VerifyReport {
	r.t.Helper()
	report, err := r.vault.Verify(r.t.Context(), req)
	if err != nil {
		r.t.Fatalf("verify: %v", err)
	}
	return report
}

// alter changes an object's bytes.
func (r *rig) alter(name string, change func(b []byte) []byte) {
	r.t.Helper()
	n, err := r.store.Stat(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := r.store.Get(r.t.Context(), name, b, 0); err != nil {
		r.t.Fatal(err)
	}
	r.put(name, change(b))
}

func (r *rig) put(name string, b []byte) {
	r.t.Helper()
	if err := r.store.Delete(r.t.Context(), name); err != nil {
		r.t.Fatal(err)
	}
	if b == nil {
		return
	}
	if err := r.store.Put(r.t.Context(), name, io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))); err != nil {
		r.t.Fatal(err)
	}
}

func flip(at int64) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

func gone([]byte) []byte { return nil }

// place returns the only pack of a kind that is in places and not in old.
func (r *rig) place(kind vault.PackKind, old []vault.Placement) vault.Placement {
	r.t.Helper()
	for _, p := range r.fence.Placements() {
		if p.Kind == kind && !slices.ContainsFunc(old, func(o vault.Placement) bool { return o.Pack == p.Pack }) {
			return p
		}
	}
	r.t.Fatal("no new pack")
	return vault.Placement{}
}

// verifyRig is a vault with two backups. Blocks of the first are new and in
// the order of the volume, group by group; the second changes the third group
// and has a copy of the four after it at 5 MiB.
type verifyRig struct {
	*rig
	refs   [2]vault.RecordRef
	data   [2][]byte
	packs  [2]vault.Placement // of blocks
	pages  [2]vault.Placement
	groups []vault.GroupAt // of the first pack
}

func newVerifyRig(t *testing.T) *verifyRig {
	t.Helper()
	v := &verifyRig{rig: newRig(t, func(cfg *vault.Config) { cfg.Workers = 1 })}
	rng := newRand(91)
	first := make([]byte, 8<<20+77)
	fill(rng, first[:12*vault.GroupSize])
	v.refs[0], _ = v.backup(v.request(&vaulttest.Volume{Data: first}, nil))
	v.packs[0], v.pages[0] = v.place(vault.DataPack, nil), v.place(vault.PagePack, nil)
	old := v.fence.Placements()
	second := bytes.Clone(first)
	fill(rng, second[2*vault.GroupSize:3*vault.GroupSize])
	copy(second[5<<20:], first[3*vault.GroupSize:7*vault.GroupSize])
	v.refs[1], _ = v.backup(v.request(&vaulttest.Volume{Data: second}, &v.refs[0]))
	v.packs[1], v.pages[1] = v.place(vault.DataPack, old), v.place(vault.PagePack, old)
	v.data = [2][]byte{first, second}
	var err error
	if v.groups, err = v.vault.Groups(t.Context(), v.packs[0]); err != nil {
		t.Fatal(err)
	}
	if len(v.groups) != 12 {
		t.Fatalf("%d groups", len(v.groups))
	}
	return v
}

func (v *verifyRig) all() vault.VerifyRequest {
	return vault.VerifyRequest{Backups: v.refs[:], ReadData: true}
}

// groups returns the range of the volume that groups of the first backup were
// taken from.
func groups(n, count int64) []vault.Extent {
	return []vault.Extent{{Offset: n * vault.GroupSize, Length: count * vault.GroupSize}}
}

// copied returns where the second backup has copies of groups, from its third
// on.
func copied(n, count int64) vault.Extent {
	return vault.Extent{Offset: 5<<20 + n*vault.GroupSize, Length: count * vault.GroupSize}
}

func TestVerifyWhole(t *testing.T) {
	v := newVerifyRig(t)
	steps := map[vault.VerifyStep]vault.VerifyProgress{}
	req := v.all()
	req.Progress = func(p vault.VerifyProgress) { steps[p.Step] = p }
	report := v.verify(req)
	if !report.OK() || report.Backups != 2 || report.Packs != 4 || report.Objects != 4 || report.Odds.Read != 13 || report.Odds.Groups != 13 {
		t.Errorf("%+v", report)
	}
	if p := steps[vault.VerifyPacks]; p.Done != 4 || p.Size != 4 || p.Read != report.Read || report.Read < 13*40_000 {
		t.Errorf("%+v", steps)
	}
	if steps[vault.VerifyMaps].Done != 2 {
		t.Errorf("%+v", steps)
	}
	again := v.all()
	again.Backups = append(append([]vault.RecordRef{}, v.refs[:]...), v.refs[0], v.refs[1])
	if more := v.verify(again); more.Pages != report.Pages || more.Read != report.Read || more.Packs != report.Packs {
		t.Errorf("what backups share is checked again: %+v, %+v", report, more)
	}
}

// damageCase is a way to damage the store, and what a verification says.
type damageCase struct {
	name   string
	damage func(v *verifyRig)
	pack   func(v *verifyRig) *vault.Placement // that is named
	spare  bool
	// ranges that are lost, by backup; nil: none
	lost  [2][]vault.Extent
	cheap bool // it is found without reading data
	// after healing both backups restore
	healed bool
}

func firstPack(v *verifyRig) *vault.Placement   { return &v.packs[0] }
func secondPack(v *verifyRig) *vault.Placement  { return &v.packs[1] }
func firstPages(v *verifyRig) *vault.Placement  { return &v.pages[0] }
func secondPages(v *verifyRig) *vault.Placement { return &v.pages[1] }

var (
	wholeFirst  = []vault.Extent{{Length: 12 * vault.GroupSize}}
	wholeSecond = []vault.Extent{{Length: 2 * vault.GroupSize}, {Offset: 3 * vault.GroupSize, Length: 9 * vault.GroupSize}, copied(0, 4)}
	// A leaf of which a pack isn't known can't be checked, nor restored.
	firstLeaf  = vault.Extent{Length: format.LeafSize}
	bothLeaves = []vault.Extent{{Length: 2 * format.LeafSize}}
)

func damageCases() []damageCase {
	return []damageCase{
		{
			name: "a group", pack: firstPack,
			damage: func(v *verifyRig) { v.alter(v.packs[0].Object, flip(v.groups[3].Offset+100)) },
			lost:   [2][]vault.Extent{groups(3, 1), {groups(3, 1)[0], copied(0, 1)}},
		},
		{
			name: "two groups side by side", pack: firstPack,
			damage: func(v *verifyRig) {
				v.alter(v.packs[0].Object, flip(v.groups[4].Offset))
				v.alter(v.packs[0].Object, flip(v.groups[5].Offset+v.groups[5].Length-1))
			},
			lost: [2][]vault.Extent{groups(4, 2), {groups(4, 2)[0], copied(1, 2)}},
		},
		{
			name: "a group that the second backup doesn't need", pack: firstPack,
			damage: func(v *verifyRig) { v.alter(v.packs[0].Object, flip(v.groups[2].Offset+1)) },
			lost:   [2][]vault.Extent{groups(2, 1), nil},
		},
		{
			name: "groups of one pack swapped", pack: firstPack,
			damage: func(v *verifyRig) {
				v.alter(v.packs[0].Object, func(b []byte) []byte {
					x, y := v.groups[6], v.groups[7]
					n := min(x.Length, y.Length)
					a := bytes.Clone(b[x.Offset : x.Offset+n])
					copy(b[x.Offset:], b[y.Offset:y.Offset+n])
					copy(b[y.Offset:], a)
					return b
				})
			},
			lost: [2][]vault.Extent{groups(6, 2), {groups(6, 2)[0], copied(3, 1)}},
		},
		{
			name: "the directory in the pack", pack: firstPack, cheap: true, spare: true, healed: true,
			damage: func(v *verifyRig) { v.alter(v.packs[0].Object, flip(v.packs[0].DirOffset+300)) },
		},
		{
			name: "the second copy of the directory", pack: firstPack, cheap: true, spare: true, healed: true,
			damage: func(v *verifyRig) { v.alter(v.packs[0].DirObject, flip(v.packs[0].DirAt+300)) },
		},
		{
			name: "both copies of the directory", pack: firstPack, cheap: true,
			damage: func(v *verifyRig) {
				v.alter(v.packs[0].Object, flip(v.packs[0].DirOffset+300))
				v.alter(v.packs[0].DirObject, flip(v.packs[0].DirAt+500))
			},
			lost: [2][]vault.Extent{{firstLeaf}, bothLeaves},
		},
		{
			name: "the header", pack: firstPack, cheap: true, spare: true, healed: true,
			damage: func(v *verifyRig) { v.alter(v.packs[0].Object, flip(110)) },
		},
		{
			name: "the footer", pack: firstPack, cheap: true, spare: true, healed: true,
			damage: func(v *verifyRig) { v.alter(v.packs[0].Object, flip(v.packs[0].Length+3)) },
		},
		{
			name: "a pack that is missing", pack: firstPack, cheap: true,
			damage: func(v *verifyRig) { v.alter(v.packs[0].Object, gone) },
			lost:   [2][]vault.Extent{wholeFirst, wholeSecond},
		},
		{
			name: "a pack that is cut", pack: secondPack, cheap: true,
			damage: func(v *verifyRig) {
				v.alter(v.packs[1].Object, func(b []byte) []byte { return b[:len(b)/2] })
			},
			lost: [2][]vault.Extent{nil, groups(2, 1)},
		},
		{
			name: "the header of pages", pack: firstPages, cheap: true, spare: true, healed: true,
			damage: func(v *verifyRig) { v.alter(v.pages[0].Object, flip(110)) },
		},
		{
			name: "the second copy of a directory of pages", pack: secondPages, cheap: true, spare: true, healed: true,
			damage: func(v *verifyRig) { v.alter(v.pages[1].DirObject, flip(v.pages[1].DirAt+170)) },
		},
		{
			name: "a page", pack: secondPages, cheap: true,
			damage: func(v *verifyRig) {
				off, _, err := v.vault.PageAt(v.t.Context(), v.pages[1], 0)
				if err != nil {
					v.t.Fatal(err)
				}
				v.alter(v.pages[1].Object, flip(off+20))
			},
			lost: [2][]vault.Extent{nil, {firstLeaf}},
		},
		{
			name: "pages that are missing", pack: secondPages, cheap: true,
			damage: func(v *verifyRig) { v.alter(v.pages[1].Object, gone) },
			lost:   [2][]vault.Extent{nil, {{Length: 8<<20 + 77}}},
		},
		{
			name: "packs swapped", pack: firstPack, cheap: true,
			damage: func(v *verifyRig) {
				a, b := content(v.t.(*testing.T), v.store, info(v.rig, v.packs[0].Object)), content(v.t.(*testing.T), v.store, info(v.rig, v.packs[1].Object))
				v.put(v.packs[0].Object, b)
				v.put(v.packs[1].Object, a)
			},
			lost: [2][]vault.Extent{wholeFirst, {{Length: 12 * vault.GroupSize}, copied(0, 4)}},
		},
		{
			name: "a pack that the catalog doesn't know", pack: firstPack, cheap: true,
			damage: func(v *verifyRig) { v.fence.Place(vault.Placement{Pack: v.packs[0].Pack}) },
			lost:   [2][]vault.Extent{{firstLeaf}, bothLeaves},
		},
	}
}

func info(r *rig, name string) blob.Info {
	n, err := r.store.Stat(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return blob.Info{Name: name, Size: n}
}

// TestDamageIsLocated damages the store in each way; a verification names the
// pack, and exactly the ranges that are lost.
func TestDamageIsLocated(t *testing.T) {
	for _, c := range damageCases() {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifyRig(t)
			c.damage(v)
			v.open()
			c.check(t, v, v.verify(v.all()))
			if report := v.verify(vault.VerifyRequest{Backups: v.refs[:]}); c.cheap {
				c.check(t, v, report)
			} else if !report.OK() {
				t.Errorf("damage of data was found without reading any: %+v", report)
			}
			report := v.verify(v.all())
			for i, ref := range v.refs {
				v.compareRanges(0, ref, v.data[i], report)
				got, err := v.restored(ref, len(v.data[i]))
				if (err != nil) != (c.lost[i] != nil) {
					t.Errorf("backup %d restores: %v", i, err)
				}
				if err == nil && !bytes.Equal(got, v.data[i]) {
					t.Errorf("backup %d restores to other bytes", i)
				}
			}
		})
	}
}

func (c *damageCase) check(t *testing.T, v *verifyRig, report vault.VerifyReport) {
	t.Helper()
	if len(report.DamagedPacks) == 0 {
		t.Fatalf("nothing was found: %+v", report)
	}
	want := c.pack(v)
	i := slices.IndexFunc(report.DamagedPacks, func(d vault.DamagedPack) bool { return d.Pack == want.Pack })
	if i < 0 {
		t.Fatalf("other packs are damaged: %+v", report.DamagedPacks)
	}
	if d := report.DamagedPacks[i]; d.Spare != c.spare || len(d.What) == 0 || d.Object != "" && d.Object != want.Object {
		t.Errorf("%+v", d)
	}
	var lost [2][]vault.Extent
	for _, b := range report.DamagedBackups {
		for i, ref := range v.refs {
			if b.Record == ref.Object {
				lost[i] = b.Ranges
				n := int64(0)
				for _, e := range b.Ranges {
					n += e.Length
				}
				if b.Whole || b.What == "" || b.Bytes != n || b.Size != int64(len(v.data[i])) || !strings.Contains(b.Record, b.Backup) {
					t.Errorf("%+v", b)
				}
			}
		}
	}
	if diff := cmp.Diff(c.lost, lost, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
}

// TestDamagedRecordIsTheWholeBackup flips bytes of a record, and takes it away.
func TestDamagedRecordIsTheWholeBackup(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"header": flip(30), "content": flip(vault.HeaderSize + 20), "missing": gone,
		"cut": func(b []byte) []byte { return b[:50] },
	} {
		v := newVerifyRig(t)
		v.alter(v.refs[0].Object, change)
		report := v.verify(v.all())
		if len(report.DamagedBackups) != 1 || len(report.DamagedPacks) != 0 {
			t.Fatalf("%s: %+v", name, report)
		}
		if d := report.DamagedBackups[0]; !d.Whole || d.Record != v.refs[0].Object || d.Backup != "00000000-0000-4000-8000-000000000001" {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// TestVerifyOfABareStore finds the same without a catalog.
func TestVerifyOfABareStore(t *testing.T) {
	v := newVerifyRig(t)
	v.alter(v.packs[0].Object, flip(v.groups[3].Offset+100))
	bare, err := vault.OpenBare(t.Context(), v.store, testKeys)
	if err != nil {
		t.Fatal(err)
	}
	report, err := bare.Verify(t.Context(), v.all())
	if err != nil {
		t.Fatal(err)
	}
	c := damageCases()[0]
	c.check(t, v, report)
	if report.Packs != 4 || report.Odds.Groups != 13 {
		t.Errorf("%+v", report)
	}
}

// TestReplayedGenerationIsFound brings the object of an older generation back
// under the name of the present one.
func TestReplayedGenerationIsFound(t *testing.T) {
	v := newVerifyRig(t)
	old := content(t, v.store, info(v.rig, v.packs[0].Object))
	places := v.rewrite([]vault.RewriteItem{{Place: v.packs[0]}}, vault.RewriteOptions{})
	if report := v.verify(v.all()); !report.OK() {
		t.Fatalf("%+v", report)
	}
	v.put(places[0].Object, old)
	v.open()
	report := v.verify(v.all())
	if len(report.DamagedPacks) != 1 || report.DamagedPacks[0].Generation != 2 || len(report.DamagedBackups) != 2 {
		t.Fatalf("%+v", report)
	}
}

// TestPackMovesDuringVerify switches to other generations while a verification
// has the old placements in hand.
func TestPackMovesDuringVerify(t *testing.T) {
	v := newVerifyRig(t)
	moved := false
	req := v.all()
	req.Progress = func(p vault.VerifyProgress) {
		if p.Step == vault.VerifyPacks && !moved {
			moved = true
			v.rewrite(v.everything(), vault.RewriteOptions{})
		}
	}
	if report := v.verify(req); !report.OK() || report.Odds.Read != 13 {
		t.Fatalf("%+v", report)
	}
}

// TestVerifyIsRight compares a report with what restores do, block by block,
// for random damage of random vaults.
func TestVerifyIsRight(t *testing.T) {
	for seed := range uint64(6) {
		store := mem.New()
		r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
		refs, data := manyBackups(r, 200+seed, 4)
		rng := newRand(seed)
		for range 1 + rng.IntN(3) {
			list := objects(t, r.store, []string{"packs", "packs", "pages"}[rng.IntN(3)])
			o := list[rng.IntN(len(list))]
			r.alter(o.Name, flip(vault.HeaderSize+rng.Int64N(o.Size-vault.HeaderSize)))
		}
		r.open()
		report := r.verify(vault.VerifyRequest{Backups: refs, ReadData: true})
		for i, ref := range refs {
			r.compareRanges(seed, ref, data[i], report)
			got, err := r.restored(ref, len(data[i]))
			if err == nil && !bytes.Equal(got, data[i]) {
				t.Errorf("seed %d: backup %d restores to other bytes", seed, i)
			}
		}
	}
}

// compareRanges reads each block of a backup: those that a report calls lost
// can't be read, all others are what they were.
func (r *rig) compareRanges(seed uint64, ref vault.RecordRef, data []byte, report vault.VerifyReport) {
	r.t.Helper()
	var lost []vault.Extent
	for _, d := range report.DamagedBackups {
		if d.Record == ref.Object {
			lost = d.Ranges
		}
	}
	b, err := r.vault.OpenBackup(r.t.Context(), ref)
	if err != nil {
		r.t.Fatal(err)
	}
	defer b.Close()
	block := make([]byte, 4096)
	for off := int64(0); off < int64(len(data)); off += int64(len(block)) {
		n := min(len(block), len(data)-int(off))
		_, err := b.ReadAt(block[:n], off)
		said := slices.ContainsFunc(lost, func(e vault.Extent) bool { return e.Offset <= off && off < e.Offset+e.Length })
		if (err != nil) != said {
			r.t.Fatalf("seed %d: block at %d: said to be lost: %v; it reads: %v", seed, off, said, err)
		}
		if err == nil && !bytes.Equal(block[:n], data[off:int(off)+n]) {
			r.t.Fatalf("seed %d: block at %d is another one", seed, off)
		}
	}
}
