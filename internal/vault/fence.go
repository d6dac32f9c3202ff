package vault

import (
	"context"
	"errors"

	"holdfast/internal/vault/format"
)

// ID is 128 random bits: of a vault, a pack, a session or an incarnation.
type ID = format.ID

// Fence orders the writers, readers and collectors of a vault. Whoever keeps
// the catalog implements it in transactions; each of Begin and Commit locks
// and advances the vault's row (its epoch) before anything else.
type Fence interface {
	// Begin opens the session, or takes it over where an earlier attempt
	// left one: from then on every call with a lower token fails with
	// ErrFenced. It pins the parent.
	Begin(ctx context.Context, s SessionRef) (Begun, error)

	// Checkpoint records what is durable, so that another attempt goes on
	// from there. Packs are those that became durable since the last one.
	Checkpoint(ctx context.Context, s SessionRef, c Checkpoint) error

	// Commit ends the session: its packs enter the writable set and its
	// backup becomes available, in one transaction.
	Commit(ctx context.Context, s SessionRef, c Commit) error

	// Locate returns where packs lie now, in the order asked for; a pack
	// that is not known has an empty Object.
	Locate(ctx context.Context, vault ID, packs []ID) ([]Placement, error)
}

// ErrFenced is returned by a Fence to a session whose token has been passed
// on or that has been abandoned. The session must write nothing more.
var ErrFenced = errors.New("session was taken over or abandoned")

// SessionRef names one attempt at a session.
type SessionRef struct {
	Vault   ID
	Session ID
	Token   int64 // the attempt; higher ones fence off lower ones
}

// Begun is what a session starts from. Its slices are the session's own.
type Begun struct {
	Epoch       int64
	Announced   int64 // see Survey
	Incarnation ID
	Parent      *RecordRef // the pinned parent, nil for none
	Writable    []PackGen  // packs that new references may name; none of Damaged
	Damaged     []ID       // packs that are known to be missing or damaged
	Resume      *Checkpoint
	Segments    []SegmentRef // index segments of the vault, oldest first
	Generations []Placement  // placements of what Resume's session made durable
}

// PackGen is a generation of a pack.
type PackGen struct {
	Pack       ID
	Generation uint32
}

// RecordRef names a record object and the hash of its content.
type RecordRef struct {
	Object string
	Hash   [32]byte
}

// SegmentRef names an index segment object.
type SegmentRef struct {
	Object string
	Size   int64
}

// PackKind tells packs of blocks from packs of pages.
type PackKind uint8

// The kinds of packs.
const (
	DataPack PackKind = 1
	PagePack PackKind = 2
)

// Placement is where a pack's generation lies.
type Placement struct {
	Pack       ID
	Generation uint32
	Kind       PackKind
	Object     string
	Offset     int64 // of the generation's header in the object
	Length     int64
	DirOffset  int64  // of its sealed directory, from Offset
	DirObject  string // where the directory's second copy lies, empty for none
	DirAt      int64  // offset of the copy in DirObject
	Live       int64  // blocks or pages that it holds
}

// Checkpoint is how far a session got: everything of the volume below Offset
// is durable. State is the session's own, opaque to the fence, at most 1 MiB.
type Checkpoint struct {
	SourceState string
	Offset      int64
	State       []byte
	Packs       []Placement
}

// Commit is what a finished session leaves.
type Commit struct {
	Record  RecordRef
	Map     []byte      // where its map begins, at most 64 bytes, opaque: see Root
	Packs   []Placement // those since the last checkpoint
	Segment *SegmentRef // hooks of the session's blocks, nil for none
	Result  Result
}
