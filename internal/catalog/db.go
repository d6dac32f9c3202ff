package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/clock"
)

// Config says where the database is.
type Config struct {
	URL   string // of a PostgreSQL database: postgres://user@host/name
	Path  string // where URL is empty: an SQLite file, made if missing in a folder that exists
	Clock clock.Clock
	Log   *slog.Logger
}

// DB is an open catalog. Its methods may be called concurrently.
type DB struct {
	write    *sql.DB
	read     *sql.DB // the same as write on PostgreSQL
	postgres bool
	clock    clock.Clock
	path     string // of the SQLite file; empty on PostgreSQL
}

// Open opens the database and brings its tables up to date; several processes
// may do so at once. An error of kind Unavailable says that the database
// can't be reached now.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	if cfg.URL == "" && cfg.Path == "" {
		return nil, errors.New("open the catalog: neither a URL nor a path is given")
	}
	open := openSQLite
	if cfg.URL != "" {
		open = openPostgres
	}
	db, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the catalog: %w", classify(ctx, err))
	}
	if !db.postgres {
		db.path = cfg.Path
	}
	return db, nil
}

// Close closes all connections.
func (db *DB) Close() error {
	err := db.write.Close()
	if db.read != db.write {
		err = errors.Join(db.read.Close(), err)
	}
	return err
}

// Ping reports whether the database answers. A SQLite file that was moved away
// still would, for as long as it is open: it counts as gone.
func (db *DB) Ping(ctx context.Context) error {
	var one int64
	err := db.read.QueryRowContext(ctx, "SELECT 1").Scan(&one)
	if err != nil {
		return fmt.Errorf("reach the catalog: %w", classify(ctx, err))
	}
	if db.path != "" {
		if _, err := os.Stat(db.path); err != nil {
			return backup.Errorf(backup.Unavailable, "reach the catalog: %w", err)
		}
	}
	return nil
}

// maxTries bounds how often a transaction runs that loses to others. A try on
// SQLite has waited for busyTimeout by then.
const maxTries = 8

// Update runs fn in a transaction and commits it. Where the transaction loses
// to another one, all of fn runs again, so it must have no effect but on tx
// and on variables that it sets anew. An error of fn rolls back.
//
// After an error of kind Unavailable the transaction may have been committed
// if the connection broke at that moment.
func (db *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	opts := &sql.TxOptions{}
	if db.postgres {
		opts.Isolation = sql.LevelReadCommitted
	}
	for try := 1; ; try++ {
		err := db.once(ctx, db.write, opts, fn)
		if err == nil || !lostRace(err) || try == maxTries {
			return classify(ctx, err)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

// View runs fn in a read-only transaction: all of it sees one state of the
// database.
func (db *DB) View(ctx context.Context, fn func(*Tx) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if db.postgres {
		opts.Isolation = sql.LevelRepeatableRead
	}
	return classify(ctx, db.once(ctx, db.read, opts, fn))
}

func (db *DB) once(ctx context.Context, pool *sql.DB, opts *sql.TxOptions, fn func(*Tx) error) error {
	stx, err := pool.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	defer stx.Rollback() // of no effect after the commit
	tx := &Tx{
		tx: stx, postgres: db.postgres, locks: db.postgres && !opts.ReadOnly,
		now: db.clock.Now().UTC().Truncate(time.Microsecond),
	}
	if err := fn(tx); err != nil {
		return err
	}
	if err := stx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, f := range tx.committed {
		f()
	}
	return nil
}

// pause waits a random time that grows with the tries.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(time.Duration(1+rand.Int64N(5<<try)) * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
