package service_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/jobs"
	"holdfast/internal/pgtest"
	"holdfast/internal/service"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var (
	reader  = backup.Caller{UserID: "u1", ProjectID: "p1", Roles: []string{"reader"}}
	member  = backup.Caller{UserID: "u2", ProjectID: "p1", Roles: []string{"member"}}
	admin   = backup.Caller{UserID: "u3", ProjectID: "p9", Roles: []string{"admin"}}
	nobody  = backup.Caller{UserID: "u4", ProjectID: "p1", Roles: []string{"auditor"}}
	foreign = backup.Caller{UserID: "u5", ProjectID: "p2", Roles: []string{"member"}}
	unbound = backup.Caller{UserID: "u6", Roles: []string{"member", "admin"}}
)

// site is a service and the catalog below it; no job runs.
type site struct {
	t     testing.TB
	s     *service.Service
	db    *catalog.DB
	queue *jobs.Queue
	clock *clock.Fake
}

type options struct {
	quotas map[string]int64
	strict bool // backups that others continue can't be deleted
}

func newSite(t testing.TB, url string, o options) *site {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	x := &site{t: t, clock: clock.NewFake(start)}
	cfg := catalog.Config{URL: url, Clock: x.clock, Log: log}
	if url == "" {
		cfg.Path = filepath.Join(t.TempDir(), "catalog.db")
	}
	var err error
	x.db, err = catalog.Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { must(t, x.db.Close()) })
	x.queue, err = jobs.Open(t.Context(), jobs.Config{
		DB: x.db, Clock: x.clock, Log: log, WorkerDir: filepath.Join(t.TempDir(), "workers"), Host: "host",
	})
	must(t, err)
	t.Cleanup(func() { must(t, x.queue.Close(context.Background())) })
	x.s = service.New(service.Config{
		DB: x.db, Queue: x.queue, Clock: x.clock, NewID: uuid.NewString, Log: log, Host: "host",
		Types: []backup.VolumeType{{ID: "t1", Name: "local"}, {ID: "t2", Name: "other"}}, Zone: "nova",
		Quotas: o.quotas, RefuseDeleteWithDependents: o.strict,
	})
	return x
}

func eachDB(t *testing.T, o options, f func(*testing.T, *site)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) { f(t, newSite(t, "", o)) })
	t.Run("postgres", func(t *testing.T) { f(t, newSite(t, pgtest.URL(t), o)) })
}

func (x *site) ctx() context.Context { return context.WithoutCancel(x.t.Context()) }

func (x *site) update(f func(context.Context, *catalog.Tx) error) {
	x.t.Helper()
	ctx := x.ctx()
	must(x.t, x.db.Update(ctx, func(tx *catalog.Tx) error { return f(ctx, tx) }))
}

// volume puts a volume of the member's project into the catalog.
func (x *site) volume(status backup.Status, size int64) string {
	x.t.Helper()
	v := backup.Volume{
		ID: uuid.NewString(), ProjectID: "p1", Name: "vol", Description: "text", Status: status, SizeGiB: size,
		Type: "local", Zone: "nova", Metadata: map[string]string{"k": "v"}, CreatedAt: x.clock.Advance(time.Second),
	}
	x.update(func(ctx context.Context, tx *catalog.Tx) error { return tx.InsertVolume(ctx, v) })
	return v.ID
}

func (x *site) snapshot(volume string, status backup.Status) string {
	x.t.Helper()
	s := backup.Snapshot{
		ID: uuid.NewString(), ProjectID: "p1", VolumeID: volume, Name: "snap", Status: status, SizeGiB: 1,
		CreatedAt: x.clock.Advance(time.Second),
	}
	x.update(func(ctx context.Context, tx *catalog.Tx) error { return tx.InsertSnapshot(ctx, s) })
	return s.ID
}

// backup puts a backup into the catalog, with a record where it is available.
func (x *site) backup(volume string, status backup.Status, change func(*backup.Backup)) string {
	x.t.Helper()
	now := x.clock.Advance(time.Second)
	b := backup.Backup{
		ID: uuid.NewString(), ProjectID: "p1", VolumeID: volume, Name: "back", Status: status, SizeGiB: 1,
		Bytes: backup.GiB, DataTimestamp: now, CreatedAt: now,
	}
	if change != nil {
		change(&b)
	}
	x.update(func(ctx context.Context, tx *catalog.Tx) error {
		if err := tx.InsertBackup(ctx, b); err != nil || status != backup.Available {
			return err
		}
		return tx.SetBackupRecord(ctx, b.ID, catalog.Record{Object: "record"})
	})
	return b.ID
}

func (x *site) volumeStatus(id string) backup.Status {
	x.t.Helper()
	v, err := x.s.Volume(x.ctx(), admin, id)
	must(x.t, err)
	return v.Status
}

func (x *site) backupStatus(id string) backup.Status {
	x.t.Helper()
	b, err := x.s.Backup(x.ctx(), admin, id)
	must(x.t, err)
	return b.Status
}

// kinds returns the kinds of a resource's unfinished jobs.
func (x *site) kinds(subject string) []string {
	x.t.Helper()
	var kinds []string
	x.update(func(ctx context.Context, tx *catalog.Tx) error {
		kinds = nil
		all, err := jobs.Unfinished(ctx, tx, subject)
		for _, j := range all {
			kinds = append(kinds, j.Kind)
		}
		return err
	})
	return kinds
}

// wantReason fails unless err is of a kind and reason; an empty reason is any.
func wantReason(t testing.TB, err error, kind backup.Kind, reason backup.Reason) {
	t.Helper()
	if err == nil || backup.KindOf(err) != kind || reason != "" && backup.ReasonOf(err) != reason {
		t.Fatalf("error %q (%s, %q), want %s, %q", err, backup.KindOf(err), backup.ReasonOf(err), kind, reason)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
