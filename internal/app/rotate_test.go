package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/local"
	"holdfast/internal/catalog"
	"holdfast/internal/config"
	"holdfast/internal/vault/keyring"
)

var quiet = slog.New(slog.DiscardHandler)

// installation makes a data folder with one backup.
func installation(t *testing.T) (cfg config.Config, backup string) {
	t.Helper()
	cfg = config.Default()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	cfg = cfg.Resolve()
	v, err := OpenVault(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, []byte("content of the disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	it, err := v.Backup(t.Context(), PathBackup{Volume: "disk", Path: path})
	if err := errors.Join(err, v.Close()); err != nil {
		t.Fatal(err)
	}
	return cfg, it.ID
}

// clone copies an installation.
func clone(t *testing.T, cfg config.Config) config.Config {
	t.Helper()
	to := config.Default()
	to.Data = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to.Data, os.DirFS(cfg.Data)); err != nil {
		t.Fatal(err)
	}
	to = to.Resolve()
	for path, mode := range map[string]os.FileMode{to.Data: 0o700, to.MasterKeyFile: 0o600, cloudsPath(to): 0o600} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// reads makes sure that the backup can be read with the key file that is
// there.
func reads(t *testing.T, when string, cfg config.Config, backup string) {
	t.Helper()
	s, err := OpenStore(t.Context(), cfg.Store.Local.Path, KeyFile{Path: cfg.MasterKeyFile}, quiet)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	path := filepath.Join(t.TempDir(), "restored")
	if err := os.WriteFile(path, make([]byte, len("content of the disk")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(t.Context(), PathRestore{ID: backup, Path: path}); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "content of the disk" {
		t.Fatalf("%s: %q, %v", when, b, err)
	}
}

func keyID(t *testing.T, cfg config.Config) [16]byte {
	t.Helper()
	m, err := keyring.Load(cfg.MasterKeyFile, "")
	if err != nil {
		t.Fatal(err)
	}
	return m.ID()
}

// A rotation may end at any call of the store: the key file that is there
// opens everything, and another run ends it.
func TestRotationAfterCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("many rotations")
	}
	base, backup := installation(t)
	before := keyID(t, base)
	failed := errors.New("failed")
	for _, op := range []fault.Op{fault.Put, fault.List, fault.Get, fault.Delete} {
		for nth := 1; ; nth++ {
			cfg := clone(t, base)
			c, err := openForRotation(t.Context(), cfg, quiet)
			if err == nil {
				c.store = fault.New(c.store, fault.Fault{Op: op, Nth: nth, Since: true, Err: failed, Late: nth%2 == 0})
				_, err = c.rotateKey(t.Context(), nil)
			}
			if cerr := c.close(); cerr != nil {
				t.Fatal(cerr)
			}
			if err != nil && !errors.Is(err, failed) {
				t.Fatalf("%s %d: %v", op, nth, err)
			}
			reads(t, string(op), cfg, backup)
			if err == nil {
				break
			}
			if _, err := RotateKey(t.Context(), cfg, quiet, nil); err != nil {
				t.Fatalf("%s %d, again: %v", op, nth, err)
			}
			settled(t, cfg, before)
			reads(t, string(op)+", again", cfg, backup)
		}
	}
}

// settled makes sure that a rotation left nothing, and no way for the old key.
func settled(t *testing.T, cfg config.Config, before [16]byte) {
	t.Helper()
	if now := keyID(t, cfg); now == before {
		t.Error("the key is the same")
	}
	if there(nextKey(cfg)) || there(oldKey(cfg)) {
		t.Error("a rotation left a file")
	}
	store, err := local.Open(cfg.Store.Local.Path)
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for name := range blobtest.List(t, store, "") {
		if strings.Contains(name, "/keys/") {
			keys++
		}
	}
	if keys != 2 {
		t.Errorf("%d key objects", keys)
	}
}

// It may also end between two steps at the key files.
func TestRotationBetweenFiles(t *testing.T) {
	base, backup := installation(t)
	before := keyID(t, base)
	for what, prepare := range map[string]func(config.Config) error{
		"the new file is there": func(cfg config.Config) error {
			_, err := keyring.Create(nextKey(cfg), "", &counter{})
			return err
		},
		"the old file has two names": func(cfg config.Config) error {
			_, err := keyring.Create(nextKey(cfg), "", &counter{})
			return errors.Join(err, os.Link(cfg.MasterKeyFile, oldKey(cfg)))
		},
	} {
		cfg := clone(t, base)
		if err := prepare(cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := RotateKey(t.Context(), cfg, quiet, nil); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		settled(t, cfg, before)
		reads(t, what, cfg, backup)
	}

	cfg := clone(t, base)
	for _, path := range []string{nextKey(cfg), oldKey(cfg)} {
		if _, err := keyring.Create(path, "", &counter{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := RotateKey(t.Context(), cfg, quiet, nil); err == nil || keyID(t, cfg) != before {
		t.Errorf("a foreign .old file: %v", err)
	}
	reads(t, "a foreign .old file", cfg, backup)
}

// counter is a source of bytes that are not random at all.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

// Whoever has the key in memory keeps a rotation away, and the other way
// round.
func TestRotationIsAlone(t *testing.T) {
	cfg, _ := installation(t)
	v, err := OpenVault(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var start *StartError
	if _, err := RotateKey(t.Context(), cfg, quiet, nil); !errors.As(err, &start) {
		t.Errorf("while a command runs: %v", err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := openForRotation(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := OpenVault(t.Context(), cfg, quiet); !errors.As(err, &start) {
		t.Errorf("while the key is changed: %v, %v", v, err)
	}
	if err := ProtectKey(cfg, "x"); !errors.As(err, &start) {
		t.Errorf("a passphrase while the key is changed: %v", err)
	}
	beat(t, c, "elsewhere")
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := RotateKey(t.Context(), cfg, quiet, nil); !errors.As(err, &start) {
		t.Errorf("while another host's service runs: %v", err)
	}
}

// beat says that a host's service is up.
func beat(t *testing.T, c *core, host string) {
	t.Helper()
	err := c.db.Update(t.Context(), func(tx *catalog.Tx) error {
		return tx.BeatService(t.Context(), catalog.Service{Binary: "cinder-backup", Host: host, Zone: "nova"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A service that starts wraps all vaults for the recipients that it has now,
// and readiness notices another key's file, whatever protects it.
func TestKeysOfAService(t *testing.T) {
	cfg, _ := installation(t)
	identity := filepath.Join(t.TempDir(), "identity")
	recipient, err := NewRecoveryKey(identity)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RecoveryRecipients = []string{recipient}
	cfg.Listen, cfg.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.MasterKeyPassphrase = "sesame"
	a, err := New(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	opens := func() bool {
		_, err := OpenStore(t.Context(), cfg.Store.Local.Path, KeyFile{Path: identity}, quiet)
		return err == nil
	}
	for deadline := time.Now().Add(time.Minute); !opens() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	if !opens() {
		t.Error("the recovery identity does not open the vaults")
	}
	if err := a.checkKey(t.Context()); err != nil {
		t.Errorf("at first: %v", err)
	}
	if err := ProtectKey(cfg, "sesame"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := a.checkKey(t.Context()); err != nil {
			t.Errorf("under a passphrase: %v", err)
		}
	}
	foreign := filepath.Join(t.TempDir(), "foreign")
	if _, err := keyring.Create(foreign, "", &counter{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(foreign, cfg.MasterKeyFile); err != nil {
		t.Fatal(err)
	}
	if err := a.checkKey(t.Context()); err == nil {
		t.Error("another key's file is not noticed")
	}
	stop()
	if err := errors.Join(<-ended, a.Close()); err != nil {
		t.Error(err)
	}
}
