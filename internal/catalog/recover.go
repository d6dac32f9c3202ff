package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/backup"
)

// A recovery fills a catalog in many transactions. Until the last one, the
// vaults that it has added are held and not ready, as no other vault is.

// RecoveredVault is a vault that a recovery adds.
type RecoveredVault struct {
	Vault
	KeySet ID
}

// InsertRecovered adds a vault that a recovery is under way for: held, and not
// ready. A project that has a vault is an error that IsUnique recognises.
func (tx *Tx) InsertRecovered(ctx context.Context, v RecoveredVault) error {
	_, err := tx.Exec(ctx, `INSERT INTO vaults (id, project_id, epoch, announced, incarnation, key_set, ready, hold, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, 0, 1, $7)`,
		Cell{&v.ID}, v.ProjectID, v.Epoch, v.Announced, Cell{&v.Incarnation}, Cell{&v.KeySet}, tx.now.UnixMicro())
	if err != nil {
		return fmt.Errorf("insert the vault of project %s: %w", v.ProjectID, err)
	}
	return nil
}

// AddPacks adds generations of packs as they were found. Their states are
// Writable or Condemned.
func (tx *Tx) AddPacks(ctx context.Context, vault ID, rows []PackRow) error {
	for part := range slices.Chunk(rows, chunk) {
		var a args
		values := make([]string, len(part))
		for i := range part {
			r := &part[i]
			values[i] = "(" + a.add(Cell{&vault}) + ", " + a.add(Cell{&r.Session}) + ", " + a.add(string(r.State)) + ", " + a.add(r.Epoch) +
				", " + addAll(&a, r.Pack.cells()) + ")"
		}
		_, err := tx.Exec(ctx, "INSERT INTO vault_packs (vault_id, session_id, state, condemned_epoch, "+packColumns+") VALUES "+
			strings.Join(values, ", "), a...)
		if err != nil {
			return fmt.Errorf("add packs to vault %x: %w", vault, err)
		}
	}
	return nil
}

// AddEndedSessions adds sessions that have written to a vault and are over. One
// that another vault has stays as it is.
func (tx *Tx) AddEndedSessions(ctx context.Context, vault ID, ids []ID) error {
	for part := range slices.Chunk(ids, chunk) {
		a := args{Cell{&vault}, tx.now.UnixMicro()}
		values := make([]string, len(part))
		for i := range part {
			values[i] = "(" + a.add(Cell{&part[i]}) + ", $1, '', '', '', 0, 0, '" + string(SessionCommitted) + "', $2, $2)"
		}
		_, err := tx.Exec(ctx, `INSERT INTO vault_sessions
			(id, vault_id, job_id, backup_id, parent_id, token, epoch, state, created_at, ended_at) VALUES `+
			strings.Join(values, ", ")+" ON CONFLICT (id) DO NOTHING", a...)
		if err != nil {
			return fmt.Errorf("add sessions to vault %x: %w", vault, err)
		}
	}
	return nil
}

// AddSegments adds index segments to a vault that has none, the oldest first.
func (tx *Tx) AddSegments(ctx context.Context, vault ID, segments []Segment) error {
	for i, s := range segments {
		_, err := tx.Exec(ctx, "INSERT INTO vault_segments (vault_id, epoch, session_id, object, size) VALUES ($1, $2, $3, $4, $5)",
			Cell{&vault}, int64(i+1), Cell{&ID{}}, s.Object, s.Size)
		if err != nil {
			return fmt.Errorf("add segments to vault %x: %w", vault, err)
		}
	}
	return nil
}

// FinishRecovery makes the vaults ready that a recovery has added.
func (tx *Tx) FinishRecovery(ctx context.Context) error {
	if _, err := tx.Exec(ctx, "UPDATE vaults SET ready = 1 WHERE hold = 1 AND ready = 0"); err != nil {
		return fmt.Errorf("finish the recovery: %w", err)
	}
	return nil
}

// Unfinished reports whether a vault belongs to a recovery that was broken off.
func (v *Vault) Unfinished() bool { return v.Hold && !v.Ready }

// recoveryParts bounds how many rows a transaction of DropUnfinished removes.
const recoveryParts = 10_000

// DropUnfinished removes some of what a recovery left that was broken off, and
// reports whether there is more.
func (tx *Tx) DropUnfinished(ctx context.Context) (more bool, err error) {
	const unfinished = "(SELECT v.id FROM vaults v WHERE v.hold = 1 AND v.ready = 0)"
	limit := fmt.Sprintf(" LIMIT %d)", recoveryParts)
	for _, q := range []string{
		"DELETE FROM vault_packs WHERE (vault_id, pack_id, generation) IN (SELECT vault_id, pack_id, generation FROM vault_packs WHERE vault_id IN " +
			unfinished + limit,
		"DELETE FROM vault_sessions WHERE id IN (SELECT id FROM vault_sessions WHERE vault_id IN " + unfinished + limit,
		"DELETE FROM backups WHERE id IN (SELECT backup_id FROM backup_records WHERE vault_id IN " + unfinished + limit,
		"DELETE FROM vault_segments WHERE vault_id IN " + unfinished,
		"DELETE FROM vault_damage WHERE vault_id IN " + unfinished,
		"DELETE FROM vaults WHERE hold = 1 AND ready = 0",
	} {
		n, err := tx.changed(ctx, q)
		if err != nil {
			return false, fmt.Errorf("remove an unfinished recovery: %w", err)
		}
		if n == recoveryParts {
			return true, nil
		}
	}
	return false, nil
}

// DeletedIn returns backups of a vault, after one of them, that are deleted and
// whose records are kept: up to limit, in the order of their ids.
func (tx *Tx) DeletedIn(ctx context.Context, vault ID, after string, limit int) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT r.backup_id FROM backup_records r JOIN backups b ON b.id = r.backup_id
		WHERE r.vault_id = $1 AND b.status = $2 AND b.id > $3 ORDER BY b.id LIMIT $4`,
		Cell{&vault}, string(backup.Deleted), after, int64(limit))
	if err != nil {
		return nil, fmt.Errorf("list deleted backups of vault %x: %w", vault, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list deleted backups of vault %x: %w", vault, err)
		}
		all = append(all, id)
	}
	return all, rows.Err()
}
