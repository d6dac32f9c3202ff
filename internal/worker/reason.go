package worker

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
	"holdfast/internal/volume"
)

// classify gives the errors of files, stores and vaults the kind by which the
// queue decides whether to try again.
func classify(err error) error {
	var known *backup.Error
	var source *vault.SourceError
	var target *vault.TargetError
	var corrupt *vault.CorruptError
	var copied *volume.SourceError
	switch {
	case err == nil, errors.As(err, &known), errors.Is(err, jobs.ErrLost),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, vault.ErrFenced), errors.Is(err, catalog.ErrFenced):
		return fmt.Errorf("%w: %w", jobs.ErrLost, err)
	case errors.As(err, &corrupt), errors.Is(err, keyring.ErrCorrupt):
		return &backup.Error{Kind: backup.Corrupt, Message: err.Error(), Err: err}
	case errors.Is(err, blob.ErrNoSpace), errors.Is(err, volume.ErrNoSpace),
		errors.As(err, &source), errors.As(err, &target), errors.As(err, &copied),
		errors.Is(err, keyring.ErrMissing), errors.Is(err, keyring.ErrWrongKey), errors.Is(err, vault.ErrOldCatalog),
		errors.Is(err, volume.ErrNotFound), errors.Is(err, volume.ErrInvalid), errors.Is(err, volume.ErrExists),
		errors.Is(err, volume.ErrTooSmall), errors.Is(err, vault.ErrTooSmall), errors.Is(err, vault.ErrStaleChangeMap):
		return err
	default:
		return &backup.Error{Kind: backup.Unavailable, Message: err.Error(), Err: err}
	}
}

// reason says to a tenant why a job failed, without what only an operator
// may know; the log has the error itself.
func reason(err error) string {
	var source *vault.SourceError
	var target *vault.TargetError
	var corrupt *vault.CorruptError
	var copied *volume.SourceError
	switch {
	case backup.KindOf(err) == backup.Canceled, errors.Is(err, context.Canceled):
		return "Stopped on request."
	case errors.Is(err, blob.ErrNoSpace):
		return "The backup store is full. Earlier backups are not affected."
	case errors.Is(err, volume.ErrNoSpace):
		return "The disk that holds the volumes is full."
	case errors.Is(err, keyring.ErrMissing):
		return "The key of this project's vault is missing from the store."
	case errors.Is(err, keyring.ErrCorrupt):
		return "The key of this project's vault is damaged."
	case errors.Is(err, keyring.ErrWrongKey):
		return "The master key does not fit this project's vault."
	case errors.Is(err, vault.ErrOldCatalog):
		return "The service's catalog is not the newest of this project's vault: the operator has to recover it."
	case errors.As(err, &source):
		return "The volume could not be read: " + rootCause(source.Err) + "."
	case errors.As(err, &copied):
		return "The volume could not be read: " + rootCause(copied.Err) + "."
	case errors.As(err, &target):
		return "The target volume could not be written: " + rootCause(target.Err) + "."
	case errors.As(err, &corrupt):
		return "Stored data is damaged: object " + corrupt.Object + "."
	case errors.Is(err, vault.ErrStaleChangeMap):
		return "The change map does not continue the backup that it was compared with."
	case errors.Is(err, volume.ErrNotFound):
		return "The volume's data was not found on this host."
	case errors.Is(err, volume.ErrInvalid):
		return "The volume's file on this host can't be used. Ask the operator, with this backup's id."
	case backup.KindOf(err) == backup.Unavailable:
		return "The backup store or the database could not be reached. Ask the operator, with this backup's id."
	default:
		return "The service failed. Ask the operator, with this backup's id."
	}
}

// rootCause returns the innermost error's text: "input/output error", not the
// paths around it.
func rootCause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
