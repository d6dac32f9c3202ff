package vault

import (
	"context"
	"fmt"
	"slices"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/sealing"
)

// switchTo lets the next generations take the place of damaged ones, those
// that are better than these. One that has lost blocks and got none back is not:
// what can't be read now may be read again later.
func (h *healer) switchTo(ctx context.Context, m *medic, places []Placement) error {
	places = slices.DeleteFunc(places, func(p Placement) bool {
		return m.healed[p.Pack] == 0 && (m.lost[p.Pack] != nil || !h.packs[p.Pack].framed())
	})
	if len(places) == 0 {
		return nil
	}
	w := Switch{New: places}
	var err error
	if w.Dead, err = h.dead(ctx, places); err != nil {
		return err
	}
	segment := h.s.delta.Segment()
	h.s.delta = hooks.NewDelta()
	if segment != nil {
		name, err := h.s.name(format.Index)
		if err != nil {
			return err
		}
		object, err := h.s.putWhole(ctx, whole{
			name: name, kind: format.KindIndex, label: sealing.IndexLabel, plain: segment.Append(nil),
		})
		if err != nil {
			return err
		}
		w.Segment = &SegmentRef{Object: name, Size: int64(len(object))}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := h.req.Ledger.Switch(ctx, h.req.Session, w); err != nil {
		return fmt.Errorf("switch generations: %w", err)
	}
	if segment != nil {
		h.v.cfg.Index.hooks.Add(h.v.id, w.Segment.Object, segment)
	}
	for _, p := range places {
		h.healed(m, p)
	}
	return nil
}

// healed notes what a pack has in its next generation.
func (h *healer) healed(m *medic, p Placement) {
	pack := h.packs[p.Pack]
	pack.place = p
	pack.state = &packState{dir: pack.state.dir, pages: pack.state.pages}
	pack.bad = [format.PackContainers]blockSet{}
	if lost := m.lost[p.Pack]; lost != nil {
		pack.bad = *lost
	}
	h.result.Packs++
	h.result.Blocks += m.healed[p.Pack]
	if pack.lost() > 0 && p.Kind == DataPack {
		pack.what = append([]string{fmt.Sprintf("%d blocks of it are in no other pack", pack.lost())}, pack.what...)
		pack.what = pack.what[:min(len(pack.what), maxCauses)]
	}
}

// dead returns the objects that only the generations name which others take
// the place of.
func (h *healer) dead(ctx context.Context, places []Placement) ([]string, error) {
	next := map[ID]uint32{}
	named := map[string]bool{} // whether somebody else names it too
	for _, p := range places {
		next[p.Pack] = p.Generation
		old := &h.packs[p.Pack].place
		for _, name := range []string{old.Object, old.DirObject} {
			if name != "" {
				named[name] = false
			}
		}
	}
	_, err := h.req.Ledger.Survey(ctx, h.req.Session, func(row PackRow) error {
		if generation, ok := next[row.Pack]; ok && row.Generation < generation {
			if row.State == Uncommitted {
				return fmt.Errorf("pack %s is not committed", row.Pack)
			}
			return nil
		}
		for _, name := range []string{row.Object, row.DirObject} {
			if _, ok := named[name]; ok {
				named[name] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("survey vault %s: %w", h.v.id, err)
	}
	var dead []string
	for name, used := range named {
		if !used {
			dead = append(dead, name)
		}
	}
	slices.Sort(dead)
	return dead, nil
}
