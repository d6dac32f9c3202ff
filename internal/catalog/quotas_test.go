package catalog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
)

var errOverQuota = errors.New("over quota")

// Two pools, as of two processes, ask for more than there is: what a project
// may have is given out, and no more.
func TestQuotaIsNeverPassed(t *testing.T) {
	eachConfig(t, func(t *testing.T, cfg catalog.Config) {
		dbs := []*catalog.DB{open(t, cfg), open(t, cfg)}
		const limit = 7
		var mu sync.Mutex
		given := 0
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				for j := range 4 {
					err := tryUpdate(t, dbs[i%2], func(ctx context.Context, tx *catalog.Tx) error {
						if err := tx.LockProject(ctx, "p"); err != nil {
							return err
						}
						use, err := tx.Use(ctx, "p")
						if err != nil {
							return err
						}
						if use[backup.QuotaVolumes] == limit {
							return errOverQuota
						}
						v := aVolume(string(rune('a'+i)) + string(rune('a'+j)))
						return tx.InsertVolume(ctx, v)
					})
					switch {
					case err == nil:
						mu.Lock()
						given++
						mu.Unlock()
					case !errors.Is(err, errOverQuota):
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if given != limit {
			t.Errorf("%d given, the limit is %d", given, limit)
		}
	})
}

func TestUse(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			other, gone := aVolume("v2"), aBackup("gone")
			other.ProjectID, gone.Status = "q", backup.Deleted
			return errors.Join(tx.InsertVolume(ctx, aVolume("v")), tx.InsertVolume(ctx, other),
				tx.InsertSnapshot(ctx, aSnapshot("s")), tx.InsertBackup(ctx, aBackup("b")), tx.InsertBackup(ctx, gone))
		})
		for project, want := range map[string]map[string]int64{
			"p": {
				backup.QuotaVolumes: 1, backup.QuotaSnapshots: 1, backup.QuotaGigabytes: 7 + 3,
				backup.QuotaBackups: 1, backup.QuotaBackupGigabytes: 5,
			},
			"": {
				backup.QuotaVolumes: 2, backup.QuotaSnapshots: 1, backup.QuotaGigabytes: 7 + 7 + 3,
				backup.QuotaBackups: 1, backup.QuotaBackupGigabytes: 5,
			},
			"none": {
				backup.QuotaVolumes: 0, backup.QuotaSnapshots: 0, backup.QuotaGigabytes: 0,
				backup.QuotaBackups: 0, backup.QuotaBackupGigabytes: 0,
			},
		} {
			view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				use, err := tx.Use(ctx, project)
				diff(t, "use of "+project, want, use)
				return err
			})
		}
	})
}

func TestLimits(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		for _, c := range []struct {
			do   step
			want map[string]int64
		}{
			{func(context.Context, *catalog.Tx) error { return nil }, map[string]int64{}},
			{func(ctx context.Context, tx *catalog.Tx) error {
				return tx.SetLimits(ctx, "p", map[string]int64{"volumes": 1, "backups": -1})
			}, map[string]int64{"volumes": 1, "backups": -1}},
			{func(ctx context.Context, tx *catalog.Tx) error {
				return tx.SetLimits(ctx, "p", map[string]int64{"volumes": 2})
			}, map[string]int64{"volumes": 2, "backups": -1}},
			{func(ctx context.Context, tx *catalog.Tx) error { return tx.ResetLimits(ctx, "other") }, map[string]int64{"volumes": 2, "backups": -1}},
			{func(ctx context.Context, tx *catalog.Tx) error { return tx.ResetLimits(ctx, "p") }, map[string]int64{}},
		} {
			update(t, db, c.do)
			view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				got, err := tx.Limits(ctx, "p")
				diff(t, "limits", c.want, got)
				return err
			})
		}
	})
}

func TestServices(t *testing.T) {
	eachConfig(t, func(t *testing.T, cfg catalog.Config) {
		now := clock.NewFake(start)
		cfg.Clock = now
		db := open(t, cfg)
		beat := func(binary, zone string) {
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				return tx.BeatService(ctx, catalog.Service{Binary: binary, Host: "h", Zone: zone})
			})
		}
		beat("b", "z")
		beat("a", "z")
		now.Advance(time.Minute)
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			got, err := tx.SetService(ctx, catalog.Service{Binary: "b", Host: "h", Disabled: true, Reason: "repair"})
			diff(t, "set", catalog.Service{Binary: "b", Host: "h", Zone: "z", Disabled: true, Reason: "repair", UpdatedAt: start}, got)
			return err
		})
		beat("b", "z2")
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			all, err := tx.Services(ctx)
			diff(t, "services", []catalog.Service{
				{Binary: "a", Host: "h", Zone: "z", UpdatedAt: start},
				{Binary: "b", Host: "h", Zone: "z2", Disabled: true, Reason: "repair", UpdatedAt: start.Add(time.Minute)},
			}, all)
			return err
		})
		err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.SetService(ctx, catalog.Service{Binary: "x", Host: "h"})
			return err
		})
		if backup.KindOf(err) != backup.NotFound {
			t.Errorf("unknown service: %v", err)
		}
	})
}
