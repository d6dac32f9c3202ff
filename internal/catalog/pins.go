package catalog

import (
	"context"
	"fmt"
)

// PinVault pins the next backups of a vault, in the order of their ids, that
// can be read, and returns their ids and records; none where there are no more.
// Ones that are being deleted are left out, unless the holder pinned them
// before.
func (tx *Tx) PinVault(ctx context.Context, vault ID, holder, after string) (ids []string, records []Record, err error) {
	rows, err := tx.Query(ctx, `SELECT b.id, r.object, r.hash, r.map FROM backups b JOIN backup_records r ON r.backup_id = b.id
		WHERE r.vault_id = $1 AND b.id > $2 AND (b.status NOT IN ('deleted', 'deleting')
			OR EXISTS (SELECT 1 FROM vault_pins p WHERE p.backup_id = b.id AND p.holder = $3))
		ORDER BY b.id LIMIT $4`+tx.lock("b"), Cell{&vault}, after, holder, int64(chunk))
	if err != nil {
		return nil, nil, fmt.Errorf("read the backups of vault %x: %w", vault, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		r := Record{Vault: vault}
		if err := rows.Scan(&id, &r.Object, Cell{&r.Hash}, &r.Map); err != nil {
			return nil, nil, fmt.Errorf("read the backups of vault %x: %w", vault, err)
		}
		ids, records = append(ids, id), append(records, r)
	}
	if err := rows.Err(); err != nil || len(ids) == 0 {
		return nil, nil, err
	}
	if err := rows.Close(); err != nil {
		return nil, nil, err
	}
	a := args{holder, tx.now.UnixMicro()}
	values := ""
	for i, id := range ids {
		if i > 0 {
			values += ", "
		}
		values += "(" + a.add(id) + ", $1, $2)"
	}
	_, err = tx.Exec(ctx, "INSERT INTO vault_pins (backup_id, holder, pinned_at) VALUES "+values+
		" ON CONFLICT (backup_id, holder) DO NOTHING", a...)
	if err != nil {
		return nil, nil, fmt.Errorf("pin the backups of vault %x: %w", vault, err)
	}
	return ids, records, nil
}

// DeletedPins returns the deleted backups that a holder pins.
func (tx *Tx) DeletedPins(ctx context.Context, holder string) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT p.backup_id FROM vault_pins p JOIN backups b ON b.id = p.backup_id
		WHERE p.holder = $1 AND b.status = 'deleted' ORDER BY p.backup_id`, holder)
	if err != nil {
		return nil, fmt.Errorf("read the pins of %s: %w", holder, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read the pins of %s: %w", holder, err)
		}
		all = append(all, id)
	}
	return all, rows.Err()
}
