package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"holdfast/internal/backup"
)

// Switch is what one transaction of a collection changes; see vault.Switch.
type Switch struct {
	New     []Pack
	Gone    []PackGen
	Segment *Segment
	Merged  []string
	Dead    []string
}

// Switch replaces generations of packs, and returns the new epoch, which is
// announced. What a session may still refer to can't be replaced, and what a
// row names can't be dead: the transaction fails then.
func (tx *Tx) Switch(ctx context.Context, ref SessionRef, w Switch) (int64, error) {
	epoch, err := tx.announce(ctx, ref.Vault)
	if err != nil {
		return 0, err
	}
	if err := tx.holdSession(ctx, ref, "token = token"); err != nil {
		return 0, err
	}
	if err := tx.replace(ctx, ref.Vault, w); err != nil {
		return 0, fmt.Errorf("switch packs of vault %x: %w", ref.Vault, err)
	}
	if err := tx.insertPacks(ctx, ref, Writable, w.New); err != nil {
		return 0, err
	}
	if err := tx.unmark(ctx, ref.Vault, w.Gone); err != nil {
		return 0, fmt.Errorf("switch packs of vault %x: %w", ref.Vault, err)
	}
	if err := tx.mergeSegments(ctx, ref, epoch, w); err != nil {
		return 0, fmt.Errorf("switch segments of vault %x: %w", ref.Vault, err)
	}
	if err := tx.bury(ctx, ref.Vault, w.Dead); err != nil {
		return 0, fmt.Errorf("switch objects of vault %x: %w", ref.Vault, err)
	}
	return epoch, nil
}

// replace removes the rows that a switch drops. The vault's row is locked, so
// that no session begins or commits meanwhile.
func (tx *Tx) replace(ctx context.Context, vault ID, w Switch) error {
	oldest, err := tx.oldestSession(ctx, vault)
	if err != nil {
		return err
	}
	r := replacing{tx: tx, oldest: oldest, fresh: map[ID]*Pack{}, gone: map[PackGen]bool{}, ended: map[ID]bool{}}
	ids := make([]ID, 0, len(w.New)+len(w.Gone))
	for i := range w.New {
		p := &w.New[i]
		if r.fresh[p.ID] != nil {
			return backup.Errorf(backup.Internal, "pack %x has two new generations", p.ID)
		}
		r.fresh[p.ID] = p
		ids = append(ids, p.ID)
	}
	for _, g := range w.Gone {
		r.gone[g] = true
		ids = append(ids, g.ID)
	}
	slices.SortFunc(ids, compareID)
	return eachChunk(slices.Compact(ids), func(part []ID) error {
		drop, err := r.dropped(ctx, vault, part)
		if err != nil {
			return err
		}
		return eachGeneration(drop, func(generation uint32, ids []ID) error {
			a := args{Cell{&vault}, Cell{&generation}}
			_, err := tx.Exec(ctx, "DELETE FROM vault_packs WHERE vault_id = $1 AND generation = $2 AND pack_id IN ("+
				addAll(&a, cells(ids))+")", a...)
			return err
		})
	})
}

// unmark removes the marks of packs of which no generation is left.
func (tx *Tx) unmark(ctx context.Context, vault ID, gone []PackGen) error {
	return eachGeneration(gone, func(_ uint32, ids []ID) error {
		a := args{Cell{&vault}}
		_, err := tx.Exec(ctx, "DELETE FROM vault_damage WHERE vault_id = $1 AND pack_id IN ("+addAll(&a, cells(ids))+`)
			AND NOT EXISTS (SELECT 1 FROM vault_packs p WHERE p.vault_id = vault_damage.vault_id AND p.pack_id = vault_damage.pack_id)`, a...)
		return err
	})
}

// replacing decides which rows go, and whether they may.
type replacing struct {
	tx     *Tx
	oldest int64
	fresh  map[ID]*Pack
	gone   map[PackGen]bool
	ended  map[ID]bool // sessions that were asked for
}

// dropped returns the generations of some packs that go.
func (r *replacing) dropped(ctx context.Context, vault ID, ids []ID) ([]PackGen, error) {
	a := args{Cell{&vault}}
	rows, err := r.tx.Query(ctx, packRowSQL+" WHERE vault_id = $1 AND pack_id IN ("+addAll(&a, cells(ids))+")", a...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var drop []PackGen
	var loose []PackRow
	var row packScan
	for rows.Next() {
		if err := row.scan(rows); err != nil {
			return nil, err
		}
		p := r.fresh[row.ID]
		g := PackGen{row.ID, row.Generation}
		switch {
		case !r.gone[g] && p == nil:
			continue
		case !r.gone[g] && p.Generation == row.Generation: // recorded by this switch before
			continue
		case !r.gone[g] && p.Generation < row.Generation:
			return nil, backup.Errorf(backup.Internal, "pack %x has generation %d already", row.ID, row.Generation)
		}
		if row.State == Uncommitted {
			loose = append(loose, row.PackRow)
		} else if err := r.replaceable(row.PackRow); err != nil {
			return nil, err
		}
		drop = append(drop, g)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for _, l := range loose {
		if err := r.abandoned(ctx, l); err != nil {
			return nil, err
		}
	}
	return drop, nil
}

// replaceable fails where a session may still refer to what goes.
func (r *replacing) replaceable(row PackRow) error {
	p := r.fresh[row.ID]
	switch {
	case row.Kind != 1 || p != nil && p.Live >= row.Live:
		return nil
	case row.State != Condemned:
		return backup.Errorf(backup.Internal, "pack %x is not condemned", row.ID)
	case r.oldest < row.Epoch:
		return backup.Errorf(backup.Conflict, "a session from before epoch %d, at which pack %x was condemned, is open", row.Epoch, row.ID)
	}
	return nil
}

// abandoned fails unless the session of an uncommitted pack has ended: then
// nobody can refer to it.
func (r *replacing) abandoned(ctx context.Context, row PackRow) error {
	ended, known := r.ended[row.Session]
	if !known {
		var state string
		err := r.tx.QueryRow(ctx, "SELECT state FROM vault_sessions WHERE id = $1", Cell{&row.Session}).Scan(&state)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		ended = err == nil && SessionState(state) != SessionOpen
		r.ended[row.Session] = ended
	}
	if !ended {
		return backup.Errorf(backup.Conflict, "pack %x is not committed", row.ID)
	}
	return nil
}

// mergeSegments puts a segment in the place of others, or at the end.
func (tx *Tx) mergeSegments(ctx context.Context, ref SessionRef, epoch int64, w Switch) error {
	for part := range slices.Chunk(w.Merged, chunk) {
		a := args{Cell{&ref.Vault}}
		where := " WHERE vault_id = $1 AND object IN (" + addAll(&a, part) + ")"
		var oldest sql.NullInt64
		if err := tx.QueryRow(ctx, "SELECT MIN(epoch) FROM vault_segments"+where, a...).Scan(&oldest); err != nil {
			return err
		}
		n, err := tx.changed(ctx, "DELETE FROM vault_segments"+where, a...)
		if err != nil {
			return err
		}
		if int(n) != len(part) {
			return backup.Errorf(backup.Internal, "%d of %d merged segments are not there", len(part)-int(n), len(part))
		}
		epoch = min(epoch, oldest.Int64)
	}
	if w.Segment == nil {
		return nil
	}
	_, err := tx.Exec(ctx, "INSERT INTO vault_segments (vault_id, epoch, session_id, object, size) VALUES ($1, $2, $3, $4, $5)",
		Cell{&ref.Vault}, epoch, Cell{&ref.ID}, w.Segment.Object, w.Segment.Size)
	return err
}

// bury records objects that no row names any more.
func (tx *Tx) bury(ctx context.Context, vault ID, dead []string) error {
	return eachChunk(dead, func(part []string) error {
		for _, q := range []string{
			"SELECT object FROM vault_packs WHERE vault_id = $1 AND object IN (",
			"SELECT copy_in FROM vault_packs WHERE vault_id = $1 AND copy_in IN (",
			"SELECT object FROM vault_segments WHERE vault_id = $1 AND object IN (",
		} {
			a := args{Cell{&vault}}
			var name string
			err := tx.QueryRow(ctx, q+addAll(&a, part)+") LIMIT 1", a...).Scan(&name)
			if err == nil {
				err = backup.Errorf(backup.Internal, "object %s is called dead and is in use", name)
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		a := args{Cell{&vault}}
		rows := ""
		for i, name := range part {
			if i > 0 {
				rows += ", "
			}
			rows += "($1, " + a.add(name) + ")"
		}
		_, err := tx.Exec(ctx, "INSERT INTO vault_dead (vault_id, object) VALUES "+rows+" ON CONFLICT (vault_id, object) DO NOTHING", a...)
		return err
	})
}
