package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"holdfast/internal/backup"
)

// PostgreSQL's codes (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	pgSerializationFailure = "40001"
	pgDeadlockDetected     = "40P01"
	pgUniqueViolation      = "23505"
	pgBadCharacter         = "22021"
)

// lostRace reports whether a transaction failed for what others did, and may
// succeed when it runs again.
func lostRace(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == pgSerializationFailure || pg.Code == pgDeadlockDetected
	}
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return false
}

// IsUnique reports whether a statement failed because a row with the same key
// exists.
func IsUnique(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == pgUniqueViolation
	}
	code := sqliteCode(err)
	return code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// sqliteCode returns the extended result code in err's chain, 0 for none.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// classify gives an error of the database its kind. What already has one, and
// what a cancelled context caused, stays as it is.
func classify(ctx context.Context, err error) error {
	var known *backup.Error
	switch {
	case err == nil || ctx.Err() != nil || errors.As(err, &known):
		return err
	case lostRace(err):
		return backup.Errorf(backup.Unavailable, "the database is busy: %w", err)
	case outOfReach(err):
		return backup.Errorf(backup.Unavailable, "the database is out of reach: %w", err)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == pgBadCharacter {
		return backup.Errorf(backup.Invalid, "text has a character that can't be stored: %w", err)
	}
	return err
}

func outOfReach(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// Connection exceptions, out of resources, shutting down or starting up.
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P")
	}
	switch sqliteCode(err) & 0xff {
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY:
		return true
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func missing(reason backup.Reason, id string) error {
	return &backup.Error{
		Kind: backup.NotFound, Reason: reason,
		Args:    map[string]string{"id": id},
		Message: string(reason) + ": " + id,
	}
}
