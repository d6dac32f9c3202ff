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
	Ready       bool // its keys are durable
	CreatedAt   time.Time
}

const vaultSQL = "SELECT r.id, r.project_id, r.epoch, r.incarnation, r.ready, r.created_at FROM vaults r"

func scanVault(row interface{ Scan(...any) error }) (Vault, error) {
	var v Vault
	err := row.Scan(Cell{&v.ID}, &v.ProjectID, &v.Epoch, Cell{&v.Incarnation}, Cell{&v.Ready}, Cell{&v.CreatedAt})
	return v, err
}

// InsertVault adds a vault, made now. A project has one: a second is an error
// that IsUnique recognises.
func (tx *Tx) InsertVault(ctx context.Context, v Vault) error {
	_, err := tx.Exec(ctx, "INSERT INTO vaults (id, project_id, epoch, incarnation, ready, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
		Cell{&v.ID}, v.ProjectID, v.Epoch, Cell{&v.Incarnation}, Cell{&v.Ready}, tx.now.UnixMicro())
	if err != nil {
		return fmt.Errorf("insert the vault of project %s: %w", v.ProjectID, err)
	}
	return nil
}

// ReadyVault records that a vault's keys are durable.
func (tx *Tx) ReadyVault(ctx context.Context, id ID) error {
	n, err := tx.changed(ctx, "UPDATE vaults SET ready = 1 WHERE id = $1", Cell{&id})
	if err != nil {
		return fmt.Errorf("write vault %x: %w", id, err)
	}
	if n == 0 {
		return backup.Errorf(backup.NotFound, "there is no vault %x", id)
	}
	return nil
}

// ChooseKeys settles, once for ever, which set of keys is a vault's: the one of
// the first call. It returns that one.
func (tx *Tx) ChooseKeys(ctx context.Context, id, set ID) (ID, error) {
	var chosen ID
	err := tx.QueryRow(ctx, "UPDATE vaults SET key_set = COALESCE(key_set, $1) WHERE id = $2 RETURNING key_set", Cell{&set}, Cell{&id}).
		Scan(Cell{&chosen})
	if errors.Is(err, sql.ErrNoRows) {
		return ID{}, backup.Errorf(backup.NotFound, "there is no vault %x", id)
	}
	if err != nil {
		return ID{}, fmt.Errorf("write vault %x: %w", id, err)
	}
	return chosen, nil
}

// VaultOf returns a project's vault, or an error of kind NotFound.
func (tx *Tx) VaultOf(ctx context.Context, project string) (Vault, error) {
	v, err := scanVault(tx.QueryRow(ctx, vaultSQL+" WHERE r.project_id = $1"+tx.forUpdate(), project))
	if errors.Is(err, sql.ErrNoRows) {
		return Vault{}, backup.Errorf(backup.NotFound, "project %s has no vault", project)
	}
	if err != nil {
		return Vault{}, fmt.Errorf("read the vault of project %s: %w", project, err)
	}
	return v, nil
}

// Vault returns a vault by its id, or an error of kind NotFound.
func (tx *Tx) Vault(ctx context.Context, id ID) (Vault, error) {
	v, err := scanVault(tx.QueryRow(ctx, vaultSQL+" WHERE r.id = $1"+tx.forUpdate(), Cell{&id}))
	if errors.Is(err, sql.ErrNoRows) {
		return Vault{}, backup.Errorf(backup.NotFound, "there is no vault %x", id)
	}
	if err != nil {
		return Vault{}, fmt.Errorf("read vault %x: %w", id, err)
	}
	return v, nil
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
