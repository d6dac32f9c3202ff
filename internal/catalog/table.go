package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/backup"
)

// column is a column of a resource's table and the field that it holds.
type column[T any] struct {
	name  string
	field func(*T) any // a pointer that Cell takes
	fixed bool         // given at the start; update leaves it alone
}

// table is what resources of one type have in common.
type table[T any] struct {
	name     string
	columns  []column[T]
	computed string            // an expression over row r, or empty
	result   func(*T) any      // the field that computed fills
	aliases  map[string]string // other names of columns in queries
	missing  backup.Reason
	move     func(from, to backup.Status) bool
}

// args collects a statement's arguments.
type args []any

// add returns the placeholder of v.
func (a *args) add(v any) string {
	*a = append(*a, v)
	return "$" + strconv.Itoa(len(*a))
}

// addAll returns the placeholders of many values, separated by commas.
func addAll[V any](a *args, values []V) string {
	marks := make([]string, len(values))
	for i, v := range values {
		marks[i] = a.add(v)
	}
	return strings.Join(marks, ", ")
}

func (t *table[T]) selectSQL() string {
	names := make([]string, 0, len(t.columns)+1)
	for _, c := range t.columns {
		names = append(names, "r."+c.name)
	}
	if t.computed != "" {
		names = append(names, t.computed)
	}
	return "SELECT " + strings.Join(names, ", ") + " FROM " + t.name + " r"
}

func (t *table[T]) scan(row interface{ Scan(...any) error }) (T, error) {
	var r T
	dest := make([]any, 0, len(t.columns)+1)
	for _, c := range t.columns {
		dest = append(dest, Cell{c.field(&r)})
	}
	if t.computed != "" {
		dest = append(dest, Cell{t.result(&r)})
	}
	err := row.Scan(dest...)
	return r, err
}

// get reads one row, deleted ones only where that is asked for, and locks it
// in a transaction that may write.
func (t *table[T]) get(ctx context.Context, tx *Tx, id string, deleted bool) (T, error) {
	query := t.selectSQL() + " WHERE r.id = $1"
	if !deleted {
		query += " AND r.status <> 'deleted'"
	}
	r, err := t.scan(tx.QueryRow(ctx, query+tx.forUpdate(), id))
	if errors.Is(err, sql.ErrNoRows) {
		return r, missing(t.missing, id)
	}
	if err != nil {
		return r, fmt.Errorf("read %s %s: %w", t.name, id, err)
	}
	return r, nil
}

func (t *table[T]) insert(ctx context.Context, tx *Tx, r *T) error {
	var a args
	names, marks := make([]string, len(t.columns)), make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i], marks[i] = c.name, a.add(Cell{c.field(r)})
	}
	_, err := tx.Exec(ctx, "INSERT INTO "+t.name+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", a...)
	if err != nil {
		return fmt.Errorf("insert into %s: %w", t.name, err)
	}
	return nil
}

// update writes all columns that are not fixed.
func (t *table[T]) update(ctx context.Context, tx *Tx, id string, r *T) error {
	var a args
	var sets []string
	for _, c := range t.columns {
		if !c.fixed {
			sets = append(sets, c.name+" = "+a.add(Cell{c.field(r)}))
		}
	}
	query := "UPDATE " + t.name + " SET " + strings.Join(sets, ", ") + " WHERE id = " + a.add(id)
	return t.one(ctx, tx, id, query, a)
}

// one runs a statement that must change the row with an id.
func (t *table[T]) one(ctx context.Context, tx *Tx, id, query string, a args) error {
	n, err := tx.changed(ctx, query, a...)
	if err != nil {
		return fmt.Errorf("write %s %s: %w", t.name, id, err)
	}
	if n == 0 {
		return missing(t.missing, id)
	}
	return nil
}

// setStatus gives a row a status, whatever it had.
func (t *table[T]) setStatus(ctx context.Context, tx *Tx, id string, to backup.Status) error {
	query := "UPDATE " + t.name + " SET status = $1, updated_at = $2 WHERE id = $3"
	return t.one(ctx, tx, id, query, args{string(to), tx.now.UnixMicro(), id})
}

// moveStatus gives a row a status if it has one of those in from, and reports
// whether it had.
func (t *table[T]) moveStatus(ctx context.Context, tx *Tx, id string, from []backup.Status, to backup.Status) (bool, error) {
	if len(from) == 0 {
		return false, backup.Errorf(backup.Internal, "move %s %s to %q from no status", t.name, id, to)
	}
	a := args{string(to), tx.now.UnixMicro(), id}
	marks := make([]string, len(from))
	for i, s := range from {
		if !t.move(s, to) {
			return false, backup.Errorf(backup.Internal, "%s %s may not go from %q to %q", t.name, id, s, to)
		}
		marks[i] = a.add(string(s))
	}
	n, err := tx.changed(ctx, "UPDATE "+t.name+" SET status = $1, updated_at = $2 WHERE id = $3 AND status IN ("+
		strings.Join(marks, ", ")+")", a...)
	if err != nil {
		return false, fmt.Errorf("write %s %s: %w", t.name, id, err)
	}
	return n == 1, nil
}
