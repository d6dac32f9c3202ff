package vault

import "context"

// Ledger is what a collection needs of the catalog: which packs there are,
// what lives, and the transactions that take packs out of use. Whoever keeps
// the catalog implements it beside Fence, by the same rules: Condemn and Switch
// lock and advance the vault's row (its epoch) before anything else.
//
// A collection has a session of its own, which Survey opens or takes over: its
// objects are known by it, and calls with a lower token fail with ErrFenced. It
// refers to nothing of others', so no collection waits for it.
type Ledger interface {
	// Survey returns the vault as one transaction sees it, and calls pack with
	// each generation that is there, in the order of pack and generation. pack
	// must not call the ledger.
	Survey(ctx context.Context, s SessionRef, pack func(PackRow) error) (Survey, error)

	// Condemn takes generations out of the writable set, for good, and
	// announces the new epoch, which it returns. One that is condemned already
	// keeps its epoch. Of none at all it announces an epoch just the same.
	Condemn(ctx context.Context, s SessionRef, packs []PackGen) (epoch int64, err error)

	// Switch replaces generations by what a collection has made durable, in
	// one transaction, and announces the new epoch, which it returns.
	Switch(ctx context.Context, s SessionRef, w Switch) (epoch int64, err error)

	// Forget drops objects that Switch called dead and that have been deleted
	// from the store. With done it ends the collection's session too.
	Forget(ctx context.Context, s SessionRef, objects []string, done bool) error
}

// Survey is a vault as one transaction of the catalog saw it.
type Survey struct {
	Epoch       int64
	Announced   int64 // the newest epoch that a Condemn or Switch returned, 0 for none
	Incarnation ID
	// Oldest is the epoch of the oldest open session of a backup;
	// math.MaxInt64 where none is open.
	Oldest int64
	// Roots are all backups that are committed, the deleted ones included that
	// are still pinned, or whose record may still be there.
	Roots    []Root
	Segments []SegmentRef // index segments, oldest first
	// Sessions tells of every session that the catalog knows, of backups and
	// of collections, whether it has ended for good. One that is known has to
	// stay so: what a session that isn't known has left is never removed.
	Sessions map[ID]bool
	Dead     []string // objects that Switch called dead and Forget hasn't dropped
	Hold     bool     // nothing may be deleted: the catalog was recovered, and nobody has confirmed yet that the old one is dead
}

// Root is where a committed backup's map begins.
type Root struct {
	Record RecordRef
	Map    []byte // Commit.Map; empty: the record says it
}

// PackState says who may refer to a generation of a pack.
type PackState uint8

// The states of generations.
const (
	Uncommitted PackState = 1 // its own session alone
	Writable    PackState = 2 // new references of everybody; every page pack that is committed
	Condemned   PackState = 3 // no new reference
)

// PackRow is a generation of a pack as the catalog has it.
type PackRow struct {
	Placement
	State   PackState
	Epoch   int64 // at which it was condemned; 0: it was not
	Session ID    // that wrote it
}

// Switch is what one transaction of a collection changes.
type Switch struct {
	// New generations take the place of older ones of the same packs, whose
	// rows go. Those of data packs are writable. Where another session has
	// recorded a generation that is as high, the transaction fails.
	New []Placement
	// Gone are generations of which nothing lives; their rows go. A data pack
	// that goes, or has less live blocks than before, must be condemned, and no
	// session of a backup may be open that began before that: else the
	// transaction fails. Nothing of an open session can be replaced; what one
	// left that has ended without a commit can go.
	Gone []PackGen
	// Segment has the hooks of the new generations, nil for none. With Merged
	// it takes the place of these segments, at the place of the oldest.
	Segment *SegmentRef
	Merged  []string
	// Dead are the objects that no row names once the transaction is
	// committed. One that a row of a pack still names fails the transaction.
	Dead []string
}
