package worker_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault/format"
)

var operator = backup.Caller{UserID: "u0", ProjectID: alice.ProjectID, Roles: []string{"admin"}}

// largestPack returns the name of the largest object that holds blocks.
func (w *world) largestPack() string {
	w.t.Helper()
	var best blob.Info
	must(w.t, w.objects.List(w.ctx(), "", func(o blob.Info) error {
		if strings.Contains(o.Name, "/"+string(format.Packs)+"/") && o.Size > best.Size {
			best = o
		}
		return nil
	}))
	if best.Name == "" {
		w.t.Fatal("the store has no pack")
	}
	return best.Name
}

// flip changes a byte in the first group of an object.
func (w *world) flip(name string) {
	w.t.Helper()
	size, err := w.objects.Stat(w.ctx(), name)
	must(w.t, err)
	p := make([]byte, size)
	if _, err := w.objects.Get(w.ctx(), name, p, 0); err != nil {
		w.t.Fatal(err)
	}
	p[200] ^= 1
	must(w.t, w.objects.Delete(w.ctx(), name))
	must(w.t, w.objects.Put(w.ctx(), name, io.NewSectionReader(bytes.NewReader(p), 0, size)))
}

func (w *world) damage() []catalog.Damage {
	w.t.Helper()
	all, err := w.service.Damage(w.ctx(), operator)
	must(w.t, err)
	return all
}

// unrestorable restores a backup, which fails.
func (w *world) unrestorable(id string) {
	w.t.Helper()
	w.tick()
	r, err := w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{})
	must(w.t, err)
	w.runOne(service.JobBackupRestore)
	w.wantVolume(r.VolumeID, backup.Errored)
}

// What a restore finds damaged is marked and verified once. A later backup of
// the same data stores it again, and with that the earlier one is healed.
func TestDamageIsHealedByALaterBackup(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*world, string){
		"flipped": (*world).flip,
		"missing": func(w *world, name string) { must(w.t, w.objects.Delete(w.ctx(), name)) },
	} {
		t.Run(name, func(t *testing.T) {
			eachDB(t, options{}, func(t *testing.T, w *world) {
				vol, content := w.filled(1)
				first := w.backUp(alice, service.NewBackup{VolumeID: vol})
				harm(w, w.largestPack())
				for range 3 {
					w.unrestorable(first)
				}
				if len(w.damage()) == 0 {
					t.Fatal("nothing is marked as damaged")
				}
				if n := w.count("SELECT COUNT(*) FROM jobs WHERE kind = $1", service.JobVaultVerify); n != 1 {
					t.Errorf("%d verifications for one damage", n)
				}
				w.runAll()
				v := w.lastReport(service.JobVaultVerify).Verify
				if v == nil || len(v.DamagedBackups) != 1 || v.DamagedBackups[0].Backup != first || v.DamagedBackups[0].Bytes == 0 {
					t.Fatalf("the verification says %+v", v)
				}
				h := w.lastReport(service.JobVaultHeal).Heal
				if h == nil || len(h.Damaged) == 0 || h.Blocks != 0 {
					t.Errorf("healing from nothing says %+v", h)
				}
				if len(w.damage()) == 0 {
					t.Error("what is still damaged is not marked any more")
				}
				w.wantBackup(first, backup.Available)

				second := w.backUp(alice, service.NewBackup{VolumeID: vol, Incremental: true})
				if h := w.lastReport(service.JobVaultHeal).Heal; h == nil || h.Whole == 0 || len(h.Damaged) != 0 || h.Blocks == 0 {
					t.Errorf("healing says %+v", h)
				}
				if left := w.damage(); len(left) != 0 {
					t.Errorf("still damaged: %+v", left)
				}
				w.wantContent(w.restored(alice, first), content)
				w.wantContent(w.restored(alice, second), content)
				w.wantTidy()
				w.wantNoOrphans()
			})
		})
	}
}

// A backup that is deleted while it is verified vanishes at once, and its data
// goes when the verification has ended.
func TestVerifiedBackupIsDeleted(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		gone := w.backUp(alice, service.NewBackup{VolumeID: vol})
		w.scribble(vol, content, 2)
		kept := w.backUp(alice, service.NewBackup{VolumeID: vol, Incremental: true})
		job, err := w.service.StartVerify(w.ctx(), operator, service.VerifyOptions{ReadData: true})
		must(t, err)
		w.during(fault.Get, "", func() {
			w.delete(gone, false)
			for w.runOne(service.JobBackupDelete) {
			}
			if n := w.records(gone); n != 1 {
				t.Errorf("the backup that is verified has %d records", n)
			}
		})
		ended, err := w.queue.RunReserved(w.ctx(), job.ID, w.handlers)
		must(t, err)
		v := w.lastReport(service.JobVaultVerify).Verify
		if ended.State != jobs.Done || v == nil || !v.OK() || v.Backups != 2 || v.Odds.Read != v.Odds.Groups || v.Odds.Read == 0 {
			t.Errorf("the job is %s and says %+v", ended.State, v)
		}
		w.runAll()
		w.wantNoBackup(gone)
		w.wantTidy()
		w.wantNoOrphans()
		w.wantContent(w.restored(alice, kept), content)
		var row catalog.Vault
		w.view(func(ctx context.Context, tx *catalog.Tx) (err error) {
			row, err = tx.VaultOf(ctx, alice.ProjectID)
			return err
		})
		if row.VerifiedAt.IsZero() || row.CollectedAt.IsZero() {
			t.Errorf("vault %+v", row)
		}
	})
}

// Maintenance collects, and has a sample verified.
func TestMaintenanceOfAVault(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		var last string
		for i := range uint64(3) {
			last = w.backUp(alice, service.NewBackup{VolumeID: vol, Incremental: i > 0})
			if i < 2 {
				w.scribble(vol, content, 2+i)
			}
		}
		const day = 24 * 60 * 60 * 1e9
		w.clock.Advance(day)
		must(t, w.service.Maintain(w.ctx(), day, 0.5))
		w.runAll()
		if r := w.lastReport(service.JobVaultMaintain).Collect; r == nil || r.Waiting || r.Backups != 3 {
			t.Errorf("the maintenance says %+v", r)
		}
		if v := w.lastReport(service.JobVaultVerify).Verify; v == nil || !v.OK() || v.Backups != 3 {
			t.Errorf("the verification says %+v", v)
		}
		w.wantTidy()
		w.wantNoOrphans()
		w.wantContent(w.restored(alice, last), content)
	})
}
