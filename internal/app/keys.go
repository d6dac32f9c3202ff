package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"holdfast/internal/config"
	"holdfast/internal/vault/keyring"
)

// KeyFile names a key file, and what opens it where a passphrase protects it.
type KeyFile struct {
	Path       string
	Passphrase config.Secret
}

// open reads a master key or a recovery identity.
func (f KeyFile) open() (keyring.Opener, error) {
	key, err := keyring.LoadAny(f.Path, f.Passphrase.Reveal())
	if errors.Is(err, keyring.ErrNoPassphrase) {
		err = fmt.Errorf("%w: give it in %s", err, config.EnvKeyPassphrase)
	}
	if err != nil {
		return nil, &StartError{err}
	}
	return key, nil
}

// KeyProtected reports whether a key file is there and needs a passphrase.
func KeyProtected(path string) bool {
	text, err := keyring.ReadFile(path)
	return err == nil && keyring.Protected(text)
}

// loadMaster reads the master key file.
func loadMaster(cfg config.Config) (*keyring.Master, error) {
	m, err := keyring.Load(cfg.MasterKeyFile, cfg.MasterKeyPassphrase.Reveal())
	return m, tellWays(err)
}

// tellWays adds to an error that a passphrase is missing how to give it.
func tellWays(err error) error {
	if errors.Is(err, keyring.ErrNoPassphrase) {
		return fmt.Errorf("%w: give it in %s, or in the file that master_key_passphrase_file names", err, config.EnvKeyPassphrase)
	}
	return err
}

// ExportKey writes the master key for safe keeping: under a passphrase of its
// own, or where that is empty, in the form that its file has.
func ExportKey(cfg config.Config, w io.Writer, passphrase string) error {
	text, plain, err := masterText(cfg)
	if err != nil {
		return err
	}
	if passphrase != "" {
		if text, err = keyring.Protect(plain, passphrase); err != nil {
			return err
		}
	}
	_, err = w.Write(text)
	return err
}

// masterText returns the master key file's text, as it is and without
// protection. That it holds a master key is sure then.
func masterText(cfg config.Config) (text, plain []byte, err error) {
	text, plain, err = keyring.LoadText(cfg.MasterKeyFile, cfg.MasterKeyPassphrase.Reveal())
	if err != nil {
		return nil, nil, &StartError{tellWays(err)}
	}
	return text, plain, nil
}

// ProtectKey puts the master key file under a passphrase, instead of the one
// that it may have; without one it takes the protection away. The key stays
// the same.
func ProtectKey(cfg config.Config, passphrase string) error {
	if err := haveData(cfg); err != nil {
		return err
	}
	held, err := holdKeys(cfg.Data, syscall.LOCK_SH)
	if err != nil {
		return err
	}
	defer held.Close()
	_, text, err := masterText(cfg)
	if err != nil {
		return err
	}
	if passphrase != "" {
		if text, err = keyring.Protect(text, passphrase); err != nil {
			return err
		}
	}
	path, err := filepath.EvalSymlinks(cfg.MasterKeyFile)
	if err != nil {
		return err
	}
	return keyring.Replace(path, text)
}

// NewRecoveryKey makes a recovery identity, writes it to a new file, and
// returns its recipient.
func NewRecoveryKey(path string) (string, error) {
	id, err := keyring.NewIdentity()
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := id.Export(&text); err != nil {
		return "", err
	}
	err = keyring.WriteNew(path, text.Bytes())
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%s exists already and is left as it is", path)
	}
	return id.Recipient().String(), err
}

// useKeys begins the use of the installation's keys.
func (c *core) useKeys() (err error) {
	if c.keysHeld, err = holdKeys(c.cfg.Data, syscall.LOCK_SH); err != nil {
		return err
	}
	for _, path := range []string{nextKey(c.cfg), oldKey(c.cfg)} {
		if there(path) {
			c.log.Warn("a change of the master key was broken off: stop the service and run holdfast key rotate", "file", path)
		}
	}
	c.recovery, err = recoveryOf(c.cfg)
	return err
}

func recoveryOf(cfg config.Config) ([]*keyring.Recipient, error) {
	var all []*keyring.Recipient
	for i, text := range cfg.RecoveryRecipients {
		r, err := keyring.ParseRecipient(text)
		if err != nil {
			return nil, startErrorf("recovery_recipients[%d]: %w", i, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// haveData fails where there is no data folder.
func haveData(cfg config.Config) error {
	if _, err := os.Stat(cfg.Data); err != nil {
		return startErrorf("data folder: %w", err)
	}
	return makePrivate(cfg.Data)
}

// holdKeys takes a lock that lasts as long as the file is open, and this
// process lives: shared by all that have the master key in memory or read its
// file, exclusive for what makes another key of it.
func holdKeys(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "keys.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, startErrorf("data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	for errors.Is(err, syscall.EINTR) {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	switch {
	case !errors.Is(err, syscall.EWOULDBLOCK):
		return nil, startErrorf("lock %s: %w", f.Name(), err)
	case how == syscall.LOCK_EX:
		return nil, startErrorf("the master key is in use: stop the service, and commands on %s, first", dir)
	}
	return nil, startErrorf("the master key is being changed (holdfast key rotate): wait until that has ended")
}

// keyProbe compares the master key file with the key in use. It remembers what
// it found in a file, so that a passphrase costs its work once.
type keyProbe struct {
	mu    sync.Mutex
	sum   [sha256.Size]byte
	found error
	known bool
}

// readMaster reads the master key file for use.
func (c *core) readMaster() (*keyring.Master, error) {
	text, plain, err := keyring.LoadText(c.cfg.MasterKeyFile, c.cfg.MasterKeyPassphrase.Reveal())
	if err != nil {
		return nil, tellWays(err)
	}
	c.probe.mu.Lock()
	defer c.probe.mu.Unlock()
	c.probe.sum, c.probe.known, c.probe.found = sha256.Sum256(text), true, nil
	return keyring.ParseMaster(plain)
}

// checkKey reads the master key file again and compares it with the one in
// use: a lost or replaced file is better noticed today than at a restore.
func (c *core) checkKey(context.Context) error {
	text, err := keyring.ReadFile(c.cfg.MasterKeyFile)
	if err != nil {
		return err
	}
	c.probe.mu.Lock()
	defer c.probe.mu.Unlock()
	if sum := sha256.Sum256(text); !c.probe.known || sum != c.probe.sum {
		c.probe.sum, c.probe.known, c.probe.found = sum, true, c.compareKey()
	}
	return c.probe.found
}

func (c *core) compareKey() error {
	m, err := loadMaster(c.cfg)
	if err != nil {
		return err
	}
	if m.ID() != c.master.ID() {
		return fmt.Errorf("%s holds another key than the one in use", c.cfg.MasterKeyFile)
	}
	return nil
}

// newMaster makes the text of a new master key's file.
func newMaster(passphrase string) ([]byte, error) {
	m, err := keyring.NewMaster(rand.Reader)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := m.Export(&text); err != nil {
		return nil, err
	}
	if passphrase == "" {
		return text.Bytes(), nil
	}
	return keyring.Protect(text.Bytes(), passphrase)
}
