package vault

import (
	"context"
	"encoding/binary"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/pack"
)

// A segment's hooks name containers, of which the most frequently named ones
// are loaded. Its blocks are compared with all that were loaded lately: what is
// found once stands near what is looked for next.
const (
	segmentBlocks     = 256 // 1 MiB
	segmentContainers = 16
)

// The memory of a finder: the containers that it keeps, and a table of their
// blocks, twice as many entries as there can be.
const (
	keptContainers = 256
	bucketEntries  = 8
	buckets        = 2 * keptContainers * format.ContainerBlocks / bucketEntries
)

// finder is a worker's means to find blocks that the vault or the session has.
type finder struct {
	named []named
	kept  [keptContainers]keptContainer
	at    map[hooks.Place]int // index in kept
	clock uint64
	table [][bucketEntries]entry // nil until there is something to find
}

type named struct {
	place hooks.Place
	count int
}

type keptContainer struct {
	place     hooks.Place
	container *pack.Container // nil for none
	used      uint64
	epoch     uint32 // of the slot; entries of others are stale
}

// entry is a block of a kept container: a part of its digest, and the slot's
// epoch, the slot and the block's number. It is a hint, which the container's
// digests confirm.
type entry struct{ tag, where uint32 }

const (
	blockBits  = 10
	slotBits   = 8
	epochLimit = 1 << (32 - slotBits - blockBits)
)

// find looks for the leaf's blocks that the parent doesn't have in containers
// of the vault and of the session itself.
func (w *worker) find(ctx context.Context) error {
	for first := 0; first < format.LeafBlocks; first += segmentBlocks {
		f := &w.finder
		f.named = f.named[:0]
		wanted := false
		for i := first; i < first+segmentBlocks; i++ {
			if !w.wanted(i) {
				continue
			}
			wanted = true
			if hooks.IsHook(&w.digests[i]) {
				if place, ok := w.s.lookup(hooks.Tag(&w.digests[i])); ok {
					f.name(place)
				}
			}
		}
		if err := w.loadNamed(ctx); err != nil {
			return err
		}
		if wanted && f.table != nil {
			w.match(first)
		}
	}
	return nil
}

func (w *worker) wanted(i int) bool {
	return w.where[i].pack == 0 && w.digests[i] != (format.Digest{})
}

func (f *finder) name(p hooks.Place) {
	for i := range f.named {
		if f.named[i].place == p {
			f.named[i].count++
			return
		}
	}
	f.named = append(f.named, named{place: p, count: 1})
}

// loadNamed loads the containers that were named most.
func (w *worker) loadNamed(ctx context.Context) error {
	f := &w.finder
	for i := 1; i < len(f.named); i++ {
		for k := i; k > 0 && f.named[k].count > f.named[k-1].count; k-- {
			f.named[k], f.named[k-1] = f.named[k-1], f.named[k]
		}
	}
	for _, n := range f.named[:min(len(f.named), segmentContainers)] {
		f.clock++
		if i, ok := f.at[n.place]; ok {
			f.kept[i].used = f.clock
			continue
		}
		c, err := w.s.container(ctx, n.place)
		if err != nil {
			return err
		}
		if c != nil {
			f.keep(n.place, c)
		}
	}
	return nil
}

// keep takes a container in, in the place of the one that was named longest ago.
func (f *finder) keep(p hooks.Place, c *pack.Container) {
	if f.table == nil {
		f.table = make([][bucketEntries]entry, buckets)
		f.at = make(map[hooks.Place]int, keptContainers)
	}
	slot := 0
	for i := range f.kept {
		if f.kept[i].used < f.kept[slot].used {
			slot = i
		}
	}
	k := &f.kept[slot]
	if k.container != nil {
		delete(f.at, k.place)
	}
	f.at[p] = slot
	*k = keptContainer{place: p, container: c, used: f.clock, epoch: max(1, (k.epoch+1)%epochLimit)}
	for n := range c.Digests {
		if d := &c.Digests[n]; *d != (format.Digest{}) {
			f.enter(d, k.epoch<<(slotBits+blockBits)|uint32(slot)<<blockBits|uint32(n))
		}
	}
}

// bucket returns where a digest belongs in the table, and its tag. Neither has
// the bits that make a hook.
func bucket(d *format.Digest) (uint32, uint32) {
	return binary.LittleEndian.Uint32(d[8:]) % buckets, binary.LittleEndian.Uint32(d[12:])
}

// enter puts a block into the table, over one that is stale if there is one.
func (f *finder) enter(d *format.Digest, where uint32) {
	at, tag := bucket(d)
	b := &f.table[at]
	victim := int(tag % bucketEntries)
	for i := range b {
		if f.kept[b[i].slot()].epoch != b[i].epoch() {
			victim = i
			break
		}
	}
	b[victim] = entry{tag: tag, where: where}
}

func (e entry) epoch() uint32 { return e.where >> (slotBits + blockBits) }
func (e entry) slot() int     { return int(e.where >> blockBits % keptContainers) }
func (e entry) block() int    { return int(e.where % format.ContainerBlocks) }

// look returns the kept container that has a digest, and the block's number; nil
// for none.
func (f *finder) look(d *format.Digest) (*keptContainer, int) {
	at, tag := bucket(d)
	b := &f.table[at]
	for i := range b {
		if b[i].tag != tag {
			continue
		}
		k := &f.kept[b[i].slot()]
		if n := b[i].block(); k.epoch == b[i].epoch() && n < len(k.container.Digests) && k.container.Digests[n] == *d {
			return k, n
		}
	}
	return nil, 0
}

// match compares a segment's blocks with the kept containers. A block that
// continues the run before it is preferred to one elsewhere.
func (w *worker) match(first int) {
	var run *keptContainer
	var in uint16
	next := 0
	for i := first; i < first+segmentBlocks; i++ {
		if !w.wanted(i) {
			run = nil
			continue
		}
		if run != nil {
			if d, ok := run.container.Digest(next); ok && d == w.digests[i] {
				w.where[i] = location{pack: in, container: run.place.Container, block: uint16(next), found: true}
				next++
				continue
			}
		}
		if run, next = w.finder.look(&w.digests[i]); run != nil {
			in = w.packIndex(run.place.Pack)
			w.where[i] = location{pack: in, container: run.place.Container, block: uint16(next), found: true}
			next++
		}
	}
}
