package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/backup"
)

// Query asks for a page of resources. Fields are named as the block storage
// API names them; what is deleted never matches.
type Query struct {
	Project string // empty: of all projects
	Filters []Filter
	Sort    []Sort // empty: newest first; equal ones are ordered by id
	Limit   int    // 0 and below: none are returned
	Offset  int
	Marker  string // id of the last resource of the page before
}

// Filter keeps resources whose field has one of the values. An unknown field
// and a value that the field can't have match nothing. The field "metadata"
// has a key.
type Filter struct {
	Field  string
	Key    string
	Values []string
}

// Sort is one key of an order.
type Sort struct {
	Field string
	Desc  bool
}

// nothing is a condition that no row meets.
const nothing = "1 = 0"

// list reads a page.
func (t *table[T]) list(ctx context.Context, tx *Tx, q Query) ([]T, error) {
	order, err := t.order(q.Sort)
	if err != nil || q.Limit <= 0 {
		return nil, err
	}
	var a args
	where := t.where(&a, q)
	if q.Marker != "" {
		after, err := t.after(ctx, tx, &a, q, order)
		if err != nil {
			return nil, err
		}
		where += " AND " + after
	}
	keys := make([]string, len(order))
	for i, o := range order {
		keys[i] = "r." + o.col.name + direction(o.desc)
	}
	query := t.selectSQL() + " WHERE " + where + " ORDER BY " + strings.Join(keys, ", ") + " LIMIT " + a.add(int64(q.Limit))
	if q.Offset > 0 {
		query += " OFFSET " + a.add(int64(q.Offset))
	}
	return t.all(ctx, tx, query, a)
}

// all reads every row of a query.
func (t *table[T]) all(ctx context.Context, tx *Tx, query string, a args) ([]T, error) {
	rows, err := tx.Query(ctx, query, a...)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", t.name, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		r, err := t.scan(rows)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", t.name, err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list %s: %w", t.name, err)
	}
	return all, nil
}

// count counts what a query matches, all pages together.
func (t *table[T]) count(ctx context.Context, tx *Tx, q Query) (int, error) {
	var a args
	var n int64
	where := t.where(&a, q)
	if err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM "+t.name+" r WHERE "+where, a...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count %s: %w", t.name, err)
	}
	return int(n), nil
}

// where returns the condition of a query's project and filters.
func (t *table[T]) where(a *args, q Query) string {
	conds := []string{"r.status <> 'deleted'"}
	if q.Project != "" {
		conds = append(conds, "r.project_id = "+a.add(q.Project))
	}
	for _, f := range q.Filters {
		conds = append(conds, t.condition(a, f))
	}
	return strings.Join(conds, " AND ")
}

func (t *table[T]) condition(a *args, f Filter) string {
	col, ok := t.column(f.Field)
	if !ok {
		return nothing
	}
	var zero T
	switch col.field(&zero).(type) {
	case *map[string]string:
		return metadataCondition(a, "r."+col.name, f)
	case *time.Time:
		return nothing
	case *int64:
		return inCondition(a, "r."+col.name, f.Values, func(s string) (any, error) { return strconv.ParseInt(s, 10, 64) })
	case *bool:
		return inCondition(a, "r."+col.name, f.Values, parseFlag)
	}
	return inCondition(a, "r."+col.name, f.Values, func(s string) (any, error) { return s, nil })
}

func parseFlag(s string) (any, error) {
	on, err := strconv.ParseBool(strings.ToLower(s))
	if on {
		return int64(1), err
	}
	return int64(0), err
}

func inCondition(a *args, col string, values []string, parse func(string) (any, error)) string {
	var known []any
	for _, s := range values {
		if v, err := parse(s); err == nil {
			known = append(known, v)
		}
	}
	if len(known) == 0 {
		return nothing
	}
	return col + " IN (" + addAll(a, known) + ")"
}

// metadataCondition looks for a pair in the JSON that encodeMap wrote. A pair
// follows a brace or a comma, and neither can stand before an unescaped quote
// inside a string, so a match is always a whole pair.
func metadataCondition(a *args, col string, f Filter) string {
	var any []string
	for _, v := range f.Values {
		pair, err := encodeMap(map[string]string{f.Key: v})
		if err != nil {
			continue
		}
		pair = pair[:len(pair)-1]
		for _, p := range []string{pair, "," + pair[1:]} {
			any = append(any, "REPLACE("+col+", "+a.add(p)+", '') <> "+col)
		}
	}
	if len(any) == 0 {
		return nothing
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

// column returns the column that a query's field names.
func (t *table[T]) column(field string) (column[T], bool) {
	if alias, ok := t.aliases[field]; ok {
		field = alias
	}
	i := slices.IndexFunc(t.columns, func(c column[T]) bool { return c.name == field })
	if i < 0 {
		return column[T]{}, false
	}
	return t.columns[i], true
}

// key is one column of an order.
type key[T any] struct {
	col  column[T]
	desc bool
}

// order returns the columns that a query is ordered by; the id comes last, so
// that no two rows are equal.
func (t *table[T]) order(sort []Sort) ([]key[T], error) {
	if len(sort) == 0 {
		sort = []Sort{{Field: "created_at", Desc: true}}
	}
	var keys []key[T]
	for _, s := range sort {
		col, ok := t.column(s.Field)
		if !ok || col.name == "metadata" {
			return nil, backup.Errorf(backup.Invalid, "%s can't be sorted by %q", t.name, s.Field)
		}
		keys = append(keys, key[T]{col, s.Desc})
	}
	if slices.ContainsFunc(keys, func(k key[T]) bool { return k.col.name == "id" }) {
		return keys, nil
	}
	id, _ := t.column("id")
	return append(keys, key[T]{id, keys[len(keys)-1].desc}), nil
}

func direction(desc bool) string {
	if desc {
		return " DESC"
	}
	return ""
}

// after returns the condition of the rows that follow the marker.
func (t *table[T]) after(ctx context.Context, tx *Tx, a *args, q Query, order []key[T]) (string, error) {
	m, err := t.marker(ctx, tx, q)
	if err != nil {
		return "", err
	}
	names, marks := make([]string, len(order)), make([]string, len(order))
	mixed := false
	for i, k := range order {
		names[i], marks[i] = "r."+k.col.name, a.add(Cell{k.col.field(&m)})
		mixed = mixed || k.desc != order[0].desc
	}
	if !mixed { // an index in this order serves a comparison of rows
		return "(" + strings.Join(names, ", ") + ")" + beyond(order[0].desc) + "(" + strings.Join(marks, ", ") + ")", nil
	}
	var alternatives []string
	for i, k := range order {
		cond := names[i] + beyond(k.desc) + marks[i]
		for j := range i {
			cond = names[j] + " = " + marks[j] + " AND " + cond
		}
		alternatives = append(alternatives, cond)
	}
	return "(" + strings.Join(alternatives, " OR ") + ")", nil
}

func beyond(desc bool) string {
	if desc {
		return " < "
	}
	return " > "
}

// marker reads the row that the page before ended with, without locking it.
func (t *table[T]) marker(ctx context.Context, tx *Tx, q Query) (T, error) {
	a := args{q.Marker}
	query := t.selectSQL() + " WHERE r.id = $1 AND r.status <> 'deleted'"
	if q.Project != "" {
		query += " AND r.project_id = " + a.add(q.Project)
	}
	m, err := t.scan(tx.QueryRow(ctx, query, a...))
	if errors.Is(err, sql.ErrNoRows) {
		return m, missing(backup.MarkerNotFound, q.Marker)
	}
	if err != nil {
		return m, fmt.Errorf("read marker %s: %w", q.Marker, err)
	}
	return m, nil
}
