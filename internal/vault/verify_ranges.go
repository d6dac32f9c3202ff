package vault

import (
	"context"

	"holdfast/internal/vault/format"
)

// ranges finds out which ranges of which backups the damage affects. A part of
// a map below which nothing is damaged is read once.
func (v *verifier) ranges(ctx context.Context, backups []verified) error {
	w := &rangeWalker{mapWalker: newMapWalker(v), clean: map[ID]*pageSet{}}
	for i, b := range backups {
		v.progress(VerifyRanges, i, len(backups))
		w.backup = &DamagedBackup{Backup: b.backup, Record: b.ref.Object, Size: b.size}
		if _, err := w.walk(ctx, mapTask{b.root, b.height, 0, b.size}); err != nil {
			return err
		}
		w.flush()
		if w.backup.Bytes > 0 {
			v.report.DamagedBackups = append(v.report.DamagedBackups, *w.backup)
		}
	}
	v.progress(VerifyRanges, len(backups), len(backups))
	return nil
}

// rangeWalker walks maps once the damage is known, on one goroutine.
type rangeWalker struct {
	*mapWalker
	clean  map[ID]*pageSet // pages below which nothing is damaged
	backup *DamagedBackup
	last   Extent // not in the report yet
}

// add adds a range; they come in order.
func (w *rangeWalker) add(off, end int64, what string) {
	end = min(end, w.backup.Size)
	if off >= end {
		return
	}
	if w.backup.What == "" {
		w.backup.What = what
	}
	w.backup.Bytes += end - off
	if w.last.Length > 0 && w.last.end() == off {
		w.last.Length += end - off
		return
	}
	w.flush()
	w.last = Extent{Offset: off, Length: end - off}
}

func (w *rangeWalker) flush() {
	switch {
	case w.last.Length == 0:
	case len(w.backup.Ranges) < maxRanges:
		w.backup.Ranges = append(w.backup.Ranges, w.last)
	default:
		w.backup.More++
	}
	w.last = Extent{}
}

// walk adds the damaged ranges of a page and what is below it, and reports
// whether there are none.
func (w *rangeWalker) walk(ctx context.Context, t mapTask) (bool, error) {
	if t.ref.IsNull() {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	key := pageKey{t.ref.Pack, t.ref.Page, t.print()}
	if what := w.v.bad[key]; what != "" {
		w.damaged(&t, what)
		return false, nil
	}
	clean := w.clean[t.ref.Pack]
	if clean == nil {
		clean = &pageSet{}
		w.clean[t.ref.Pack] = clean
	}
	if clean.has(t.ref.Page) {
		return true, nil
	}
	ok, err := w.look(ctx, &t)
	if err != nil {
		return false, err
	}
	if what := w.v.bad[key]; what != "" { // since now
		w.damaged(&t, what)
		return false, nil
	}
	if ok {
		clean.add(t.ref.Page)
	}
	return ok, nil
}

// damaged adds the range that a page maps.
func (w *rangeWalker) damaged(t *mapTask, what string) {
	size := int64(format.LeafSize) << (8 * t.level)
	w.add(int64(t.index)*size, (int64(t.index)+1)*size, what)
}

func (w *rangeWalker) look(ctx context.Context, t *mapTask) (bool, error) {
	if t.level == 0 {
		return w.leafRanges(ctx, t)
	}
	ok := true
	err := w.children(ctx, t, func(t mapTask) error {
		fine, err := w.walk(ctx, t)
		ok = ok && fine
		return err
	})
	return ok, err
}

// leafRanges adds the blocks of a leaf that are damaged.
func (w *rangeWalker) leafRanges(ctx context.Context, t *mapTask) (bool, error) {
	b, err := w.page(ctx, t)
	if b == nil || err != nil {
		return false, err
	}
	if err := w.leaf.Parse(b, t.index); err != nil {
		w.bad(t, w.pages.Bad(t.ref, err))
		return false, nil
	}
	ok := true
	base := int64(t.index) * format.LeafSize
	for _, e := range w.leaf.Extents {
		d := w.v.damage[w.leaf.Packs[e.Pack]]
		if d == nil || d.spare {
			continue
		}
		for i := range int(e.Count) {
			if d.bad(e.Container, int(e.First)+i) {
				off := base + int64(int(e.Block)+i)*format.BlockSize
				w.add(off, off+format.BlockSize, d.what[0])
				ok = false
			}
		}
	}
	return ok, nil
}
