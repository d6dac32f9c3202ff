package catalog

import (
	"context"
	"fmt"
	"time"
)

// PackCount is how many generations of packs are of a kind and in a state.
type PackCount struct {
	Kind  uint8 // as Pack.Kind
	State PackState
	N     int64
	Bytes int64 // as stored
	Live  int64 // blocks or pages that they hold
}

// PackCounts counts a vault's packs by kind and state.
func (tx *Tx) PackCounts(ctx context.Context, vault ID) ([]PackCount, error) {
	rows, err := tx.Query(ctx, `SELECT kind, state, COUNT(*), CAST(SUM(pack_len) AS BIGINT), CAST(SUM(live) AS BIGINT)
		FROM vault_packs WHERE vault_id = $1 GROUP BY kind, state ORDER BY kind, state`, Cell{&vault})
	if err != nil {
		return nil, fmt.Errorf("count the packs of vault %x: %w", vault, err)
	}
	defer rows.Close()
	var all []PackCount
	for rows.Next() {
		var c PackCount
		if err := rows.Scan(Cell{&c.Kind}, (*string)(&c.State), &c.N, &c.Bytes, &c.Live); err != nil {
			return nil, fmt.Errorf("count the packs of vault %x: %w", vault, err)
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// BackupTotals counts a vault's backups, those that are deleted and still
// pinned included, and the bytes of the volumes that they show.
func (tx *Tx) BackupTotals(ctx context.Context, vault ID) (n, bytes int64, err error) {
	err = tx.QueryRow(ctx, `SELECT COUNT(*), CAST(COALESCE(SUM(b.bytes), 0) AS BIGINT)
		FROM backup_records r JOIN backups b ON b.id = r.backup_id WHERE r.vault_id = $1`, Cell{&vault}).Scan(&n, &bytes)
	if err != nil {
		return 0, 0, fmt.Errorf("count the backups of vault %x: %w", vault, err)
	}
	return n, bytes, nil
}

// OpenSessions counts the sessions of backups that are open in a vault.
func (tx *Tx) OpenSessions(ctx context.Context, vault ID) (int64, error) {
	var n int64
	err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM vault_sessions WHERE vault_id = $1 AND state = 'open' AND collection = 0",
		Cell{&vault}).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the sessions of vault %x: %w", vault, err)
	}
	return n, nil
}

// CareTotals is what all vaults have in common.
type CareTotals struct {
	Condemned int64     // packs
	Damaged   int64     // packs
	Verified  time.Time // the earliest of their last verifications; zero: one never was
}

// CareTotals sums up the state of all vaults.
func (tx *Tx) CareTotals(ctx context.Context) (CareTotals, error) {
	var c CareTotals
	err := tx.QueryRow(ctx, `SELECT (SELECT COUNT(*) FROM vaults v JOIN vault_packs p ON p.vault_id = v.id AND p.state = 'condemned'),
		(SELECT COUNT(*) FROM vault_damage), (SELECT COALESCE(MIN(verified_at), 0) FROM vaults WHERE ready = 1)`).
		Scan(&c.Condemned, &c.Damaged, Cell{&c.Verified})
	if err != nil {
		return c, fmt.Errorf("sum up the vaults: %w", err)
	}
	return c, nil
}
