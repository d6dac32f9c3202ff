package vault

import (
	"context"
	"fmt"
	"hash/maphash"

	"holdfast/internal/blob"
	"holdfast/internal/vault/pack"
)

// packRow is what a collection keeps of each committed generation, in 40 bytes.
type packRow struct {
	pack       ID
	generation uint32
	object     uint32 // index in objectTable.all
	length     uint32
	live       uint32 // blocks or pages that it holds
	kind       PackKind
	state      PackState
}

func (r *packRow) gen() PackGen { return PackGen{Pack: r.pack, Generation: r.generation} }

// objectRow is what a collection keeps of each object that the catalog names.
type objectRow struct {
	hash uint64
	rows uint32 // of packs that lie in it, or have a copy in it
	size uint32 // as it was listed; 0: it was not
	used uint32 // bytes that live, by estimate
}

// objectTable finds objects by the hashes of their names. Two names with one
// hash count as one object, which is in use as long as either is.
type objectTable struct {
	seed  maphash.Seed
	all   []objectRow
	slots []uint32 // open addressing: index in all + 1, 0 for none
}

func newObjectTable() *objectTable {
	return &objectTable{seed: maphash.MakeSeed(), slots: make([]uint32, 1<<10)}
}

// find returns an object's index, -1 for one that nothing names.
func (t *objectTable) find(name string) int {
	return int(t.slots[t.slot(maphash.String(t.seed, name))]) - 1
}

func (t *objectTable) slot(hash uint64) uint64 {
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if t.slots[i] == 0 || t.all[t.slots[i]-1].hash == hash {
			return i
		}
	}
}

// add counts that something names an object, and returns its index.
func (t *objectTable) add(name string) uint32 {
	hash := maphash.String(t.seed, name)
	i := t.slot(hash)
	if t.slots[i] == 0 {
		if 4*len(t.all) >= 3*len(t.slots) {
			t.grow()
			i = t.slot(hash)
		}
		t.all = append(t.all, objectRow{hash: hash})
		t.slots[i] = uint32(len(t.all))
	}
	n := t.slots[i] - 1
	t.all[n].rows++
	return n
}

func (t *objectTable) grow() {
	t.slots = make([]uint32, 2*len(t.slots))
	for i := range t.all {
		t.slots[t.slot(t.all[i].hash)] = uint32(i + 1)
	}
}

// drop counts that something doesn't name an object any more, and reports
// whether nothing does.
func (t *objectTable) drop(name string) bool {
	i := t.find(name)
	if i < 0 || t.all[i].rows == 0 {
		return false
	}
	t.all[i].rows--
	return t.all[i].rows == 0
}

// restart forgets what names objects, and not how large these are.
func (t *objectTable) restart() {
	for i := range t.all {
		t.all[i].rows, t.all[i].used = 0, 0
	}
}

// named reports whether anything names an object.
func (t *objectTable) named(name string) bool {
	i := t.find(name)
	return i >= 0 && t.all[i].rows > 0
}

// inventory is a survey with its packs, in memory that follows their number
// thinly.
type inventory struct {
	Survey
	rows    []packRow   // committed generations, in the order of pack and generation
	kept    []PackRow   // those that were asked for, whole
	writers map[ID]bool // the sessions that wrote a generation that is there
	pending map[ID]bool // those that wrote one that is not committed
}

// ended reports whether the catalog knows a session and that it has ended for
// good.
func (v *inventory) ended(session ID) bool { return v.Sessions[session] }

// dataPacks returns the ids of all packs of blocks, sorted.
func (v *inventory) dataPacks() []ID {
	n := 0
	for i := range v.rows {
		if v.rows[i].kind == DataPack {
			n++
		}
	}
	ids := make([]ID, 0, n)
	for i := range v.rows {
		if r := &v.rows[i]; r.kind == DataPack && (len(ids) == 0 || ids[len(ids)-1] != r.pack) {
			ids = append(ids, r.pack)
		}
	}
	return ids
}

// condemned reports whether a pack is condemned.
func (v *inventory) condemned() bool {
	for i := range v.rows {
		if v.rows[i].state == Condemned {
			return true
		}
	}
	return false
}

// abandoned reports whether there are packs of sessions that came to nothing.
func (v *inventory) abandoned() bool {
	for session := range v.pending {
		if v.ended(session) {
			return true
		}
	}
	return false
}

// survey asks the ledger for the vault's present state, and counts in
// c.objects what names objects. With rows, the committed generations are kept
// thinly; all that keep wants are kept whole.
func (c *collection) survey(ctx context.Context, rows bool, keep func(*PackRow) bool) (*inventory, error) {
	v := &inventory{writers: map[ID]bool{}, pending: map[ID]bool{}}
	c.objects.restart()
	if rows {
		v.rows = make([]packRow, 0, c.committed+c.committed/64)
	}
	c.committed = 0
	var err error
	v.Survey, err = c.req.Ledger.Survey(ctx, c.req.Session, func(p PackRow) error {
		if p.Kind != DataPack && p.Kind != PagePack || p.Length < 0 || p.Length > blob.MaxSize || p.Live < 0 || p.Live > max(packBlocks, pack.MaxPages) {
			return fmt.Errorf("pack %s, kind %d, has %d bytes and %d blocks or pages", p.Pack, p.Kind, p.Length, p.Live)
		}
		object := c.objects.add(p.Object)
		if p.DirObject != "" {
			c.objects.add(p.DirObject)
		}
		v.writers[p.Session] = true
		if p.State == Uncommitted {
			v.pending[p.Session] = true
		}
		if p.State != Uncommitted {
			c.committed++
		}
		if rows && p.State != Uncommitted {
			v.rows = append(v.rows, packRow{
				pack: p.Pack, generation: p.Generation, object: object, length: uint32(p.Length), live: uint32(p.Live), kind: p.Kind, state: p.State,
			})
		}
		if keep != nil && keep(&p) {
			v.kept = append(v.kept, p)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("survey vault %s: %w", c.v.id, err)
	}
	for _, s := range v.Segments {
		c.objects.add(s.Object)
	}
	for i := range v.Roots {
		c.objects.add(v.Roots[i].Record.Object)
	}
	for _, name := range v.Dead {
		c.objects.add(name) // they are not orphans
	}
	c.announced, c.sessions = max(c.announced, v.Announced), v.Sessions
	return v, nil
}
