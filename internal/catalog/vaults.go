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
	Epoch       int64 // rises with each begin and commit of a session, and with each Condemn and Switch
	Announced   int64 // the epoch of the last Condemn or Switch, 0 for none
	Incarnation ID
	Ready       bool // its keys are durable
	Hold        bool // nothing may be deleted from the store
	CreatedAt   time.Time

	// When each was last done to its end; zero for never.
	CollectedAt  time.Time
	MaintainedAt time.Time
	VerifiedAt   time.Time
}

const vaultSQL = `SELECT r.id, r.project_id, r.epoch, r.announced, r.incarnation, r.ready, r.hold, r.created_at,
	r.collected_at, r.maintained_at, r.verified_at FROM vaults r`

func scanVault(row interface{ Scan(...any) error }) (Vault, error) {
	var v Vault
	err := row.Scan(Cell{&v.ID}, &v.ProjectID, &v.Epoch, &v.Announced, Cell{&v.Incarnation}, Cell{&v.Ready}, Cell{&v.Hold},
		Cell{&v.CreatedAt}, Cell{&v.CollectedAt}, Cell{&v.MaintainedAt}, Cell{&v.VerifiedAt})
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
	return tx.writeVault(ctx, id, "ready = 1")
}

// HoldVault says whether anything may be deleted from a vault's store: not
// after a recovery, until the operator has confirmed that the old catalog is
// dead.
func (tx *Tx) HoldVault(ctx context.Context, id ID, hold bool) error {
	return tx.writeVault(ctx, id, "hold = $2", Cell{&hold})
}

// Care is what is done to a vault from time to time.
type Care string

// The kinds of care.
const (
	Collected  Care = "collected_at"
	Maintained Care = "maintained_at"
	Verified   Care = "verified_at"
)

// TookCare records that a vault was cared for, now.
func (tx *Tx) TookCare(ctx context.Context, id ID, c Care) error {
	return tx.writeVault(ctx, id, string(c)+" = $2", tx.now.UnixMicro())
}

// writeVault changes a vault's row; the arguments of set are numbered from $2.
func (tx *Tx) writeVault(ctx context.Context, id ID, set string, more ...any) error {
	n, err := tx.changed(ctx, "UPDATE vaults SET "+set+" WHERE id = $1", append([]any{Cell{&id}}, more...)...)
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
	return tx.advance(ctx, vault, "epoch = epoch + 1")
}

// announce is AdvanceEpoch for an epoch that the store is told of.
func (tx *Tx) announce(ctx context.Context, vault ID) (int64, error) {
	return tx.advance(ctx, vault, "epoch = epoch + 1, announced = epoch + 1")
}

func (tx *Tx) advance(ctx context.Context, vault ID, set string) (int64, error) {
	var epoch int64
	err := tx.QueryRow(ctx, "UPDATE vaults SET "+set+" WHERE id = $1 RETURNING epoch", Cell{&vault}).Scan(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, backup.Errorf(backup.NotFound, "there is no vault %x", vault)
	}
	if err != nil {
		return 0, fmt.Errorf("advance the epoch of vault %x: %w", vault, err)
	}
	return epoch, nil
}
