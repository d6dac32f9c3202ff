package app

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/config"
	"holdfast/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// disaster is an installation whose catalog gets lost.
type disaster struct {
	t     *testing.T
	cfg   config.Config
	disks map[string][]byte // by backup
	order []string
}

func newDisaster(t *testing.T, url string) *disaster {
	cfg := config.Default()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	cfg.Database.URL = config.Secret(url)
	return &disaster{t: t, cfg: cfg.Resolve(), disks: map[string][]byte{}}
}

// on runs fn on the data folder.
func (d *disaster) on(cfg config.Config, fn func(v *Vault)) {
	d.t.Helper()
	v, err := OpenVault(d.t.Context(), cfg, quiet)
	if err != nil {
		d.t.Fatal(err)
	}
	fn(v)
	if err := v.Close(); err != nil {
		d.t.Fatal(err)
	}
}

// backUp makes n backups of a disk that changes between them.
func (d *disaster) backUp(v *Vault, seed uint64, n int) {
	d.t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	disk := make([]byte, 2<<20+77)
	for i := range disk[:1<<20] {
		disk[i] = byte(rng.Uint32())
	}
	path := filepath.Join(d.t.TempDir(), "disk")
	for range n {
		for i := range 20_000 {
			disk[rng.IntN(len(disk)-20_000)/4096*4096+i%4096] = byte(rng.Uint32())
		}
		if err := os.WriteFile(path, disk, 0o600); err != nil {
			d.t.Fatal(err)
		}
		it, err := v.Backup(d.t.Context(), PathBackup{Volume: fmt.Sprintf("disk %d", seed), Path: path})
		if err != nil {
			d.t.Fatal(err)
		}
		d.disks[it.ID] = bytes.Clone(disk)
		d.order = append(d.order, it.ID)
	}
}

// restores requires that a backup restores to what it was, or fails.
func (d *disaster) restores(v *Vault, id string) error {
	d.t.Helper()
	want := d.disks[id]
	path := filepath.Join(d.t.TempDir(), "restored")
	if err := os.WriteFile(path, bytes.Repeat([]byte{5}, len(want)), 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := v.Restore(d.t.Context(), PathRestore{ID: id, Path: path}); err != nil {
		return err
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		d.t.Fatalf("backup %s restores to other bytes, %v", id, err)
	}
	return nil
}

// elsewhere returns a configuration of a new data folder on the same store and
// key.
func (d *disaster) elsewhere(url string) config.Config {
	cfg := config.Default()
	cfg.Data = filepath.Join(d.t.TempDir(), "new")
	cfg.Database.URL = config.Secret(url)
	cfg.Store, cfg.MasterKeyFile = d.cfg.Store, d.cfg.MasterKeyFile
	return cfg.Resolve()
}

func (d *disaster) request(cfg config.Config) RecoverRequest {
	return RecoverRequest{Config: cfg, Key: KeyFile{Path: cfg.MasterKeyFile}}
}

func (d *disaster) recover(cfg config.Config) RecoveredStore {
	d.t.Helper()
	found, err := Recover(d.t.Context(), d.request(cfg), quiet)
	if err != nil {
		d.t.Fatal(err)
	}
	return found
}

// objects returns the paths of the store's objects in a room.
func (d *disaster) objects(room string) []string {
	d.t.Helper()
	all, err := filepath.Glob(filepath.Join(d.cfg.Store.Local.Path, "objects", "vaults", "*", room, "*"))
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

func (d *disaster) list(v *Vault) []Item {
	d.t.Helper()
	all, err := v.List(d.t.Context(), "")
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// TestRecover loses a catalog after deletions and collections, on both
// databases, and has all of it again; the rows are what they were.
func TestRecover(t *testing.T) {
	for _, db := range []string{"sqlite", "postgres"} {
		t.Run(db, func(t *testing.T) {
			url, other := "", ""
			if db == "postgres" {
				url, other = pgtest.URL(t), pgtest.URL(t)
			}
			d := newDisaster(t, url)
			var before []Item
			d.on(d.cfg, func(v *Vault) {
				d.backUp(v, 1, 3)
				d.backUp(v, 2, 2)
				if _, err := v.Delete(t.Context(), "", d.order[1], false); err != nil {
					t.Fatal(err)
				}
				if _, err := v.Maintain(t.Context(), "", nil); err != nil {
					t.Fatal(err)
				}
				before = d.list(v)
			})
			cfg := d.elsewhere(other)
			found := d.recover(cfg)
			if !found.Complete() || found.Whole != 4 || len(found.Vaults) != 1 || found.Vaults[0].ProjectName != "admin" {
				t.Fatalf("%+v", found)
			}
			d.on(cfg, func(v *Vault) {
				if diff := cmp.Diff(before, d.list(v)); diff != "" {
					t.Errorf("the list (-was +is):\n%s", diff)
				}
				for _, b := range before {
					if err := d.restores(v, b.ID); err != nil {
						t.Error(err)
					}
				}
				d.held(v, before)
			})
		})
	}
}

// held requires that nothing is deleted until the operator confirms, and that
// what was deleted meanwhile goes then.
func (d *disaster) held(v *Vault, list []Item) {
	t := d.t
	t.Helper()
	records, packs := len(d.objects("records")), len(d.objects("packs"))
	gone := list[0].ID
	if d, err := v.Delete(t.Context(), "", gone, false); err != nil || d != (Deleted{ID: gone, Held: true}) {
		t.Fatalf("%+v, %v", d, err)
	}
	if got := d.list(v); len(got) != len(list)-1 {
		t.Errorf("%d backups are listed", len(got))
	}
	for range 2 {
		res, err := v.Collect(t.Context(), "", nil)
		if err != nil || !res.Held || res.Deleted+res.Orphans > 0 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	if len(d.objects("records")) != records || len(d.objects("packs")) != packs {
		t.Error("something was deleted before the confirmation")
	}
	d.backUp(v, 2, 1)
	done, err := v.ConfirmRecovery(t.Context())
	if err != nil || done != (Confirmed{Vaults: 1, Backups: 1}) {
		t.Fatalf("%+v, %v", done, err)
	}
	d.runAll(v)
	if n := len(d.objects("records")); n != records { // one less, one more
		t.Errorf("%d records are left of %d", n, records)
	}
	res, err := v.Maintain(t.Context(), "", nil)
	if err != nil || res.Held {
		t.Fatalf("%+v, %v", res, err)
	}
	for _, b := range d.list(v) {
		if err := d.restores(v, b.ID); err != nil {
			t.Error(err)
		}
	}
	report, err := v.Verify(t.Context(), VerifyRequest{ReadData: true})
	if err != nil || !report.OK() {
		t.Fatalf("%+v, %v", report, err)
	}
}

// runAll runs the jobs that are queued.
func (d *disaster) runAll(v *Vault) {
	d.t.Helper()
	for range 100 {
		more, err := v.queue.ProcessOne(d.t.Context(), v.worker.Handlers())
		if err != nil {
			d.t.Fatal(err)
		}
		if !more {
			return
		}
	}
	d.t.Fatal("jobs don't come to an end")
}

// TestRecoverSaysWhatIsLost removes objects of packs: the backups that need them
// are in error, with the ranges, and the others restore.
func TestRecoverSaysWhatIsLost(t *testing.T) {
	d := newDisaster(t, "")
	d.on(d.cfg, func(v *Vault) {
		d.backUp(v, 1, 2)
		before := d.objects("packs")
		d.backUp(v, 3, 1)
		for _, path := range d.objects("packs") {
			if !strings.Contains(strings.Join(before, " "), path) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	req := d.request(d.elsewhere(""))
	req.DryRun = true
	dry, err := Recover(t.Context(), req, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(req.Config.Data); !errors.Is(err, os.ErrNotExist) {
		t.Error("a dry run made the data folder")
	}
	if n := len(d.objects("incarnations")); n != 0 {
		t.Error("a dry run took the vault over")
	}
	found := d.recover(req.Config)
	dry.DryRun = false
	if diff := cmp.Diff(dry, found); diff != "" {
		t.Errorf("a dry run says something else (-dry +real):\n%s", diff)
	}
	if found.Complete() || found.Whole != 2 || found.Damaged != 1 || found.Vaults[0].LostPacks == 0 {
		t.Fatalf("%+v", found)
	}
	lost := found.Vaults[0].Damaged[0]
	if lost.ID != d.order[2] || lost.Lost == 0 || lost.Lost == lost.Size || len(lost.Ranges) == 0 {
		t.Fatalf("%+v", lost)
	}
	d.on(req.Config, func(v *Vault) {
		for i, id := range d.order {
			it, err := v.Show(t.Context(), "", id)
			if err != nil {
				t.Fatal(err)
			}
			if i < 2 {
				if err := d.restores(v, id); err != nil || it.Status != "available" {
					t.Errorf("%+v, %v", it, err)
				}
				continue
			}
			reason := fmt.Sprintf("Lost: %d of %d bytes: %d-", lost.Lost, lost.Size, lost.Ranges[0].Offset)
			if it.Status != "error" || !strings.HasPrefix(it.FailReason, reason) {
				t.Errorf("%+v", it)
			}
		}
		// The next backup holds the bytes again, and the lost one can be deleted.
		d.backUp(v, 3, 2)
		for _, id := range d.order[3:] {
			if err := d.restores(v, id); err != nil {
				t.Error(err)
			}
		}
		if _, err := v.ConfirmRecovery(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Delete(t.Context(), "", d.order[2], false); err != nil {
			t.Fatal(err)
		}
		d.runAll(v)
		if _, err := v.Maintain(t.Context(), "", nil); err != nil {
			t.Fatal(err)
		}
		for _, id := range append(d.order[:2:2], d.order[3:]...) {
			if err := d.restores(v, id); err != nil {
				t.Error(err)
			}
		}
	})
}
