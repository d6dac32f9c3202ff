package vault

import (
	"errors"
	"fmt"
)

// ErrCorrupt is what every *CorruptError is.
var ErrCorrupt = errors.New("stored data is damaged")

// CorruptError reports that an object of the store is missing or is not what
// was written.
type CorruptError struct {
	Object string // its name; of a pack that lies nowhere, "pack" and its id
	What   string // the part of it
	Err    error  // the cause, may be nil
}

// Error names the object.
func (e *CorruptError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("object %s is damaged: %s", e.Object, e.What)
	}
	return fmt.Sprintf("object %s is damaged: %s: %v", e.Object, e.What, e.Err)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// SourceError wraps an error of a backup's Source.
type SourceError struct{ Err error }

// Error returns the source's error.
func (e *SourceError) Error() string { return "read source: " + e.Err.Error() }

// Unwrap returns the source's error.
func (e *SourceError) Unwrap() error { return e.Err }

// TargetError wraps an error of a restore's Target.
type TargetError struct{ Err error }

// Error returns the target's error.
func (e *TargetError) Error() string { return "write target: " + e.Err.Error() }

// Unwrap returns the target's error.
func (e *TargetError) Unwrap() error { return e.Err }

// ErrStaleChangeMap is wrapped where a change map doesn't start at the
// parent's source state, or there is no parent.
var ErrStaleChangeMap = errors.New("change map doesn't continue the parent")

// ErrTooSmall is wrapped where a restore's target can't hold the backup.
var ErrTooSmall = errors.New("target is too small")

// missing returns the damage that a store's ErrNotFound means, where the object
// is supposed to exist.
func missing(object string, err error) error {
	return &CorruptError{Object: object, What: "it is missing", Err: err}
}
