package vault

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/pack"
)

// What is worth a pack's next generation. Garbage is counted by object, since
// an object goes as a whole.
const (
	garbageShare    = 4  // one in so many bytes of an object
	maintainGarbage = 20 // likewise, where maintain asks
	smallData       = 8 << 20
	smallPages      = 2 << 20
	smallMaintain   = 8 << 20  // of either kind
	smallMany       = 16       // objects that are worth merging unasked
	roundPacks      = 16 << 10 // packs that one round condemns or rewrites
)

// chosen is what a round of a collection is going to do: by estimate, since
// what must not be wrong is computed again once it can't change any more.
type chosen struct {
	condemn []PackGen
	work    map[PackGen]bool // to be rewritten as they are, or less pages that nothing names
	more    bool             // there is more than a round's worth
}

// chooser chooses packs by what a marker has found.
type chooser struct {
	c     *collection
	inv   *inventory
	m     *marker
	out   chosen
	room  int // packs that may still be condemned
	merge [3]bool
}

func (c *collection) choose(ctx context.Context, inv *inventory, m *marker) (chosen, error) {
	h := &chooser{c: c, inv: inv, m: m, out: chosen{work: map[PackGen]bool{}}, room: roundPacks}
	var small [3]int
	seen := make([]bool, len(c.objects.all))
	for i := range inv.rows {
		r := &inv.rows[i]
		o := &c.objects.all[r.object]
		if r.live > 0 {
			o.used += uint32(uint64(r.length)*uint64(h.live(r))/uint64(r.live)) + format.FooterEntrySize
		}
		if r.state == Condemned {
			h.room--
		}
		if !seen[r.object] && h.small(r) {
			small[r.kind]++
		}
		if !seen[r.object] {
			o.used += format.TrailerSize
		}
		seen[r.object] = true
	}
	for kind, n := range small {
		h.merge[kind] = n >= smallMany || c.req.Maintain && n > 1
	}
	for i := range inv.rows {
		h.row(&inv.rows[i])
	}
	if c.req.Maintain {
		return h.out, h.fast(ctx)
	}
	return h.out, nil
}

// live returns how many blocks or pages of a pack live, by estimate. Where that
// isn't known, all do.
func (h *chooser) live(r *packRow) uint32 {
	if r.kind == PagePack {
		if p := h.m.packs[r.pack]; p != nil && !h.m.blind {
			return min(r.live, uint32(p.live.count()))
		}
		return r.live
	}
	if i := h.m.blocks.find(r.pack); i >= 0 && h.m.damage == nil {
		return min(r.live, uint32(h.m.blocks.count(i)))
	}
	return r.live
}

func (h *chooser) small(r *packRow) bool {
	limit := uint32(smallData)
	switch {
	case h.c.req.Maintain:
		limit = smallMaintain
	case r.kind == PagePack:
		limit = smallPages
	}
	return max(h.c.objects.all[r.object].size, r.length) < limit
}

// garbage reports whether so much of a pack's object is garbage that it is
// worth rewriting all that lives in it.
func (h *chooser) garbage(r *packRow) bool {
	o := &h.c.objects.all[r.object]
	share := uint32(garbageShare)
	if h.c.req.Maintain {
		share = maintainGarbage
	}
	size := max(o.size, r.length)
	return o.used < size && size-o.used > size/share
}

// row decides on a pack.
func (h *chooser) row(r *packRow) {
	if r.state != Writable {
		return
	}
	live := h.live(r)
	garbage := h.garbage(r)
	switch {
	case r.kind == PagePack && (live == 0 || garbage):
		h.rewrite(r)
	case r.kind == DataPack && h.m.damage == nil && (live == 0 || garbage && h.losing(r, live)):
		h.condemn(r)
	case garbage, h.merge[r.kind] && h.small(r):
		h.rewrite(r)
	}
}

// losing reports whether enough of a data pack is dead. An estimate by a
// sample is a little wrong.
func (h *chooser) losing(r *packRow, live uint32) bool {
	dead := r.live - live
	return dead > 0 && (h.m.blocks.exact() || dead > r.live/50)
}

func (h *chooser) condemn(r *packRow) {
	if h.room <= 0 {
		h.out.more = true
		return
	}
	h.room--
	h.out.condemn = append(h.out.condemn, r.gen())
}

func (h *chooser) rewrite(r *packRow) {
	if len(h.out.work) >= roundPacks {
		h.out.more = true
		return
	}
	h.out.work[r.gen()] = true
}

// fast chooses packs that were compressed fast, from where the last round
// ended.
func (h *chooser) fast(ctx context.Context) error {
	taken := map[PackGen]bool{}
	for _, g := range h.out.condemn {
		taken[g] = true
	}
	var ask []ID
	generation := map[ID]uint32{}
	for i := range h.inv.rows {
		r := &h.inv.rows[i]
		if r.kind != DataPack || r.state != Writable || compareID(r.pack, h.c.cursor) <= 0 {
			continue
		}
		if len(h.out.work) >= roundPacks {
			h.out.more = true
			return nil
		}
		h.c.cursor = r.pack
		if !h.out.work[r.gen()] && !taken[r.gen()] {
			ask = append(ask, r.pack)
			generation[r.pack] = r.generation
		}
		if len(ask) == summariesAtOnce {
			if err := h.fastOf(ctx, ask, generation); err != nil {
				return err
			}
			ask = ask[:0]
			clear(generation)
		}
	}
	return h.fastOf(ctx, ask, generation)
}

const (
	summariesAtOnce = 256
	summariesAhead  = 16
)

func (h *chooser) fastOf(ctx context.Context, packs []ID, generation map[ID]uint32) error {
	if len(packs) == 0 {
		return nil
	}
	places, err := h.c.v.cfg.Fence.Locate(ctx, h.c.v.id, packs)
	if err != nil || len(places) != len(packs) {
		return fmt.Errorf("locate %d packs: %d placements: %w", len(packs), len(places), err)
	}
	found := make([]bool, len(places))
	var group errgroup.Group
	group.SetLimit(summariesAhead)
	for i := range places {
		group.Go(func() error {
			if places[i].Object == "" || places[i].Generation != generation[packs[i]] {
				return nil
			}
			groups, err := h.c.w.read.summary(ctx, places[i])
			found[i] = err == nil && storedFast(groups, places[i].Generation, h.c.req.Compression == Small)
			if err != nil && ctx.Err() == nil {
				h.c.v.cfg.Log.WarnContext(ctx, "directory can't be read, the pack is left as it is", "pack", packs[i].String(), "error", err)
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, ok := range found {
		if ok {
			h.out.work[PackGen{Pack: packs[i], Generation: places[i].Generation}] = true
		}
	}
	return nil
}

// storedFast reports whether compressing a pack anew may gain: where S2 was
// used, and where the result is to be small also where a backup used zstd. A
// pack without any compressed group may be either's; it is tried once. So is
// one with few groups of S2: zstd may not have gained on them.
func storedFast(containers [][]format.Group, generation uint32, small bool) bool {
	var count [format.Zstd + 1]int
	for _, groups := range containers {
		for i := range groups {
			if groups[i].Present != 0 {
				count[groups[i].Codec]++
			}
		}
	}
	if generation > 1 {
		return count[format.S2] > (count[format.Zstd]+count[format.Raw])/8
	}
	return small || count[format.S2] > 0 || count[format.Zstd] == 0 && count[format.Raw] > 0
}

// summary reads what of a data pack's directory says how its groups are
// stored.
func (r *reader) summary(ctx context.Context, p Placement) ([][]format.Group, error) {
	object, at := p.Object, p.Offset+p.DirOffset
	if p.DirObject != "" {
		object, at = p.DirObject, p.DirAt
	}
	b := make([]byte, max(0, min(pack.SummarySize, p.Length-p.DirOffset)))
	if err := r.get(ctx, object, b, at); err != nil {
		return nil, err
	}
	return pack.OpenSummary(r.keys, expected(p), b)
}
