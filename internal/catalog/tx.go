package catalog

import (
	"context"
	"database/sql"
	"time"
)

// Tx is a running transaction, for one goroutine. It ends with the function
// that it was given to. After a statement has failed nothing but returning
// the error is of use.
type Tx struct {
	tx        *sql.Tx
	postgres  bool
	locks     bool // rows that are read by id must be locked
	now       time.Time
	committed []func()
}

// Exec runs a statement with $1, $2 … as placeholders.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return tx.tx.ExecContext(ctx, query, args...)
}

// Query runs a query. No other statement may run until the rows are closed.
func (tx *Tx) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return tx.tx.QueryContext(ctx, query, args...)
}

// QueryRow runs a query for one row.
func (tx *Tx) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return tx.tx.QueryRowContext(ctx, query, args...)
}

// OnCommit has f called once the transaction is committed, in the order of
// the calls.
func (tx *Tx) OnCommit(f func()) { tx.committed = append(tx.committed, f) }

// Postgres reports whether the database is PostgreSQL.
func (tx *Tx) Postgres() bool { return tx.postgres }

// Now returns when the transaction began, to the microsecond, in UTC.
func (tx *Tx) Now() time.Time { return tx.now }

// forUpdate is what locks the rows of a query of table r.
func (tx *Tx) forUpdate() string { return tx.lock("r") }

// lock is what locks the rows of a query of one of its tables.
func (tx *Tx) lock(table string) string {
	if tx.locks {
		return " FOR UPDATE OF " + table
	}
	return ""
}

// changed runs a statement and returns how many rows it changed.
func (tx *Tx) changed(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := tx.Exec(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
