package worker

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/catalog"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
)

// VaultsConfig is what Vaults stands on. Every field but Recovery is needed.
type VaultsConfig struct {
	DB      *catalog.DB
	Store   blob.Store
	Master  *keyring.Master
	Index   *vault.Index
	Rand    io.Reader
	Workers int // goroutines of one job; 0: one a core
	Now     func() time.Time
	Log     *slog.Logger

	Recovery []*keyring.Recipient // for whom the keys of new vaults are wrapped, besides Master
}

// Vaults opens the projects' vaults and keeps their keys at hand.
type Vaults struct {
	cfg VaultsConfig

	mu   sync.Mutex
	keys map[vault.ID]*keyring.Vault
}

// NewVaults returns a Vaults.
func NewVaults(cfg VaultsConfig) *Vaults {
	return &Vaults{cfg: cfg, keys: map[vault.ID]*keyring.Vault{}}
}

// Open returns a project's vault as one job sees it: f is the job's fence.
func (vs *Vaults) Open(ctx context.Context, id vault.ID, f vault.Fence) (*vault.Vault, error) {
	keys, err := vs.vaultKeys(ctx, id)
	if err != nil {
		return nil, err
	}
	return vault.Open(vault.Config{
		Store: vs.cfg.Store, Keys: keys, Fence: f, Index: vs.cfg.Index, Rand: vs.cfg.Rand,
		Workers: vs.cfg.Workers, Log: vs.cfg.Log, Now: vs.cfg.Now,
	})
}

// RemoveRecords removes a backup's records from a project's vault, for which
// no keys are needed.
func (vs *Vaults) RemoveRecords(ctx context.Context, id vault.ID, backup string, ref vault.RecordRef) error {
	return vault.RemoveRecords(ctx, vs.cfg.Store, id, backup, ref)
}

func (vs *Vaults) vaultKeys(ctx context.Context, id vault.ID) (*keyring.Vault, error) {
	vs.mu.Lock()
	keys := vs.keys[id]
	vs.mu.Unlock()
	if keys != nil {
		return keys, nil
	}
	keys, err := keyring.OpenVault(ctx, vs.cfg.Store, vs.cfg.Master, id)
	if err != nil {
		return nil, fmt.Errorf("open vault %s: %w", id, err)
	}
	vs.mu.Lock()
	vs.keys[id] = keys
	vs.mu.Unlock()
	return keys, nil
}

// For returns the id of a project's vault, which it makes where there is
// none. Several may do so at once: the catalog says whose keys count. A vault's
// row is ready only once these are durable; keys that are missing after that
// are never made anew.
func (vs *Vaults) For(ctx context.Context, project string) (vault.ID, error) {
	var row catalog.Vault
	err := vs.cfg.DB.View(ctx, func(tx *catalog.Tx) (err error) {
		row, err = tx.VaultOf(ctx, project)
		return err
	})
	if err == nil && row.Ready {
		return row.ID, nil
	}
	err = vs.cfg.DB.Update(ctx, func(tx *catalog.Tx) error {
		err := tx.LockProject(ctx, project) // one maker of a vault's row at a time
		if err != nil {
			return err
		}
		row, err = tx.VaultOf(ctx, project)
		if backup.KindOf(err) != backup.NotFound {
			return err
		}
		row = catalog.Vault{ProjectID: project}
		if _, err := io.ReadFull(vs.cfg.Rand, row.ID[:]); err != nil {
			return fmt.Errorf("make vault id: %w", err)
		}
		if _, err := io.ReadFull(vs.cfg.Rand, row.Incarnation[:]); err != nil {
			return fmt.Errorf("make incarnation: %w", err)
		}
		return tx.InsertVault(ctx, row)
	})
	if err != nil || row.Ready {
		return row.ID, err
	}
	if _, err := keyring.CreateVault(ctx, keyring.NewVault{
		Store: vs.cfg.Store, Master: vs.cfg.Master, Vault: row.ID, Rand: vs.cfg.Rand,
		Recovery: vs.cfg.Recovery,
		Choose: func(ctx context.Context, set [16]byte) (chosen [16]byte, err error) {
			err = vs.cfg.DB.Update(ctx, func(tx *catalog.Tx) (err error) {
				chosen, err = tx.ChooseKeys(ctx, row.ID, set)
				return err
			})
			return chosen, err
		},
	}); err != nil {
		return row.ID, fmt.Errorf("make keys of vault %s: %w", vault.ID(row.ID), err)
	}
	return row.ID, vs.cfg.DB.Update(ctx, func(tx *catalog.Tx) error { return tx.ReadyVault(ctx, row.ID) })
}
