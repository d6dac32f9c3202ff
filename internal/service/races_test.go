package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/pgtest"
	"holdfast/internal/service"
)

// together runs functions at once and waits for them.
func together(fs ...func()) {
	var wg sync.WaitGroup
	ready := make(chan struct{})
	for _, f := range fs {
		wg.Go(func() {
			<-ready
			f()
		})
	}
	close(ready)
	wg.Wait()
}

// times runs a function n times at once and returns the errors.
func times(n int, f func(i int) error) []error {
	errs := make([]error, n)
	fs := make([]func(), n)
	for i := range fs {
		fs[i] = func() { errs[i] = f(i) }
	}
	together(fs...)
	return errs
}

// wantAllowed fails unless just n calls were allowed and the others refused
// for their quota.
func wantAllowed(t *testing.T, errs []error, n int, reason backup.Reason) {
	t.Helper()
	allowed := 0
	for _, err := range errs {
		if err == nil {
			allowed++
			continue
		}
		wantReason(t, err, backup.OverQuota, reason)
	}
	if allowed != n {
		t.Errorf("%d of %d were allowed, want %d", allowed, len(errs), n)
	}
}

func TestQuotasAtOnce(t *testing.T) {
	quotas := map[string]int64{
		backup.QuotaVolumes: 3, backup.QuotaGigabytes: 100, backup.QuotaSnapshots: 2,
		backup.QuotaBackups: 4, backup.QuotaBackupGigabytes: 100, backup.QuotaPerVolume: 10,
	}
	eachDB(t, options{quotas: quotas}, func(t *testing.T, x *site) {
		wantAllowed(t, times(8, func(int) error {
			_, err := x.s.CreateVolume(x.ctx(), member, service.NewVolume{SizeGiB: 2})
			return err
		}), 3, backup.VolumeCountExceeded)

		var volumes []string
		x.update(func(ctx context.Context, tx *catalog.Tx) error {
			volumes = nil
			all, err := tx.Volumes(ctx, catalog.Query{Limit: 10})
			for _, v := range all {
				volumes = append(volumes, v.ID)
			}
			return err
		})
		for _, v := range volumes {
			must(t, x.s.ResetVolume(x.ctx(), admin, v, backup.Available))
		}
		wantAllowed(t, times(6, func(i int) error {
			_, err := x.s.CreateSnapshot(x.ctx(), member, service.NewSnapshot{VolumeID: volumes[i%3]})
			return err
		}), 2, backup.SnapshotCountExceeded)

		id := volumes[0]
		x.backup(id, backup.Errored, nil) // it counts until it is deleted
		source := make([]string, 8)
		for i := range source {
			source[i] = x.backup(id, backup.Available, func(b *backup.Backup) { b.ProjectID = "p7" })
		}
		wantAllowed(t, times(8, func(int) error {
			_, _, err := x.s.CreatePathBackup(x.ctx(), member, service.PathBackup{Volume: "disk", Path: "/x", Bytes: 1})
			return err
		}), 3, backup.BackupCountExceeded)

		// 10 GiB are used: 2 snapshots and 3 volumes of 2 GiB.
		_, err := x.s.SetQuotas(x.ctx(), admin, "p1", map[string]int64{backup.QuotaGigabytes: 14}, false)
		must(t, err)
		wantAllowed(t, times(3, func(i int) error { return x.s.ExtendVolume(x.ctx(), member, volumes[i], 4) }), 2, backup.VolumeBytesExceeded)
		use, err := x.s.Limits(x.ctx(), member)
		must(t, err)
		if got := use[backup.QuotaGigabytes].InUse; got != 14 {
			t.Errorf("%d GiB in use, want 14", got)
		}
	})
}

func TestQuotasExactly(t *testing.T) {
	x := newSite(t, "", options{quotas: map[string]int64{
		backup.QuotaBackupGigabytes: 5, backup.QuotaPerVolume: 4, backup.QuotaGigabytes: 9,
	}})
	ask := func(size int64) error {
		_, err := x.s.CreateBackup(x.ctx(), member, service.NewBackup{VolumeID: x.volume(backup.Available, size)})
		return err
	}
	must(t, ask(3))
	err := ask(3)
	wantReason(t, err, backup.OverQuota, backup.BackupBytesExceeded)
	var e *backup.Error
	if errors.As(err, &e); !cmp.Equal(e.Args, map[string]string{"requested": "3", "limit": "5", "used": "3"}) {
		t.Errorf("arguments %v", e.Args)
	}
	must(t, ask(2)) // just full; 8 GiB of volumes
	_, err = x.s.CreateVolume(x.ctx(), member, service.NewVolume{SizeGiB: 5})
	wantReason(t, err, backup.OverQuota, backup.VolumeSizeExceeded)
	_, err = x.s.CreateVolume(x.ctx(), member, service.NewVolume{SizeGiB: 2})
	wantReason(t, err, backup.OverQuota, backup.VolumeBytesExceeded)
	_, err = x.s.CreateVolume(x.ctx(), member, service.NewVolume{SizeGiB: 1})
	must(t, err)
	_, err = x.s.RestoreBackup(x.ctx(), member, x.backup("v", backup.Available, nil), service.RestoreRequest{})
	wantReason(t, err, backup.OverQuota, backup.VolumeBytesExceeded)

	_, err = x.s.SetQuotas(x.ctx(), admin, "p1", map[string]int64{backup.QuotaGigabytes: 8}, false)
	wantReason(t, err, backup.Invalid, backup.QuotaBelowUse)
	_, err = x.s.SetQuotas(x.ctx(), admin, "p1", map[string]int64{"tapes": 8, "cds": 1}, false)
	wantReason(t, err, backup.Invalid, backup.QuotaKeyUnknown)
	_, err = x.s.SetQuotas(x.ctx(), admin, "p1", map[string]int64{backup.QuotaGigabytes: -2}, false)
	wantReason(t, err, backup.Invalid, "")
	all, err := x.s.SetQuotas(x.ctx(), admin, "p1", map[string]int64{backup.QuotaGigabytes: 8}, true)
	must(t, err)
	if all[backup.QuotaGigabytes] != 8 || all[backup.QuotaVolumes] != -1 {
		t.Errorf("limits %v", all)
	}
	must(t, x.s.ResetQuotas(x.ctx(), admin, "p1"))
	use, err := x.s.Quotas(x.ctx(), admin, "p1")
	must(t, err)
	if use[backup.QuotaGigabytes] != (backup.Usage{Limit: 9, InUse: 9}) {
		t.Errorf("usage %+v", use[backup.QuotaGigabytes])
	}
}

// What several write into one row at once is there afterwards.
func TestNothingIsLost(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		v := x.volume(backup.Available, 1)
		want := map[string]string{"k": "v"}
		errs := times(12, func(i int) error {
			switch i {
			case 0:
				n := "renamed"
				_, err := x.s.UpdateVolume(x.ctx(), member, v, service.Update{Name: &n})
				return err
			case 1:
				return x.s.SetBootable(x.ctx(), member, v, true)
			case 2:
				_, err := x.s.CreateBackup(x.ctx(), member, service.NewBackup{VolumeID: v})
				return err
			}
			_, err := x.s.SetVolumeMetadata(x.ctx(), member, v, map[string]string{fmt.Sprint(i): "x"}, false)
			return err
		})
		must(t, errors.Join(errs...))
		for i := 3; i < 12; i++ {
			want[fmt.Sprint(i)] = "x"
		}
		got, err := x.s.Volume(x.ctx(), member, v)
		must(t, err)
		if diff := cmp.Diff(want, got.Metadata); diff != "" {
			t.Error(diff)
		}
		if got.Name != "renamed" || !got.Bootable || got.Status != backup.BackingUp || got.PreviousStatus != backup.Available {
			t.Errorf("%+v", got)
		}
	})
}

// A backup is restored once at a time, and a volume backed up or restored to.
func TestOneAtATime(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		id := x.backup("v", backup.Available, nil)
		v := x.volume(backup.Available, 1)
		won := func(errs []error) int {
			t.Helper()
			n := 0
			for _, err := range errs {
				if err == nil {
					n++
				} else {
					wantReason(t, err, backup.Conflict, "")
				}
			}
			return n
		}
		if n := won(times(6, func(i int) error {
			_, err := x.s.RestoreBackup(x.ctx(), member, id, service.RestoreRequest{})
			return err
		})); n != 1 {
			t.Errorf("%d restores of one backup", n)
		}
		other := make([]string, 6)
		for i := range other {
			other[i] = x.backup(v, backup.Available, nil)
		}
		if n := won(times(6, func(i int) error {
			var err error
			switch i % 3 {
			case 0:
				_, err = x.s.RestoreBackup(x.ctx(), member, other[i], service.RestoreRequest{VolumeID: v})
			case 1:
				_, err = x.s.CreateBackup(x.ctx(), member, service.NewBackup{VolumeID: v, Incremental: true})
			case 2:
				err = x.s.ExtendVolume(x.ctx(), member, v, 2)
			}
			return err
		})); n != 1 {
			t.Errorf("%d things done to one volume", n)
		}
	})
}

// The number of items is bounded over all requests together.
func TestMetadataIsBounded(t *testing.T) {
	x := newSite(t, "", options{})
	v := x.volume(backup.Available, 1)
	s := x.snapshot(v, backup.Available)
	many := map[string]string{}
	for i := range 127 {
		many[fmt.Sprint(i)] = "x"
	}
	last, oneMore := map[string]string{"k": "v"}, map[string]string{"more": "x"}
	for _, set := range []func(meta map[string]string) error{
		func(m map[string]string) error {
			_, err := x.s.SetVolumeMetadata(x.ctx(), member, v, m, false)
			return err
		},
		func(m map[string]string) error {
			_, err := x.s.SetSnapshotMetadata(x.ctx(), member, s, m, false)
			return err
		},
	} {
		must(t, set(many))
		must(t, set(last))
		wantReason(t, set(oneMore), backup.Invalid, "")
	}
}

func TestUnknownZoneIsRefused(t *testing.T) {
	x := newSite(t, "", options{})
	_, err := x.s.CreateVolume(x.ctx(), member, service.NewVolume{SizeGiB: 1, Zone: "nowhere"})
	wantReason(t, err, backup.Invalid, "")
}

func TestMetadata(t *testing.T) {
	x := newSite(t, "", options{})
	v := x.volume(backup.Available, 1)
	got, err := x.s.SetVolumeMetadata(x.ctx(), member, v, map[string]string{"a": "1"}, false)
	must(t, err)
	if !cmp.Equal(got, map[string]string{"k": "v", "a": "1"}) {
		t.Errorf("merged: %v", got)
	}
	got, err = x.s.SetVolumeMetadata(x.ctx(), member, v, map[string]string{"b": "2"}, true)
	must(t, err)
	if !cmp.Equal(got, map[string]string{"b": "2"}) {
		t.Errorf("replaced: %v", got)
	}
	wantReason(t, x.s.DeleteVolumeMetadata(x.ctx(), member, v, "a"), backup.NotFound, backup.KeyNotFound)
	must(t, x.s.DeleteVolumeMetadata(x.ctx(), member, v, "b"))

	s := x.snapshot(v, backup.Available)
	_, err = x.s.SetSnapshotMetadata(x.ctx(), member, s, map[string]string{"a": "1"}, false)
	must(t, err)
	must(t, x.s.DeleteSnapshotMetadata(x.ctx(), member, s, "a"))
	wantReason(t, x.s.DeleteSnapshotMetadata(x.ctx(), member, s, "a"), backup.NotFound, backup.KeyNotFound)

	n, d := "n2", "d2"
	b := x.backup(v, backup.Available, nil)
	up, err := x.s.UpdateBackup(x.ctx(), member, b, service.Update{Name: &n, Description: &d, Metadata: map[string]string{"x": "y"}})
	must(t, err)
	if up.Name != n || up.Description != d || up.Metadata["x"] != "y" {
		t.Errorf("%+v", up)
	}
}

func TestLists(t *testing.T) {
	eachDB(t, options{}, func(t *testing.T, x *site) {
		var ids []string
		for i := range 7 {
			ids = append(ids, x.backup(fmt.Sprint("v", i%2), backup.Available, func(b *backup.Backup) {
				b.Name = fmt.Sprint("n", i%3)
				b.Metadata = map[string]string{"i": fmt.Sprint(i)}
			}))
		}
		x.backup("v0", backup.Available, func(b *backup.Backup) { b.ProjectID = "p2" })
		slices.Reverse(ids) // newest first

		get := func(c backup.Caller, l service.List) ([]string, int) {
			t.Helper()
			p, err := x.s.Backups(x.ctx(), c, l)
			must(t, err)
			var got []string
			for _, b := range p.Items {
				got = append(got, b.ID)
			}
			return got, p.Count
		}
		all, n := get(reader, service.List{Limit: 100, Count: true, AllProjects: true})
		if diff := cmp.Diff(ids, all); diff != "" || n != 7 {
			t.Errorf("count %d\n%s", n, diff)
		}
		if _, n := get(admin, service.List{Limit: 1, Count: true, AllProjects: true}); n != 8 {
			t.Errorf("an admin counts %d", n)
		}
		if got, n := get(reader, service.List{Limit: 0, Count: true}); len(got) != 0 || n != 7 {
			t.Errorf("limit 0 gives %v of %d", got, n)
		}
		var paged []string
		for marker := ""; ; {
			page, _ := get(reader, service.List{Limit: 3, Marker: marker})
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
			marker = page[len(page)-1]
		}
		if diff := cmp.Diff(ids, paged); diff != "" {
			t.Errorf("in pages: %s", diff)
		}
		if got, _ := get(reader, service.List{Limit: 2, Offset: 5}); !cmp.Equal(got, ids[5:]) {
			t.Errorf("from offset 5: %v", got)
		}
		got, n := get(reader, service.List{Limit: 1, Count: true, Filters: []service.Filter{
			{Field: "volume_id", Values: []string{"v0"}}, {Field: "name", Values: []string{"n0"}},
		}})
		if n != 2 || !cmp.Equal(got, []string{ids[0]}) { // of 0, 2, 4, 6 those that three divides
			t.Errorf("filtered: %v of %d", got, n)
		}
		if got, _ := get(reader, service.List{Limit: 9, Filters: []service.Filter{{Field: "metadata", Key: "i", Values: []string{"4"}}}}); !cmp.Equal(got, []string{ids[2]}) {
			t.Errorf("by metadata: %v", got)
		}
		if got, _ := get(reader, service.List{Limit: 9, Filters: []service.Filter{{Field: "nothing", Values: []string{"4"}}}}); len(got) != 0 {
			t.Errorf("by an unknown field: %v", got)
		}
		_, err := x.s.Backups(x.ctx(), foreign, service.List{Limit: 9, Marker: ids[0]})
		wantReason(t, err, backup.NotFound, backup.MarkerNotFound)
		_, err = x.s.Backups(x.ctx(), reader, service.List{Limit: 9, Sort: []service.Sort{{Field: "nothing"}}})
		wantReason(t, err, backup.Invalid, "")
	})
}

func TestManySnapshotsGoWithTheirVolume(t *testing.T) {
	x := newSite(t, "", options{})
	v := x.volume(backup.Available, 1)
	x.update(func(ctx context.Context, tx *catalog.Tx) error {
		for i := range 1100 {
			if err := tx.InsertSnapshot(ctx, backup.Snapshot{
				ID: fmt.Sprint("s", i), ProjectID: "p1", VolumeID: v, Status: backup.Available, SizeGiB: 1, CreatedAt: start,
			}); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, x.s.DeleteVolume(x.ctx(), member, v, service.Delete{Cascade: true}))
	_, err := x.s.Snapshots(x.ctx(), member, everything)
	must(t, err)
	p, err := x.s.Snapshots(x.ctx(), member, service.List{Limit: 1, Count: true, Filters: []service.Filter{
		{Field: "status", Values: []string{string(backup.Available)}},
	}})
	must(t, err)
	if p.Count != 0 {
		t.Errorf("%d snapshots stay without their volume", p.Count)
	}
}

func TestServices(t *testing.T) {
	x := newSite(t, "", options{})
	must(t, x.s.Beat(x.ctx()))
	all, err := x.s.Services(x.ctx(), admin)
	must(t, err)
	if len(all) != 3 || !all[0].Up || !all[0].Enabled || all[0].Binary != "cinder-backup" {
		t.Fatalf("%+v", all)
	}
	_, err = x.s.SetService(x.ctx(), admin, "host", "cinder-backup", false, "repairs")
	must(t, err)
	x.clock.Advance(61e9)
	all, err = x.s.Services(x.ctx(), admin)
	must(t, err)
	if all[0].Up || all[0].Enabled || all[0].DisabledReason != "repairs" {
		t.Errorf("%+v", all[0])
	}
	_, err = x.s.SetService(x.ctx(), admin, "elsewhere", "cinder-backup", false, "")
	wantReason(t, err, backup.NotFound, "")
}

// A deletion that waits for the backup's lock sees what was committed while it
// waited.
func TestDependentsSeenAfterWaiting(t *testing.T) {
	t.Parallel()
	x := newSite(t, pgtest.URL(t), options{strict: true})
	parent := x.backup("v", backup.Available, nil)
	deleted := make(chan error, 1)
	x.update(func(ctx context.Context, tx *catalog.Tx) error {
		b, err := tx.Backup(ctx, parent)
		if err != nil {
			return err
		}
		b.ID, b.ParentID = "child", parent
		if err := tx.InsertBackup(ctx, b); err != nil {
			return err
		}
		go func() { deleted <- x.s.DeleteBackup(ctx, member, parent, false) }()
		for waiting := int64(0); waiting == 0; {
			err := x.db.View(ctx, func(tx *catalog.Tx) error {
				return tx.QueryRow(ctx, "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").
					Scan(&waiting)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	wantReason(t, <-deleted, backup.Conflict, backup.BackupHasDependents)
}
