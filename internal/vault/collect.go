package vault

import (
	"context"
	"fmt"

	"holdfast/internal/vault/format"
)

// CollectRequest asks for a collection: what no backup needs any more is
// taken out of use and removed.
type CollectRequest struct {
	Session SessionRef // of the collection's own, see Ledger
	Ledger  Ledger     // of the catalog that Config.Fence is of
	// Maintain makes a collection do more than free space: it merges small
	// packs and index segments, compresses anew what was stored fast, and
	// collects packs that have little garbage too.
	Maintain bool
	// Compression is that of what maintain compresses anew: Balanced, as Auto
	// is, of what was stored by S2; Small of all that a backup has stored, as
	// densely as zstd goes, which takes several times as long.
	Compression Compression
	Progress    func(Progress) // may be nil; called from one goroutine at a time. Done and Size are bytes of packs
}

// CollectResult is what a collection did.
type CollectResult struct {
	Backups   int // whose maps were walked
	Condemned int // packs taken out of the writable set
	Rewritten int // packs that have a next generation
	Removed   int // packs of which nothing was left

	Deleted int   // objects that were named in the catalog and are not any more
	Orphans int   // objects that sessions left which came to nothing
	Freed   int64 // bytes of both
	Written int64 // bytes of all objects put

	PagesRead int64 // of maps, each once
	Damaged   []DamagedPack
	// Waiting says that packs are condemned which sessions may still refer to
	// that began before that. When these have ended, call again, with a higher
	// token or another session; this one has not been ended.
	Waiting bool
	// Held says that nothing was done: the catalog was recovered, and nobody
	// has confirmed yet that the old one is dead.
	Held bool
}

// Collect frees what no backup needs. Every step of it can be done again: a
// call that failed anywhere is followed by another one, with a higher token or
// another session.
//
// A damaged pack is left as it is and reported. Where a page of a map is
// damaged, nobody knows what it refers to: no block is removed then, and
// Collect returns the *CorruptError after all that could be done safely.
//
// Errors: *CorruptError; ErrFenced where the session was taken over;
// ErrOldCatalog; the context's.
func (v *Vault) Collect(ctx context.Context, req CollectRequest) (CollectResult, error) {
	if req.Session.Vault != v.id {
		return CollectResult{}, fmt.Errorf("collect: the session is of vault %s", req.Session.Vault)
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(context.Canceled)
	c := &collection{v: v, req: req, w: newWriter(v, req.Session, ID{}, fail), objects: newObjectTable()}
	err := c.run(ctx)
	c.res.Written = c.w.stored.Load()
	if err != nil {
		return c.res, fmt.Errorf("collect vault %s: %w", v.id, err)
	}
	return c.res, nil
}

// collection is one attempt at a collection.
type collection struct {
	v   *Vault
	req CollectRequest
	w   *writer
	res CollectResult

	seen      sighting // before the first survey
	committed int      // packs, as the last survey said
	objects   *objectTable
	words     []uint64    // memory of marks
	sessions  map[ID]bool // as the last survey said
	announced int64       // the newest epoch that the ledger has told of
	put       int64       // the newest epoch that is in the store for sure
	cursor    ID          // the last pack that was looked at for fast compression
	damage    error       // of a page
	size      int64       // of the packs that are rewritten
	done      int64       // of these
}

// run works in rounds, each of which takes as many packs as its memory allows.
func (c *collection) run(ctx context.Context) error {
	var err error
	if c.seen, err = c.w.read.sight(ctx); err != nil {
		return err
	}
	// It also tells how much room the next survey needs.
	v, err := c.survey(ctx, false, nil)
	if err != nil {
		return err
	}
	if err := c.begin(ctx, v); err != nil {
		return err
	}
	if c.res.Held {
		return c.req.Ledger.Forget(ctx, c.req.Session, nil, true)
	}
	for more := true; more; {
		if more, err = c.round(ctx); err != nil {
			return err
		}
	}
	if err := c.finish(ctx); err != nil {
		return err
	}
	if c.damage != nil || c.res.Waiting {
		return c.damage
	}
	return c.req.Ledger.Forget(ctx, c.req.Session, nil, true)
}

// round takes what it chooses out of use, waits for nobody, and removes what
// nobody can refer to any more. It reports whether there is more to do.
func (c *collection) round(ctx context.Context) (bool, error) {
	m := newMarker(c.v.reader(), nil)
	v, err := c.survey(ctx, true, func(p *PackRow) bool {
		m.know(p)
		return false
	})
	if err != nil {
		return false, err
	}
	if err := c.sweep(ctx, v, format.Packs, format.Pages, format.Dirs, format.Placements, format.Index, format.Records); err != nil {
		return false, err
	}
	m.blocks = newBlockMarks(v.dataPacks(), c.words)
	c.words = m.blocks.words
	if err := c.mark(ctx, m, v.Roots); err != nil {
		return false, err
	}
	plan, err := c.choose(ctx, v, m)
	if err != nil {
		return false, err
	}
	if len(plan.condemn) > 0 {
		if c.announced, err = c.req.Ledger.Condemn(ctx, c.req.Session, plan.condemn); err != nil {
			return false, fmt.Errorf("condemn packs: %w", err)
		}
		c.res.Condemned += len(plan.condemn)
	}
	if len(plan.condemn)+len(plan.work) == 0 && !v.condemned() && !v.abandoned() {
		return false, nil
	}
	before := c.res.Rewritten + c.res.Removed
	if err := c.replace(ctx, plan, m, v.Sessions); err != nil {
		return false, err
	}
	return plan.more && c.res.Rewritten+c.res.Removed > before, nil
}

// begin makes sure that the catalog is the newest, and that something may be
// removed by it.
func (c *collection) begin(ctx context.Context, v *inventory) error {
	if err := c.seen.check(v.Announced, v.Incarnation); err != nil {
		return err
	}
	c.w.incarnation = v.Incarnation
	if c.res.Held = v.Hold; v.Hold {
		return nil
	}
	return c.checkRecords(ctx, v)
}

// mark walks maps, and notes what came of it.
func (c *collection) mark(ctx context.Context, m *marker, roots []Root) error {
	before := m.pages.Load()
	err := m.walk(ctx, roots)
	c.res.PagesRead += m.pages.Load() - before
	c.res.Backups = len(roots)
	if m.damage != nil && c.damage == nil {
		c.damage = m.damage
		c.v.cfg.Log.WarnContext(ctx, "a page of a map can't be read: no block is removed", "error", m.damage)
	}
	if err != nil {
		return fmt.Errorf("walk maps: %w", err)
	}
	return nil
}

// finish merges index segments, and removes what has become useless by what
// was replaced.
func (c *collection) finish(ctx context.Context) error {
	v, err := c.survey(ctx, true, nil)
	if err != nil {
		return err
	}
	if err := c.mergeSegments(ctx, v); err != nil {
		return err
	}
	return c.sweep(ctx, v, format.Placements)
}

func (c *collection) progress() {
	if c.req.Progress != nil {
		c.req.Progress(Progress{Done: c.done, Size: c.size, Stored: c.w.stored.Load()})
	}
}
