package app

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"holdfast/internal/catalog"
	"holdfast/internal/config"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
)

// recoveryRetry is how long keepRecovery waits after an error.
const recoveryRetry = 5 * time.Minute

// Rewrapped says what a change of the keys' recipients came to.
type Rewrapped struct {
	Vaults  int // all that there are
	Changed int // those whose key objects were wrapped anew
}

// ApplyRecovery wraps the keys of all vaults for the configured recovery
// recipients, and no others, beside a running service or without one.
func ApplyRecovery(ctx context.Context, cfg config.Config, log *slog.Logger) (Rewrapped, error) {
	if err := haveData(cfg); err != nil {
		return Rewrapped{}, err
	}
	c, err := openCore(ctx, cfg, log)
	if err != nil {
		return Rewrapped{}, err
	}
	done, err := c.applyRecovery(ctx)
	return done, errors.Join(err, c.close())
}

// keepRecovery does so once in the life of a service: the list may have
// changed while it was stopped.
func (c *core) keepRecovery(ctx context.Context) {
	tick := time.NewTicker(recoveryRetry)
	defer tick.Stop()
	for {
		done, err := c.applyRecovery(ctx)
		if done.Changed > 0 {
			c.log.InfoContext(ctx, "wrapped keys for the recovery recipients", "vaults", done.Changed, "recipients", len(c.recovery))
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		c.log.ErrorContext(ctx, "keys are not wrapped for the recovery recipients", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *core) applyRecovery(ctx context.Context) (Rewrapped, error) {
	vaults, err := c.vaults(ctx)
	if err != nil {
		return Rewrapped{}, err
	}
	r := keyring.Rewrap{Store: c.store, Key: c.master, Master: c.master, Recovery: c.recovery, Rand: rand.Reader}
	var done Rewrapped
	var failed error
	for _, v := range vaults {
		if !v.Ready {
			continue // whoever makes its keys wraps them
		}
		if v.Hold { // a recovered catalog's list of recipients may be another one
			c.log.WarnContext(ctx, "the keys of a recovered vault stay as they are until the recovery is confirmed", "vault", vault.ID(v.ID))
			continue
		}
		done.Vaults++
		replaced, err := r.Vault(ctx, v.ID)
		if err == nil {
			err = replaced.Remove(ctx)
		}
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
		failed = errors.Join(failed, err)
		if replaced.Objects > 0 {
			done.Changed++
		}
	}
	return done, failed
}

// vaults returns the catalog's vaults.
func (c *core) vaults(ctx context.Context) (all []catalog.Vault, err error) {
	err = c.db.View(ctx, func(tx *catalog.Tx) (err error) {
		all, err = tx.Vaults(ctx)
		return err
	})
	return all, err
}

// allVaults returns the vaults of catalog and store, each once; those that the
// catalog has and calls ready are true.
func (c *core) allVaults(ctx context.Context) (map[vault.ID]bool, error) {
	known, err := c.vaults(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := keyring.ListVaults(ctx, c.store)
	if err != nil {
		return nil, err
	}
	all := map[vault.ID]bool{}
	for _, id := range stored {
		all[id] = false
	}
	for _, v := range known {
		all[vault.ID(v.ID)] = v.Ready
	}
	return all, nil
}
