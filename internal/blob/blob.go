// Package blob is the object store that vaults stand on: whole immutable
// objects under names, and nothing that a plain S3 bucket or a directory
// can't give.
package blob

import (
	"context"
	"errors"
	"io"
)

// ErrNotFound is wrapped by Get and Stat where no object has the name.
var ErrNotFound = errors.New("object not found")

// ErrNoSpace is wrapped by Put where the store is full.
var ErrNoSpace = errors.New("store is full")

// ErrInvalid is wrapped where a call breaks the contract of Store: a name or a
// size that is not taken, or other bytes under a name that is in use. Trying
// again does not help.
var ErrInvalid = errors.New("not allowed by the object store")

// ErrRefused is wrapped where the store answers, and not with what was asked
// for: it does not know the credentials or the bucket, or does not allow it.
// Trying again helps only after somebody has changed something.
var ErrRefused = errors.New("refused by the object store")

// MaxSize is the largest object in bytes.
const MaxSize = 64 << 20

// Store keeps objects of at most MaxSize bytes. Names are slash-separated
// segments of [a-zA-Z0-9._-], none of them "." or "..", at most 255 bytes each
// and 512 in all; no name is another one followed by a slash and more. All
// methods may be called concurrently. An error that wraps neither ErrNotFound, ErrNoSpace,
// ErrInvalid, ErrRefused nor the context's says nothing about what happened: the
// caller may try again with the same bytes.
type Store interface {
	// Put stores body whole and durably before it returns nil. After an
	// error the object is there whole or not at all. Callers never put
	// different bytes under one name. The body's own position is neither
	// used nor moved.
	Put(ctx context.Context, name string, body *io.SectionReader) error

	// Get reads len(p) bytes from off, or from -off bytes before the end
	// where off is negative. It returns how many it read; fewer than len(p)
	// only with an error, which wraps io.ErrUnexpectedEOF where the object
	// is too short. Where it is shorter than -off bytes, nothing is read.
	Get(ctx context.Context, name string, p []byte, off int64) (int, error)

	// Stat returns the object's size in bytes.
	Stat(ctx context.Context, name string) (int64, error)

	// Delete removes the object. Removing what is not there is no error.
	Delete(ctx context.Context, name string) error

	// List calls fn with each object whose name begins with prefix, in no
	// order; a listing may miss objects put a moment ago, and show removed
	// ones. An error of fn ends the listing and is returned. fn may call
	// the store.
	List(ctx context.Context, prefix string, fn func(Info) error) error
}

// Info is an entry of a listing.
type Info struct {
	Name string
	Size int64
}
