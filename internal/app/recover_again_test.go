package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/vault"
)

// TestRecoverAgain breaks recoveries off: nobody takes what they left for a
// catalog, and another call makes it whole.
func TestRecoverAgain(t *testing.T) {
	d := newDisaster(t, "")
	d.on(d.cfg, func(v *Vault) { d.backUp(v, 1, 2) })
	cfg := d.elsewhere("")
	broken := errors.New("broken off")
	for _, step := range []vault.RecoverStep{vault.RecoverScan, vault.RecoverCheck} {
		ctx, cancel := context.WithCancelCause(t.Context())
		req := d.request(cfg)
		req.Progress = func(p RecoverProgress) {
			if p.Step == string(step) {
				cancel(broken)
			}
		}
		if _, err := Recover(ctx, req, quiet); err == nil {
			t.Fatal("it went on")
		}
		cancel(nil)
	}
	// One that ended before its last transaction.
	d.recover(cfg)
	db, err := catalog.Open(t.Context(), catalog.Config{Path: filepath.Join(cfg.Data, "catalog.db"), Clock: clock.Real{}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx *catalog.Tx) error {
		_, err := tx.Exec(t.Context(), "UPDATE vaults SET ready = 0")
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	var start *StartError
	if _, err := OpenVault(t.Context(), cfg, quiet); !errors.As(err, &start) || !strings.Contains(err.Error(), "broken off") {
		t.Fatal(err)
	}
	if found := d.recover(cfg); found.Whole != 2 {
		t.Fatalf("%+v", found)
	}
	d.on(cfg, func(v *Vault) {
		for _, id := range d.order {
			if err := d.restores(v, id); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := Recover(t.Context(), d.request(cfg), quiet); !errors.As(err, &start) || !strings.Contains(err.Error(), "has vaults already") {
		t.Fatal(err)
	}
	// A second one elsewhere takes over from the first.
	second := d.elsewhere("")
	d.recover(second)
	d.on(cfg, func(v *Vault) { d.refused(v) })
	d.on(second, func(v *Vault) { d.backUp(v, 1, 1) })
}

// refused requires that a catalog writes nothing, and restores.
func (d *disaster) refused(v *Vault) {
	t := d.t
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := v.Backup(t.Context(), PathBackup{Volume: "disk 1", Path: path})
	if err == nil || !strings.Contains(err.Error(), "the operator has to recover it") {
		t.Errorf("a backup: %v", err)
	}
	if _, err := v.Collect(t.Context(), "", nil); err == nil || !strings.Contains(err.Error(), vault.ErrOldCatalog.Error()) {
		t.Errorf("a collection: %v", err)
	}
	if err := d.restores(v, d.order[len(d.order)-1]); err != nil {
		t.Errorf("a restore: %v", err)
	}
}

// TestOldDump brings a catalog back from a copy of before a collection: it
// refuses to write, and a recovery has what the store has.
func TestOldDump(t *testing.T) {
	d := newDisaster(t, "")
	d.on(d.cfg, func(v *Vault) { d.backUp(v, 1, 2) })
	path := filepath.Join(d.cfg.Data, "catalog.db")
	dump, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d.on(d.cfg, func(v *Vault) {
		if _, err := v.Delete(t.Context(), "", d.order[0], false); err != nil {
			t.Fatal(err)
		}
		if res, err := v.Maintain(t.Context(), "", nil); err != nil || res.Freed == 0 {
			t.Fatalf("%+v, %v", res, err)
		}
		d.backUp(v, 1, 1)
	})
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, dump, 0o600); err != nil {
		t.Fatal(err)
	}
	d.on(d.cfg, func(v *Vault) {
		_, err := v.Collect(t.Context(), "", nil)
		if err == nil || !strings.Contains(err.Error(), vault.ErrOldCatalog.Error()) {
			t.Errorf("a collection: %v", err)
		}
		_, err = v.Backup(t.Context(), PathBackup{Volume: "disk 1", Path: path})
		if err == nil || !strings.Contains(err.Error(), "the operator has to recover it") {
			t.Errorf("a backup: %v", err)
		}
	})
	cfg := d.elsewhere("")
	if found := d.recover(cfg); !found.Complete() || found.Whole != 2 {
		t.Fatalf("%+v", found)
	}
	d.on(cfg, func(v *Vault) {
		for _, id := range d.order[1:] {
			if err := d.restores(v, id); err != nil {
				t.Error(err)
			}
		}
		d.backUp(v, 1, 1)
	})
}

// TestRecoverTwoVaultsOfOneProject has a store on which a second catalog was
// begun without a recovery: the backups of both are there, and can be deleted.
func TestRecoverTwoVaultsOfOneProject(t *testing.T) {
	d := newDisaster(t, "")
	project := ""
	d.on(d.cfg, func(v *Vault) {
		d.backUp(v, 1, 1)
		project = d.list(v)[0].Project
	})
	second := d.elsewhere("")
	if err := os.Mkdir(second.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Open(t.Context(), catalog.Config{Path: filepath.Join(second.Data, "catalog.db"), Clock: clock.Real{}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(), func(tx *catalog.Tx) error {
		_, err := tx.AddIdentityProject(t.Context(), catalog.IdentityProject{ID: project, Name: "admin"})
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	d.on(second, func(v *Vault) { d.backUp(v, 2, 1) })
	cfg := d.elsewhere("")
	if found := d.recover(cfg); !found.Complete() || found.Whole != 2 || len(found.Vaults) != 2 {
		t.Fatalf("%+v", found)
	}
	d.on(cfg, func(v *Vault) {
		if done, err := v.ConfirmRecovery(t.Context()); err != nil || done.Vaults != 2 {
			t.Fatalf("%+v, %v", done, err)
		}
		if list := d.list(v); len(list) != 2 || list[0].Project != list[1].Project {
			t.Fatalf("%+v", list)
		}
		for _, id := range d.order {
			if err := d.restores(v, id); err != nil {
				t.Error(err)
			}
		}
		d.backUp(v, 3, 1)
		for _, id := range d.order {
			if _, err := v.Delete(t.Context(), "", id, false); err != nil {
				t.Error(err)
			}
		}
		d.runAll(v)
		if n := len(d.objects("records")); n != 0 {
			t.Errorf("%d records are left", n)
		}
	})
}
