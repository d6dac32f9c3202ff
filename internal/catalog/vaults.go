package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/backup"
)

// Vault is where one project's backup data lives.
type Vault struct {
	ID          ID
	ProjectID   string
	Epoch       int64 // rises with each begin and commit of a session
	Incarnation ID
	CreatedAt   time.Time
}

const vaultSQL = "SELECT r.id, r.project_id, r.epoch, r.incarnation, r.created_at FROM vaults r"

func scanVault(row interface{ Scan(...any) error }) (Vault, error) {
	var v Vault
	err := row.Scan(Cell{&v.ID}, &v.ProjectID, &v.Epoch, Cell{&v.Incarnation}, Cell{&v.CreatedAt})
	return v, err
}

// InsertVault adds a vault. A project has one: a second is an error that
// IsUnique recognises.
func (tx *Tx) InsertVault(ctx context.Context, v Vault) error {
	_, err := tx.Exec(ctx, "INSERT INTO vaults (id, project_id, epoch, incarnation, created_at) VALUES ($1, $2, $3, $4, $5)",
		Cell{&v.ID}, v.ProjectID, v.Epoch, Cell{&v.Incarnation}, Cell{&v.CreatedAt})
	if err != nil {
		return fmt.Errorf("insert the vault of project %s: %w", v.ProjectID, err)
	}
	return nil
}

// VaultOf returns a project's vault, or false where it has none yet.
func (tx *Tx) VaultOf(ctx context.Context, project string) (Vault, bool, error) {
	return tx.vault(ctx, " WHERE r.project_id = $1", project)
}

// Vault returns a vault by its id, or false where it is unknown.
func (tx *Tx) Vault(ctx context.Context, id ID) (Vault, bool, error) {
	return tx.vault(ctx, " WHERE r.id = $1", Cell{&id})
}

func (tx *Tx) vault(ctx context.Context, where string, arg any) (Vault, bool, error) {
	v, err := scanVault(tx.QueryRow(ctx, vaultSQL+where+tx.forUpdate(), arg))
	if errors.Is(err, sql.ErrNoRows) {
		return Vault{}, false, nil
	}
	if err != nil {
		return Vault{}, false, fmt.Errorf("read a vault: %w", err)
	}
	return v, true, nil
}

// Vaults returns all vaults, the oldest first.
func (tx *Tx) Vaults(ctx context.Context) ([]Vault, error) {
	rows, err := tx.Query(ctx, vaultSQL+" ORDER BY r.created_at, r.id")
	if err != nil {
		return nil, fmt.Errorf("list vaults: %w", err)
	}
	defer rows.Close()
	var all []Vault
	for rows.Next() {
		v, err := scanVault(rows)
		if err != nil {
			return nil, fmt.Errorf("list vaults: %w", err)
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// AdvanceEpoch raises a vault's epoch and returns it. It locks the vault's
// row until the transaction ends, and so gives all that changes which packs
// may be referred to one order: it is their first statement on the vault.
func (tx *Tx) AdvanceEpoch(ctx context.Context, vault ID) (int64, error) {
	var epoch int64
	err := tx.QueryRow(ctx, "UPDATE vaults SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch", Cell{&vault}).Scan(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, backup.Errorf(backup.NotFound, "there is no vault %x", vault)
	}
	if err != nil {
		return 0, fmt.Errorf("advance the epoch of vault %x: %w", vault, err)
	}
	return epoch, nil
}
