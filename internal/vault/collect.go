package vault

import (
	"context"
	"fmt"
)

// CollectRequest asks for a collection: what no backup needs any more is
// taken out of use and removed.
type CollectRequest struct {
	Session SessionRef // of the collection's own, see Ledger
	Ledger  Ledger     // of the catalog that Config.Fence is of
	// Maintain makes a collection do more than free space: it merges small
	// packs and index segments, compresses anew what was stored fast, and
	// collects packs that have little garbage too.
	Maintain    bool
	Compression Compression    // of what maintain compresses anew; Auto is Balanced
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
	survey, err := req.Ledger.Survey(ctx, req.Session, func(PackRow) error { return nil })
	if err != nil {
		return CollectResult{}, fmt.Errorf("survey vault %s: %w", v.id, err)
	}
	if err := v.reader().guard(ctx, survey.Announced, survey.Incarnation); err != nil {
		return CollectResult{}, err
	}
	return CollectResult{Backups: len(survey.Roots), Held: survey.Hold}, nil
}
