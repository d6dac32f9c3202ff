package service_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
)

var vaultID = catalog.ID{0: 0xfe, 15: 1}

const vaultName = "fe000000000000000000000000000001"

// vault gives the member's project a vault.
func (x *site) vault() {
	x.t.Helper()
	x.update(func(ctx context.Context, tx *catalog.Tx) error {
		if err := tx.InsertVault(ctx, catalog.Vault{ID: vaultID, ProjectID: "p1"}); err != nil {
			return err
		}
		return tx.ReadyVault(ctx, vaultID)
	})
}

// care returns the vault's unfinished jobs.
func (x *site) care() (all []jobs.Job) {
	x.t.Helper()
	x.update(func(ctx context.Context, tx *catalog.Tx) (err error) {
		all, err = jobs.Unfinished(ctx, tx, vaultName)
		return err
	})
	return all
}

// removed purges a backup that was stored in the vault.
func (x *site) removed(id string) {
	x.t.Helper()
	x.update(func(ctx context.Context, tx *catalog.Tx) error {
		if err := tx.SetBackupRecord(ctx, id, catalog.Record{Vault: vaultID, Object: "record"}); err != nil {
			return err
		}
		if err := tx.SetBackupStatus(ctx, id, backup.Deleted, ""); err != nil {
			return err
		}
		return x.s.BackupDeleted(ctx, tx, "p1", id)
	})
}

// Many deletions make one collection, which waits for more, but not for ever.
func TestDeletionsAreCollectedTogether(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		x.vault()
		x.removed(x.backup("v", backup.Available, nil))
		first := x.care()
		if len(first) != 1 || first[0].Kind != service.JobVaultCollect || first[0].ProjectID != "p1" ||
			!first[0].RunAfter.Equal(x.clock.Now().Add(time.Second)) {
			t.Fatalf("jobs %+v", first)
		}
		var latest time.Time
		for range 30 { // of which each takes a second, the time that is put into the catalog
			id := x.backup("v", backup.Available, nil)
			if !x.clock.Now().Before(latest) && !latest.IsZero() {
				break
			}
			x.removed(id)
			all := x.care()
			if len(all) != 1 || all[0].ID != first[0].ID {
				t.Fatalf("jobs %+v", all)
			}
			latest = all[0].RunAfter
		}
		if wait := latest.Sub(first[0].CreatedAt); wait < time.Second || wait > 10*time.Second {
			t.Errorf("the collection waits for %v", wait)
		}

		// One that has begun may have looked before: another follows.
		x.update(func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE jobs SET state = 'running', worker = 'w'")
			return err
		})
		x.removed(x.backup("v", backup.Available, nil))
		if all := x.care(); len(all) != 2 {
			t.Errorf("jobs %+v", all)
		}
	})
}

func TestDeletionOfWhatWasNeverStored(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		x.vault()
		id := x.backup("v", backup.Deleted, nil)
		x.update(func(ctx context.Context, tx *catalog.Tx) error { return x.s.BackupDeleted(ctx, tx, "p1", id) })
		x.update(func(ctx context.Context, tx *catalog.Tx) error { return x.s.BackupDeleted(ctx, tx, "p1", id) })
		if all := x.care(); len(all) != 0 {
			t.Errorf("jobs %+v", all)
		}
	})
}

func TestDeletionsAtOnceQueueOneCollection(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		x.vault()
		var ids []string
		for range 8 {
			ids = append(ids, x.backup("v", backup.Available, nil))
		}
		var wg sync.WaitGroup
		for _, id := range ids {
			wg.Go(func() { x.removed(id) })
		}
		wg.Wait()
		if all := x.care(); len(all) != 1 {
			t.Errorf("%d jobs", len(all))
		}
	})
}

// The end of a session starts a collection that waits for it, at once; that of
// another one doesn't.
func TestSessionsEndIsFollowedByACollection(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		x.vault()
		session := func(n byte) catalog.SessionRef {
			return catalog.SessionRef{Vault: vaultID, ID: catalog.ID{n}, Token: 1}
		}
		begin := func(n byte) {
			x.update(func(ctx context.Context, tx *catalog.Tx) error {
				_, err := tx.BeginSession(ctx, catalog.BeginSession{ID: catalog.ID{n}, Vault: vaultID, Token: 1})
				return err
			})
		}
		end := func(n byte, committed bool) []jobs.Job {
			x.update(func(ctx context.Context, tx *catalog.Tx) error {
				s, _, err := tx.EndingSession(ctx, catalog.ID{n})
				if err == nil && committed {
					err = tx.CommitSession(ctx, session(n), []catalog.Pack{{ID: catalog.ID{n}, Generation: 1, Kind: 1, Object: "o"}}, nil)
				} else if err == nil {
					err = tx.AbandonSession(ctx, catalog.ID{n})
				}
				if err != nil {
					return err
				}
				return x.s.SessionEnded(ctx, tx, s, committed)
			})
			return x.care()
		}
		begin(1)
		if all := end(1, true); len(all) != 0 {
			t.Fatalf("nothing waited, and there are jobs %+v", all)
		}
		begin(2)
		begin(3)
		x.update(func(ctx context.Context, tx *catalog.Tx) error {
			if err := tx.OpenCollection(ctx, catalog.BeginSession{ID: catalog.ID{9}, Vault: vaultID, Token: 1}); err != nil {
				return err
			}
			_, err := tx.Condemn(ctx, session(9), []catalog.PackGen{{ID: catalog.ID{1}, Generation: 1}})
			return err
		})
		begin(4)
		if all := end(2, true); len(all) != 0 {
			t.Fatalf("an older session is still open, and there are jobs %+v", all)
		}
		x.removed(x.backup("v", backup.Available, nil)) // a collection is queued for later
		if all := end(3, false); len(all) != 1 || all[0].RunAfter.After(x.clock.Now()) {
			t.Fatalf("after the last older session: %+v", all)
		}
		x.update(func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE jobs SET state = 'done'")
			return err
		})
		if all := end(4, false); len(all) != 1 || !all[0].RunAfter.After(x.clock.Now()) {
			t.Fatalf("an abandoned session's leavings: %+v", all)
		}
	})
}

func TestDamageIsVerifiedOnce(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		x.vault()
		found := func(pack byte) {
			x.update(func(ctx context.Context, tx *catalog.Tx) error {
				return x.s.DamageFound(ctx, tx, "p1", vaultID, []catalog.Damage{{Pack: catalog.ID{pack}, What: "x"}},
					service.VaultWork{ReadData: true, Backups: []string{"b"}})
			})
		}
		found(1)
		found(1)
		found(2)
		all := x.care()
		if len(all) != 1 || all[0].Kind != service.JobVaultVerify {
			t.Fatalf("jobs %+v", all)
		}
		x.update(func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE jobs SET state = 'done'")
			return err
		})
		found(2)
		if all := x.care(); len(all) != 0 {
			t.Errorf("what is known is verified again: %+v", all)
		}
		operator := admin
		operator.ProjectID = "p1"
		damage, err := x.s.Damage(x.ctx(), operator)
		must(t, err)
		if len(damage) != 2 || damage[1].Pack != (catalog.ID{2}) {
			t.Errorf("damage %+v", damage)
		}
		stats, err := x.s.VaultStats(x.ctx(), operator)
		must(t, err)
		if stats.Damaged != 2 || stats.ID != vaultID {
			t.Errorf("stats %+v", stats)
		}
	})
}

// Each vault is maintained once an interval, however many processes ask.
func TestMaintenance(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		x.vault()
		const every = time.Hour
		ask := func() []string {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := x.s.Maintain(x.ctx(), every, 0.25); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			return x.kinds(vaultName)
		}
		want := func(what string, kinds ...string) {
			t.Helper()
			if got := ask(); !slices.Equal(got, kinds) {
				t.Errorf("%s: jobs %v", what, got)
			}
		}
		done := func() {
			x.update(func(ctx context.Context, tx *catalog.Tx) error {
				if _, err := tx.Exec(ctx, "UPDATE jobs SET state = 'done'"); err != nil {
					return err
				}
				return tx.TookCare(ctx, vaultID, catalog.Maintained)
			})
		}
		want("a new vault")
		x.clock.Advance(every)
		want("after an interval", service.JobVaultMaintain)
		if payload := string(x.care()[0].Payload); payload != `{"vault_id":"`+vaultName+`","sample":0.25}` {
			t.Errorf("payload %s", payload)
		}
		x.clock.Advance(every)
		want("before that has run", service.JobVaultMaintain)
		x.update(func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE jobs SET state = 'running'")
			return err
		})
		want("while it runs", service.JobVaultMaintain)
		done()
		want("when it is done")
		x.clock.Advance(every - time.Second)
		want("shortly before it is due")
		x.clock.Advance(time.Second)
		want("when it is due", service.JobVaultMaintain)
	})
}

func TestOperatorsJobs(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		operator := admin
		operator.ProjectID = "p1"
		_, err := x.s.StartCollect(x.ctx(), operator)
		wantReason(t, err, backup.NotFound, "")
		x.vault()
		_, err = x.s.StartVerify(x.ctx(), operator, service.VerifyOptions{Sample: 1.5})
		wantReason(t, err, backup.Invalid, "")
		_, err = x.s.StartVerify(x.ctx(), operator, service.VerifyOptions{Backups: []string{"none"}})
		wantReason(t, err, backup.NotFound, backup.BackupNotFound)
		x.removed(x.backup("v", backup.Available, nil)) // what is queued for that is done by the operator's
		job, err := x.s.StartCollect(x.ctx(), operator)
		must(t, err)
		x.removed(x.backup("v", backup.Available, nil)) // and a reserved job is not the queue's
		if all := x.care(); len(all) != 2 || all[0].ID != job.ID || all[0].Lane != all[1].Lane {
			t.Errorf("jobs %+v", all)
		}
		job, err = x.s.StartMaintain(x.ctx(), operator)
		must(t, err)
		if all := x.care(); len(all) != 2 || all[1].ID != job.ID {
			t.Errorf("jobs %+v", all)
		}
	})
}
