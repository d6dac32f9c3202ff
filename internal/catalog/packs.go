package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/backup"
)

// Pack is where a generation of a pack lies; the fields mean what those of
// vault.Placement do.
type Pack struct {
	ID         ID
	Generation uint32
	Kind       uint8 // as vault.PackKind
	Object     string
	Offset     int64
	Length     int64
	DirOffset  int64
	DirObject  string
	DirAt      int64
	Live       int64
}

// PackState says who may refer to a generation of a pack.
type PackState string

// The states: its own session alone, everybody, and nobody anew.
const (
	Uncommitted PackState = "uncommitted"
	Writable    PackState = "writable"
	Condemned   PackState = "condemned"
)

// PackGen names a generation of a pack.
type PackGen struct {
	ID         ID
	Generation uint32
}

// Segment is an index segment object.
type Segment struct {
	Object string
	Size   int64
}

// chunk is how many rows or ids one statement takes: well below the limits
// on placeholders of both databases.
const chunk = 500

const packColumns = "pack_id, generation, kind, object, pack_at, pack_len, dir_at, copy_in, copy_at, live"

func (p *Pack) cells() []any {
	return []any{
		Cell{&p.ID},
		Cell{&p.Generation},
		Cell{&p.Kind},
		Cell{&p.Object},
		Cell{&p.Offset},
		Cell{&p.Length},
		Cell{&p.DirOffset},
		Cell{&p.DirObject},
		Cell{&p.DirAt},
		Cell{&p.Live},
	}
}

// insertPacks records packs of a session in a state. Recording one again is no
// error and leaves its state; a generation that another session or object has
// is one.
func (tx *Tx) insertPacks(ctx context.Context, ref SessionRef, state PackState, packs []Pack) error {
	for part := range slices.Chunk(packs, chunk) {
		var a args
		rows := make([]string, len(part))
		for i := range part {
			rows[i] = "(" + a.add(Cell{&ref.Vault}) + ", " + a.add(Cell{&ref.ID}) + ", '" + string(state) + "', " +
				addAll(&a, part[i].cells()) + ")"
		}
		n, err := tx.changed(ctx, "INSERT INTO vault_packs (vault_id, session_id, state, "+packColumns+") VALUES "+strings.Join(rows, ", ")+`
			ON CONFLICT (vault_id, pack_id, generation) DO UPDATE SET live = excluded.live
			WHERE vault_packs.session_id = excluded.session_id AND vault_packs.object = excluded.object
				AND vault_packs.pack_at = excluded.pack_at`, a...)
		if err != nil {
			return fmt.Errorf("record packs of session %x: %w", ref.ID, err)
		}
		if int(n) != len(part) {
			return backup.Errorf(backup.Internal, "session %x: a pack is recorded at another place already", ref.ID)
		}
	}
	return nil
}

// Writable calls fn with each generation of a pack of blocks that new
// references may name, in no order. fn must not use tx.
func (tx *Tx) Writable(ctx context.Context, vault ID, fn func(pack ID, generation uint32) error) error {
	rows, err := tx.Query(ctx, "SELECT pack_id, generation FROM vault_packs WHERE vault_id = $1 AND state = 'writable' AND kind = 1",
		Cell{&vault})
	if err != nil {
		return fmt.Errorf("read the writable packs of vault %x: %w", vault, err)
	}
	defer rows.Close()
	var raw sql.RawBytes
	var generation int64
	for rows.Next() {
		if err := rows.Scan(&raw, &generation); err != nil {
			return fmt.Errorf("read the writable packs of vault %x: %w", vault, err)
		}
		if len(raw) != len(ID{}) {
			return fmt.Errorf("read the writable packs of vault %x: an id of %d bytes", vault, len(raw))
		}
		if err := fn(ID(raw), uint32(generation)); err != nil {
			return err
		}
	}
	return rows.Err()
}

// SessionPacks returns the packs that a session has recorded.
func (tx *Tx) SessionPacks(ctx context.Context, session ID) ([]Pack, error) {
	return tx.packs(ctx, " WHERE session_id = $1 ORDER BY pack_id, generation", Cell{&session})
}

// Packs returns where packs lie now: of each the highest generation, in the
// order asked for. One that is unknown has an empty Object.
func (tx *Tx) Packs(ctx context.Context, vault ID, ids []ID) ([]Pack, error) {
	latest := make(map[ID]Pack, len(ids))
	for part := range slices.Chunk(ids, chunk) {
		a := args{Cell{&vault}}
		marks := make([]string, len(part))
		for i := range part {
			marks[i] = a.add(Cell{&part[i]})
		}
		found, err := tx.packs(ctx, " WHERE vault_id = $1 AND pack_id IN ("+strings.Join(marks, ", ")+")", a...)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			if have, ok := latest[p.ID]; !ok || p.Generation > have.Generation {
				latest[p.ID] = p
			}
		}
	}
	placed := make([]Pack, len(ids))
	for i, id := range ids {
		placed[i] = latest[id]
		placed[i].ID = id
	}
	return placed, nil
}

func (tx *Tx) packs(ctx context.Context, where string, a ...any) ([]Pack, error) {
	rows, err := tx.Query(ctx, "SELECT "+packColumns+" FROM vault_packs"+where, a...)
	if err != nil {
		return nil, fmt.Errorf("read packs: %w", err)
	}
	defer rows.Close()
	var all []Pack
	for rows.Next() {
		var p Pack
		if err := rows.Scan(p.cells()...); err != nil {
			return nil, fmt.Errorf("read packs: %w", err)
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// Segments returns the index segments of a vault, the oldest first.
func (tx *Tx) Segments(ctx context.Context, vault ID) ([]Segment, error) {
	rows, err := tx.Query(ctx, "SELECT object, size FROM vault_segments WHERE vault_id = $1 ORDER BY epoch", Cell{&vault})
	if err != nil {
		return nil, fmt.Errorf("read the segments of vault %x: %w", vault, err)
	}
	defer rows.Close()
	var all []Segment
	for rows.Next() {
		var s Segment
		if err := rows.Scan(&s.Object, &s.Size); err != nil {
			return nil, fmt.Errorf("read the segments of vault %x: %w", vault, err)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}
