package vault

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/sealing"
)

// What one Switch takes.
const (
	switchPacks = 512
	switchBytes = 1 << 30
)

// replace gives condemned packs that nobody can refer to anew, and those that
// were chosen, their next generation, or drops them.
//
// A condemned pack is ready once every session has ended that began before it
// was condemned: whoever began later refers to it by what a backup inherits
// alone. So what of it lives according to the survey that tells of that is all
// that will ever live. Pages are inherited only, and need no waiting: one that
// no root reaches, none ever will.
func (c *collection) replace(ctx context.Context, plan chosen, m *marker, sessions map[ID]bool) error {
	exact := m.blocks.exact()
	if !exact {
		m = newMarker(c.v.reader(), nil)
	}
	v, err := c.survey(ctx, false, func(p *PackRow) bool {
		m.know(p)
		switch {
		case p.State == Uncommitted:
			return sessions[p.Session] // that has ended, and so nobody commits it
		case p.State == Condemned:
			return p.Kind == DataPack
		}
		return plan.work[PackGen{Pack: p.Pack, Generation: p.Generation}]
	})
	if err != nil {
		return err
	}
	v.kept = slices.DeleteFunc(v.kept, func(p PackRow) bool {
		waiting := p.State == Condemned && !ready(&p, v.Oldest)
		c.res.Waiting = c.res.Waiting || waiting
		return waiting
	})
	if !exact {
		v.kept = firstCondemned(v.kept, maxExact)
		m.blocks = newBlockMarks(condemnedIDs(v.kept), c.words)
	}
	if err := c.mark(ctx, m, v.Roots); err != nil {
		return err
	}
	return c.replaceAll(ctx, m, v.kept)
}

// ready reports whether nobody can refer to more of a condemned pack than
// backups do.
func ready(p *PackRow, oldest int64) bool {
	if p.Epoch <= 0 {
		return oldest == math.MaxInt64
	}
	return p.Epoch < oldest
}

// firstCondemned returns the rows less those of condemned packs after the first
// limit ones: no more can be marked exactly at once, and the next collection
// goes on. A recovery may have condemned any number.
func firstCondemned(rows []PackRow, limit int) []PackRow {
	n := 0
	return slices.DeleteFunc(rows, func(p PackRow) bool {
		if p.State == Condemned {
			n++
		}
		return p.State == Condemned && n > limit
	})
}

// condemnedIDs returns the ids of condemned packs, which come in their order.
func condemnedIDs(rows []PackRow) []ID {
	var ids []ID
	for i := range rows {
		if rows[i].State == Condemned && (len(ids) == 0 || ids[len(ids)-1] != rows[i].Pack) {
			ids = append(ids, rows[i].Pack)
		}
	}
	return ids
}

// replaceAll replaces packs, those that go first, others by where they lie.
func (c *collection) replaceAll(ctx context.Context, m *marker, rows []PackRow) error {
	var gone, rest []*PackRow
	for i := range rows {
		switch p := &rows[i]; m.verdict(p) {
		case goes:
			gone = append(gone, p)
		case stays:
			rest = append(rest, p)
			c.size += p.Length
		}
	}
	for part := range slices.Chunk(gone, switchPacks) {
		if err := c.switchPacks(ctx, m, part, nil); err != nil {
			return err
		}
	}
	slices.SortFunc(rest, func(a, b *PackRow) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Offset, b.Offset))
	})
	for len(rest) > 0 {
		n, size := 0, int64(0)
		for n < len(rest) && n < switchPacks && (n == 0 || size+rest[n].Length <= switchBytes) {
			size += rest[n].Length
			n++
		}
		if err := c.switchPacks(ctx, m, nil, rest[:n]); err != nil {
			return err
		}
		c.done += size
		c.progress()
		rest = rest[n:]
	}
	return nil
}

// verdict says what becomes of a pack that is to be replaced.
type verdict int

const (
	leave verdict = iota // it isn't known what of it lives
	goes
	stays // what of it lives, or all of it where that isn't known
)

func (m *marker) verdict(p *PackRow) verdict {
	switch {
	case p.State == Uncommitted:
		return goes
	case p.State == Condemned:
		i := m.blocks.find(p.Pack)
		if m.damage != nil || i < 0 || !m.blocks.exact() {
			return leave
		}
		if m.blocks.count(i) == 0 {
			return goes
		}
	case p.Kind == PagePack && !m.blind && m.packs[p.Pack].live.count() == 0:
		return goes
	}
	return stays
}

// item asks for the next generation of a pack that stays.
func (m *marker) item(p *PackRow) rewriteItem {
	item := rewriteItem{place: p.Placement}
	if p.State == Condemned {
		item.live = m.blocks.blocks(m.blocks.find(p.Pack))
	}
	if p.Kind == PagePack && !m.blind {
		item.pages = &m.packs[p.Pack].live
	}
	return item
}

// kept returns how many blocks or pages the next generation of an item has.
func (i *rewriteItem) kept() int64 {
	switch {
	case i.pages != nil:
		return int64(i.pages.count())
	case i.live != nil:
		n := 0
		for c := range i.live {
			n += i.live[c].count()
		}
		return int64(n)
	}
	return i.place.Live
}

// switchPacks makes the next generations of packs durable, has the ledger
// replace them and drop others, and deletes the objects that nothing names any
// more.
func (c *collection) switchPacks(ctx context.Context, m *marker, gone, rest []*PackRow) error {
	var s Switch
	dead := func(p *Placement) {
		for _, name := range []string{p.Object, p.DirObject} {
			if name != "" && c.objects.drop(name) {
				s.Dead = append(s.Dead, name)
			}
		}
	}
	for _, p := range gone {
		s.Gone = append(s.Gone, PackGen{Pack: p.Pack, Generation: p.Generation})
		dead(&p.Placement)
	}
	if len(rest) > 0 {
		fresh, err := c.rewrite(ctx, m, rest, &s)
		if err != nil {
			return err
		}
		for _, p := range fresh {
			dead(p)
		}
	}
	if len(s.Gone)+len(s.New) == 0 {
		return nil
	}
	if err := c.doSwitch(ctx, s); err != nil {
		return err
	}
	c.res.Removed += len(s.Gone)
	c.res.Rewritten += len(s.New)
	return c.bury(ctx, s.Dead)
}

// doSwitch is the ledger's, after which its epoch is to be announced.
func (c *collection) doSwitch(ctx context.Context, s Switch) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	epoch, err := c.req.Ledger.Switch(ctx, c.req.Session, s)
	if err != nil {
		return fmt.Errorf("switch packs: %w", err)
	}
	c.announced = max(c.announced, epoch)
	return nil
}

// rewrite makes the next generations of packs, and puts them and their hooks'
// segment into a switch. It returns the generations that these replace: a pack
// of which something that lives is damaged is left out, and reported.
func (c *collection) rewrite(ctx context.Context, m *marker, rows []*PackRow, s *Switch) ([]*Placement, error) {
	items := make([]rewriteItem, len(rows))
	index := make(map[ID]int, len(rows))
	for i, p := range rows {
		items[i] = m.item(p)
		index[p.Pack] = i
	}
	opt := rewriteOptions{
		compression: c.req.Compression, recompress: c.req.Maintain, hooks: hooks.NewDelta(),
		damaged: func(d DamagedPack) {
			c.res.Damaged = append(c.res.Damaged, d)
			c.v.cfg.Log.WarnContext(ctx, "pack is damaged and is left as it is", "pack", d.Pack.String(), "what", d.What)
		},
	}
	switch {
	case !c.req.Maintain:
		opt.compression = Auto // what loses blocks alone is compressed anew, and quickly
	case opt.compression == Auto || opt.compression == "":
		opt.compression = Balanced
	}
	places, err := c.w.rewrite(ctx, items, opt)
	if err != nil {
		return nil, fmt.Errorf("rewrite packs: %w", err)
	}
	var replaced []*Placement
	for _, p := range places {
		i, ok := index[p.Pack]
		if !ok {
			return nil, fmt.Errorf("rewrite packs: pack %s was not asked for", p.Pack)
		}
		delete(index, p.Pack)
		item := &items[i]
		if p.Generation != item.place.Generation+1 || p.Kind != item.place.Kind || p.Live != item.kept() {
			opt.damaged(DamagedPack{
				Pack: p.Pack, Generation: item.place.Generation, Kind: item.place.Kind, Object: item.place.Object,
				What: []string{fmt.Sprintf("it has %d of %d blocks or pages that are needed", p.Live, item.kept())},
			})
			continue
		}
		s.New = append(s.New, p)
		replaced = append(replaced, &item.place)
	}
	s.Segment, err = c.putSegment(ctx, opt.hooks.Segment())
	return replaced, err
}

// putSegment stores an index segment; nil for none.
func (c *collection) putSegment(ctx context.Context, segment *hooks.Segment) (*SegmentRef, error) {
	if segment == nil {
		return nil, nil
	}
	name, err := c.w.name(format.Index)
	if err != nil {
		return nil, err
	}
	object, err := c.w.putWhole(ctx, whole{
		name: name, kind: format.KindIndex, label: sealing.IndexLabel, plain: segment.Append(nil),
	})
	if err != nil {
		return nil, err
	}
	return &SegmentRef{Object: name, Size: int64(len(object))}, nil
}
