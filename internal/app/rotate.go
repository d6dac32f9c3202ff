package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/config"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
)

// hostSilent is how long a service of another host must have been silent to
// count as stopped; a running one is heard of every beatEvery.
const hostSilent = time.Minute

// The files that a rotation has beside the master key file.
func nextKey(cfg config.Config) string { return cfg.MasterKeyFile + ".new" }
func oldKey(cfg config.Config) string  { return cfg.MasterKeyFile + ".old" }

// Rotation says what RotateKey did.
type Rotation struct {
	Vaults   int
	Finished bool // it ended a rotation that was broken off, and made no new key
}

// RotateKey makes a new master key, wraps the keys of all vaults for it and
// the recovery recipients, and removes what is wrapped for others. Vaults are
// opened with the master key file, or with another key where one is given.
//
// At every instant the file that is at the master key's path opens all vaults:
// new copies are put beside the old ones, then the file changes, then old
// copies are removed. Broken off anywhere, it is called again.
func RotateKey(ctx context.Context, cfg config.Config, log *slog.Logger, with *KeyFile) (done Rotation, err error) {
	c, err := openForRotation(ctx, cfg, log)
	if err == nil {
		done, err = c.rotateKey(ctx, with)
	}
	return done, errors.Join(err, c.close())
}

// openForRotation opens what a rotation needs, once nobody else has the master
// key in memory.
func openForRotation(ctx context.Context, cfg config.Config, log *slog.Logger) (c *core, err error) {
	c = &core{cfg: cfg, log: log, clock: clock.Real{}}
	if err := haveData(cfg); err != nil {
		return c, err
	}
	if path, err := filepath.EvalSymlinks(cfg.MasterKeyFile); err == nil {
		c.cfg.MasterKeyFile = path
	}
	if c.keysHeld, err = holdKeys(cfg.Data, syscall.LOCK_EX); err != nil {
		return c, err
	}
	if c.recovery, err = recoveryOf(cfg); err != nil {
		return c, err
	}
	if c.store, err = findStore(ctx, cfg.Store, log); err != nil {
		return c, err
	}
	c.db, err = catalog.Open(ctx, catalog.Config{
		URL: cfg.Database.URL.Reveal(), Path: filepath.Join(cfg.Data, "catalog.db"), Clock: c.clock, Log: log,
	})
	if err != nil {
		return c, startErrorf("database: %w", err)
	}
	return c, c.aloneOnHosts(ctx)
}

func (c *core) rotateKey(ctx context.Context, with *KeyFile) (Rotation, error) {
	if there(oldKey(c.cfg)) && !there(nextKey(c.cfg)) {
		return c.finishRotation(ctx)
	}
	return c.rotate(ctx, with)
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// aloneOnHosts fails where another host's service has the key in memory.
func (c *core) aloneOnHosts(ctx context.Context) error {
	here, err := os.Hostname()
	if err != nil {
		return err
	}
	var all []catalog.Service
	err = c.db.View(ctx, func(tx *catalog.Tx) (err error) {
		all, err = tx.Services(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range all {
		if ago := c.clock.Now().Sub(s.UpdatedAt); s.Host != here && ago < hostSilent {
			return startErrorf("the service on host %s was up %v ago: stop it, and try again after a minute", s.Host, ago.Round(time.Second))
		}
	}
	return nil
}

// finishRotation removes what an earlier run left once the new key was in its
// place.
func (c *core) finishRotation(ctx context.Context) (Rotation, error) {
	m, err := loadMaster(c.cfg)
	if err != nil {
		return Rotation{}, &StartError{err}
	}
	replaced, err := c.rewrapAll(ctx, m, m)
	if err != nil {
		return Rotation{}, err
	}
	return Rotation{Vaults: len(replaced), Finished: true}, c.removeOld(ctx, replaced)
}

func (c *core) rotate(ctx context.Context, with *KeyFile) (Rotation, error) {
	old, err := c.oldOpener(with)
	if err != nil {
		return Rotation{}, err
	}
	next := nextKey(c.cfg)
	if !there(next) {
		if err := c.makeNext(ctx, old, next); err != nil {
			return Rotation{}, err
		}
	}
	m, err := keyring.Load(next, c.cfg.MasterKeyPassphrase.Reveal())
	if err != nil {
		return Rotation{}, &StartError{err}
	}
	replaced, err := c.rewrapAll(ctx, old, m)
	if err != nil {
		return Rotation{}, err
	}
	if err := c.switchKey(next); err != nil {
		return Rotation{}, err
	}
	return Rotation{Vaults: len(replaced)}, c.removeOld(ctx, replaced)
}

func (c *core) oldOpener(with *KeyFile) (keyring.Opener, error) {
	if with != nil {
		return with.open()
	}
	m, err := loadMaster(c.cfg)
	if err != nil {
		return nil, &StartError{err}
	}
	return m, nil
}

// makeNext makes the new key's file, in the form that the present one has, once
// it is sure that the old key is the right one.
func (c *core) makeNext(ctx context.Context, old keyring.Opener, next string) error {
	if err := c.opensAll(ctx, old); err != nil {
		err = fmt.Errorf("the %s does not open all vaults, and nothing was changed: %w", old, err)
		if errors.Is(err, keyring.ErrWrongKey) {
			return &StartError{err}
		}
		return err
	}
	passphrase := c.cfg.MasterKeyPassphrase.Reveal()
	if there(c.cfg.MasterKeyFile) && !KeyProtected(c.cfg.MasterKeyFile) {
		passphrase = ""
	}
	text, err := newMaster(passphrase)
	if err != nil {
		return err
	}
	return keyring.WriteNew(next, text)
}

// opensAll makes sure that a key opens all vaults. Those whose making was
// broken off may have none yet.
func (c *core) opensAll(ctx context.Context, key keyring.Opener) error {
	all, err := c.allVaults(ctx)
	if err != nil {
		return err
	}
	for id, ready := range all {
		_, err := keyring.OpenVault(ctx, c.store, key, id)
		if err != nil && (ready || !errors.Is(err, keyring.ErrMissing)) {
			return err
		}
	}
	return nil
}

// rewrapAll puts copies for a new master key beside all that there are, and
// makes sure that it opens every vault.
func (c *core) rewrapAll(ctx context.Context, old keyring.Opener, m *keyring.Master) (map[vault.ID]keyring.Replaced, error) {
	all, err := c.allVaults(ctx)
	if err != nil {
		return nil, err
	}
	r := keyring.Rewrap{Store: c.store, Key: old, Master: m, Recovery: c.recovery, Rand: rand.Reader, All: true}
	replaced := map[vault.ID]keyring.Replaced{}
	for id := range all {
		if replaced[id], err = r.Vault(ctx, id); err != nil {
			return nil, err
		}
	}
	return replaced, c.opensAll(ctx, m)
}

// switchKey puts the new key's file in the place of the old one, which stays
// beside it.
func (c *core) switchKey(next string) error {
	path, old := c.cfg.MasterKeyFile, oldKey(c.cfg)
	err := os.Link(path, old)
	if errors.Is(err, fs.ErrExist) && !sameFile(path, old) {
		return fmt.Errorf("%s is in the way: move it elsewhere", old)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) && there(path) {
		return err
	}
	if err := keyring.SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return keyring.SyncDir(filepath.Dir(path))
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// removeOld removes the copies that others have replaced, and then the old
// key's file.
func (c *core) removeOld(ctx context.Context, replaced map[vault.ID]keyring.Replaced) error {
	for _, r := range replaced {
		if err := r.Remove(ctx); err != nil {
			return err
		}
	}
	if err := os.Remove(oldKey(c.cfg)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return keyring.SyncDir(filepath.Dir(c.cfg.MasterKeyFile))
}
