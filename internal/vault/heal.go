package vault

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/vault/format"
)

// HealRequest asks for damaged packs to be made whole.
type HealRequest struct {
	Session  SessionRef    // of its own, of the kind that collections have: see Ledger
	Ledger   Ledger        // of the catalog that Config.Fence is of
	Damage   []DamagedPack // what is wrong with them is looked for again: their ids are enough
	Progress func(Progress)
}

// HealResult says what became of the damaged packs. Each is in one of its
// lists.
type HealResult struct {
	Whole []ID // healed, or found to be whole
	Gone  []ID // that the catalog doesn't have (any more)
	// Damaged are those that are not whole, and what of them is still lost, in
	// their present generations. No new reference may name them: Begun.Damaged.
	Damaged []DamagedPack
	Blocks  int64 // that were found elsewhere and are back in their packs
	Packs   int   // that have a next generation
	Written int64 // bytes of all objects put
}

// healAtOnce bounds the damaged blocks that are looked for in one pass over the
// vault's directories, and with them the memory: about 100 bytes each.
const healAtOnce = 32 * format.PackContainers * format.ContainerBlocks

// Heal makes damaged packs whole: their damaged blocks are looked for in all
// other packs, by their digests, as where a later backup stored them again. A
// next generation with these and with all that is intact takes a damaged
// one's place; a damaged directory, header or footer is made anew. A block that
// is nowhere is not in the next generation, but its digest is, so that it can be
// healed once a backup has seen it again. Nothing is removed from the store;
// what nothing names any more is called dead, for the next collection.
//
// It can be called again at any time, with a higher token or another session.
// Nothing else may rewrite packs of the vault meanwhile.
//
// Errors: ErrFenced where the session was taken over; ErrOldCatalog; the
// context's.
func (v *Vault) Heal(ctx context.Context, req HealRequest) (HealResult, error) {
	if req.Session.Vault != v.id {
		return HealResult{}, fmt.Errorf("heal: the session is of vault %s", req.Session.Vault)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(context.Canceled)
	h := &healer{v: v, req: req, packs: map[ID]*healPack{}, avoid: map[sourceGroup]bool{}}
	seen, err := v.reader().sight(ctx)
	if err != nil {
		return HealResult{}, err
	}
	survey, err := h.survey(ctx)
	if err != nil {
		return HealResult{}, err
	}
	h.s = newSession(v, req.Session, Begun{Incarnation: survey.Incarnation, Segments: survey.Segments}, fail)
	if err := seen.check(survey.Announced, survey.Incarnation); err != nil {
		return HealResult{}, err
	}
	if err := h.run(ctx); err != nil {
		return HealResult{}, fmt.Errorf("heal vault %s: %w", v.id, err)
	}
	if err := req.Ledger.Forget(ctx, req.Session, nil, true); err != nil {
		return HealResult{}, fmt.Errorf("end session: %w", err)
	}
	h.result.Written = h.s.stored.Load()
	return h.result, nil
}

// healer heals packs.
type healer struct {
	v   *Vault
	req HealRequest
	s   *session // writes, and has the index

	packs  map[ID]*healPack
	others []ID                 // all packs of blocks that are committed
	avoid  map[sourceGroup]bool // groups that turned out to be damaged
	result HealResult
	done   int
}

// healRounds bounds how often other places are looked for, where those that
// were found turn out to be damaged as well.
const healRounds = 4

// survey opens the session and reads where the damaged packs lie, and which
// other packs there are.
func (h *healer) survey(ctx context.Context) (Survey, error) {
	for _, d := range h.req.Damage {
		h.packs[d.Pack] = nil
	}
	survey, err := h.req.Ledger.Survey(ctx, h.req.Session, func(row PackRow) error {
		if row.State == Uncommitted {
			return nil
		}
		if n := len(h.others); row.Kind == DataPack && (n == 0 || h.others[n-1] != row.Pack) {
			h.others = append(h.others, row.Pack)
		}
		if old, ok := h.packs[row.Pack]; ok && (old == nil || row.Generation > old.place.Generation) {
			h.packs[row.Pack] = &healPack{place: row.Placement}
		}
		return nil
	})
	if err != nil {
		return Survey{}, fmt.Errorf("survey vault %s: %w", h.v.id, err)
	}
	return survey, nil
}

func (h *healer) run(ctx context.Context) error {
	h.s.loadSegments(ctx)
	var batch []*healPack
	blocks := 0
	for _, id := range h.order() {
		h.report()
		p := h.packs[id]
		if p == nil {
			h.result.Gone = append(h.result.Gone, id)
			h.done++
			continue
		}
		if err := h.examine(ctx, p); err != nil {
			return err
		}
		batch = append(batch, p)
		if blocks += p.lost(); blocks >= healAtOnce {
			if err := h.heal(ctx, batch, 1); err != nil {
				return err
			}
			batch, blocks = nil, 0
		}
	}
	return h.heal(ctx, batch, 1)
}

// order returns the damaged packs, each once.
func (h *healer) order() []ID {
	ids := make([]ID, 0, len(h.packs))
	for id := range h.packs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareID)
	return ids
}

func (h *healer) report() {
	if h.req.Progress != nil {
		h.req.Progress(Progress{Done: int64(h.done), Size: int64(len(h.packs)), Stored: h.s.stored.Load()})
	}
}

// heal looks for what the packs lost, writes their next generations and
// switches to them.
func (h *healer) heal(ctx context.Context, batch []*healPack, round int) error {
	if len(batch) == 0 {
		return nil
	}
	found, err := h.find(ctx, batch)
	if err != nil {
		return err
	}
	m := newMedic(h, found)
	defer m.close()
	var items []rewriteItem
	for _, p := range batch {
		if p.worthwhile(found) {
			items = append(items, rewriteItem{place: p.place, pages: p.keepPages()})
		}
	}
	places, err := h.s.rewrite(ctx, items, rewriteOptions{hooks: h.s.delta, mend: m, damaged: func(d DamagedPack) {
		h.packs[d.Pack].because(d.What...)
	}})
	if err != nil {
		return err
	}
	if err := h.switchTo(ctx, m, places); err != nil {
		return err
	}
	if batch, err = h.again(ctx, m, batch, round); err != nil {
		return err
	}
	for _, p := range batch {
		if d := p.report(); d != nil {
			h.result.Damaged = append(h.result.Damaged, *d)
		} else {
			h.result.Whole = append(h.result.Whole, p.place.Pack)
		}
		h.done++
	}
	h.report()
	return nil
}

// again heals those packs once more of which blocks seemed to be elsewhere,
// and were damaged there. It returns the others.
func (h *healer) again(ctx context.Context, m *medic, batch []*healPack, round int) ([]*healPack, error) {
	if len(m.bad) == 0 || round == healRounds {
		return batch, nil
	}
	maps.Copy(h.avoid, m.bad)
	var done, again []*healPack
	for _, p := range batch {
		if !m.failed[p.place.Pack] {
			done = append(done, p)
			continue
		}
		*p = healPack{place: p.place}
		if err := h.examine(ctx, p); err != nil {
			return nil, err
		}
		again = append(again, p)
	}
	return done, h.heal(ctx, again, round+1)
}
