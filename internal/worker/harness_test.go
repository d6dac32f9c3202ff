package worker_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/jobs"
	"holdfast/internal/pgtest"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/keyring"
	"holdfast/internal/volume"
	"holdfast/internal/worker"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// world is a whole installation in this process, without faces.
type world struct {
	t       testing.TB
	db      *catalog.DB
	clock   *clock.Fake
	objects *mem.Store
	store   *fault.Store // over objects
	master  *keyring.Master
	volumes *volume.Folder
	dir     string // of the volumes
	locks   string // of the workers
	counted *counted
	hasty   bool
	stop    context.CancelFunc // ends the process in an orderly way

	process
}

// process is what ends with a process.
type process struct {
	queue    *jobs.Queue
	service  *service.Service
	worker   *worker.Worker
	handlers map[string]jobs.Handler
}

type options struct {
	url     string // of a PostgreSQL database; empty: SQLite
	volumes string // folder; empty: a temporary one
	quotas  map[string]int64
	hasty   bool // vaults see time fly, and make a checkpoint again and again
}

// counted is a worker.Metrics.
type counted struct{ read, fresh, stored, freed atomic.Int64 }

func (c *counted) Bytes(read, fresh, stored int64) {
	c.read.Add(read)
	c.fresh.Add(fresh)
	c.stored.Add(stored)
}

func (c *counted) Freed(n int64) { c.freed.Add(n) }

func newWorld(t testing.TB, o options) *world {
	t.Helper()
	w := &world{t: t, hasty: o.hasty, clock: clock.NewFake(start), objects: mem.New(), counted: &counted{}}
	w.store = fault.New(w.objects)
	cfg := catalog.Config{URL: o.url, Clock: w.clock, Log: quiet()}
	if o.url == "" {
		cfg.Path = filepath.Join(t.TempDir(), "catalog.db")
	}
	var err error
	w.db, err = catalog.Open(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { must(t, w.db.Close()) })
	w.master, err = keyring.NewMaster(rand.Reader)
	must(t, err)
	if w.dir = o.volumes; w.dir == "" {
		w.dir = t.TempDir()
	}
	w.volumes, err = volume.OpenFolder(w.dir)
	must(t, err)
	w.locks = filepath.Join(t.TempDir(), "workers")
	w.process = w.startProcess(o)
	return w
}

// eachDB runs a test on both databases.
func eachDB(t *testing.T, o options, f func(*testing.T, *world)) {
	t.Run("sqlite", func(t *testing.T) { f(t, newWorld(t, o)) })
	t.Run("postgres", func(t *testing.T) {
		o := o
		o.url = pgtest.URL(t)
		f(t, newWorld(t, o))
	})
}

// startProcess returns another process on the same catalog, store and volumes.
func (w *world) startProcess(o options) process {
	w.t.Helper()
	queue, err := jobs.Open(w.t.Context(), jobs.Config{
		DB: w.db, Clock: w.clock, Log: quiet(), WorkerDir: w.locks, Host: "host",
		Poll: 2 * time.Millisecond, Heartbeat: 5 * time.Millisecond,
	})
	must(w.t, err)
	w.t.Cleanup(func() {
		if err := queue.Close(context.Background()); err != nil && !errors.Is(err, os.ErrClosed) {
			w.t.Error(err)
		}
	})
	p := process{queue: queue}
	p.service = service.New(service.Config{
		DB: w.db, Queue: queue, Clock: w.clock, NewID: uuid.NewString, Log: quiet(), Host: "host",
		Types: []backup.VolumeType{{ID: "t1", Name: "local"}}, Zone: "nova", Quotas: o.quotas,
	})
	p.worker = worker.New(worker.Config{
		DB: w.db, Service: p.service, Volumes: w.volumes,
		Vaults: worker.NewVaults(worker.VaultsConfig{
			DB: w.db, Store: w.store, Master: w.master, Index: vault.NewIndex(vault.IndexConfig{Budget: 8 << 20}),
			Rand: rand.Reader, Workers: 2, Now: w.now, Log: quiet(),
		}),
		Compression: vault.Fast, Dense: vault.Balanced, Metrics: w.counted, Log: quiet(),
	})
	p.handlers = p.worker.Handlers()
	return p
}

// restart ends this world's process in an orderly way and starts another.
func (w *world) restart() {
	w.t.Helper()
	must(w.t, w.queue.Close(w.ctx()))
	w.process = w.startProcess(options{})
}

// now is the vaults' time.
func (w *world) now() time.Time {
	if w.hasty {
		return w.clock.Advance(4 * time.Second)
	}
	return w.clock.Now()
}

func (w *world) ctx() context.Context { return context.WithoutCancel(w.t.Context()) }

// runOne runs the next job of some kinds, of all where none are named.
func (w *world) runOne(kinds ...string) bool {
	w.t.Helper()
	handlers := w.handlers
	if len(kinds) > 0 {
		handlers = maps.Clone(handlers)
		maps.DeleteFunc(handlers, func(k string, _ jobs.Handler) bool { return !slices.Contains(kinds, k) })
	}
	found, err := w.queue.ProcessOne(w.ctx(), handlers)
	must(w.t, err)
	return found
}

// runAll runs jobs until none is left; it lets the time pass that those wait
// which are put off.
func (w *world) runAll() {
	w.t.Helper()
	for range 5000 {
		if w.runOne() {
			continue
		}
		if w.unfinished() == 0 {
			return
		}
		w.clock.Advance(15 * time.Minute)
	}
	w.t.Fatalf("jobs don't come to an end:\n%s", w.jobList())
}

func (w *world) unfinished() int {
	w.t.Helper()
	return w.count("SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'running')")
}

func (w *world) count(query string, args ...any) int {
	w.t.Helper()
	var n int64
	w.view(func(ctx context.Context, tx *catalog.Tx) error { return tx.QueryRow(ctx, query, args...).Scan(&n) })
	return int(n)
}

func (w *world) jobList() string {
	var text string
	w.view(func(ctx context.Context, tx *catalog.Tx) error {
		rows, err := tx.Query(ctx, "SELECT kind, state, attempt, error FROM jobs ORDER BY created_at, id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var kind, state, reason string
			var attempt int64
			if err := rows.Scan(&kind, &state, &attempt, &reason); err != nil {
				return err
			}
			text += kind + " " + state + " " + reason + "\n"
		}
		return rows.Err()
	})
	return text
}

func (w *world) view(f func(context.Context, *catalog.Tx) error) {
	w.t.Helper()
	ctx := w.ctx()
	must(w.t, w.db.View(ctx, func(tx *catalog.Tx) error { return f(ctx, tx) }))
}

func (w *world) update(f func(context.Context, *catalog.Tx) error) {
	w.t.Helper()
	ctx := w.ctx()
	must(w.t, w.db.Update(ctx, func(tx *catalog.Tx) error { return f(ctx, tx) }))
}

// tick lets a second pass, so that what follows is later.
func (w *world) tick() { w.clock.Advance(time.Second) }

var (
	alice = backup.Caller{UserID: "u1", ProjectID: "p1", Roles: []string{"member"}}
	bob   = backup.Caller{UserID: "u2", ProjectID: "p2", Roles: []string{"member"}}
	root  = backup.Caller{UserID: "u0", ProjectID: "p0", Roles: []string{"admin"}}
)

// newVolume makes a volume of some GiB.
func (w *world) newVolume(c backup.Caller, size int64) string {
	w.t.Helper()
	w.tick()
	v, err := w.service.CreateVolume(w.ctx(), c, service.NewVolume{Name: "v", SizeGiB: size})
	must(w.t, err)
	w.runAll()
	w.wantVolume(v.ID, backup.Available)
	return v.ID
}

// ask asks for a backup and returns its id.
func (w *world) ask(c backup.Caller, n service.NewBackup) string {
	w.t.Helper()
	w.tick()
	b, err := w.service.CreateBackup(w.ctx(), c, n)
	must(w.t, err)
	return b.ID
}

// backUp makes a backup of a volume and waits for its end.
func (w *world) backUp(c backup.Caller, n service.NewBackup) string {
	w.t.Helper()
	id := w.ask(c, n)
	w.runAll()
	w.wantBackup(id, backup.Available)
	return id
}

// restored restores a backup to a new volume and returns that.
func (w *world) restored(c backup.Caller, id string) string {
	w.t.Helper()
	w.tick()
	r, err := w.service.RestoreBackup(w.ctx(), c, id, service.RestoreRequest{})
	must(w.t, err)
	w.runAll()
	w.wantVolume(r.VolumeID, backup.Available)
	return r.VolumeID
}

func (w *world) volume(id string) backup.Volume {
	w.t.Helper()
	v, err := w.service.Volume(w.ctx(), root, id)
	must(w.t, err)
	return v
}

func (w *world) backup(id string) backup.Backup {
	w.t.Helper()
	b, err := w.service.Backup(w.ctx(), root, id)
	must(w.t, err)
	return b
}

func (w *world) wantVolume(id string, want backup.Status) {
	w.t.Helper()
	if got := w.volume(id).Status; got != want {
		w.t.Fatalf("volume is %s, want %s; jobs:\n%s", got, want, w.jobList())
	}
}

func (w *world) wantBackup(id string, want backup.Status) {
	w.t.Helper()
	if b := w.backup(id); b.Status != want {
		w.t.Fatalf("backup is %s (%s), want %s; jobs:\n%s", b.Status, b.FailReason, want, w.jobList())
	}
}

func (w *world) wantNoBackup(id string) {
	w.t.Helper()
	_, err := w.service.Backup(w.ctx(), root, id)
	wantKind(w.t, err, backup.NotFound)
}

// records counts a backup's records in the store.
func (w *world) records(backupID string) int {
	w.t.Helper()
	n := 0
	must(w.t, w.objects.List(w.ctx(), "", func(o blob.Info) error {
		if strings.Contains(o.Name, "/"+string(format.Records)+"/"+backupID) {
			n++
		}
		return nil
	}))
	return n
}

func wantKind(t testing.TB, err error, want backup.Kind) {
	t.Helper()
	if err == nil || backup.KindOf(err) != want {
		t.Fatalf("error %v, want one of kind %s", err, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
