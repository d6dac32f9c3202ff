package worker_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault/format"
)

// A stopped attempt is one that a process's end or its death interrupted.
var stops = map[string]func(w *world){
	"orderly": func(w *world) { w.stop() },
	"taken over": func(w *world) {
		w.update(func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE jobs SET state = 'queued', worker = '', crashes = crashes + 1 WHERE state = 'running'")
			return err
		})
	},
}

var stopStep = flag.Int("stop.step", 4, "of the calls that are stopped after the answer or in an orderly way, every which one")

var errDead = errors.New("the process is dead")

// stoppedAtEach does work once for each call of a method of the store that it
// makes, and stops it there, before or after that call is carried out. Another
// process goes on. check says whether all ended well. It returns how many
// stops came after a checkpoint.
func stoppedAtEach(t *testing.T, op fault.Op, ask func(*world) (check func())) (checkpoints int) {
	for how, stop := range stops {
		for _, late := range []bool{false, true} {
			if late && how == "orderly" {
				continue // an end waits for the answer
			}
			step := 1
			if late || how == "orderly" {
				step = *stopStep
			}
			for n, again := 1, true; again; n += step {
				w := newWorld(t, options{hasty: true})
				check := ask(w)
				var hit atomic.Bool
				ctx, cancel := context.WithCancel(w.ctx())
				w.stop = cancel
				w.store.Add(fault.Fault{Op: op, Nth: n, Since: true, Late: late, Err: errDead, Before: func(context.Context) error {
					if hit.CompareAndSwap(false, true) {
						stop(w)
					}
					return nil
				}})
				for !hit.Load() {
					found, err := w.queue.ProcessOne(ctx, w.handlers)
					must(t, err)
					if !found {
						break
					}
				}
				cancel()
				again = hit.Load()
				checkpoints += w.count("SELECT COUNT(*) FROM vault_checkpoints")
				w.store.Clear()
				w.restart()
				w.runAll()
				check()
				w.wantTidy()
				if t.Failed() {
					t.Fatalf("stopped (%s) at call %d of %s, late: %v; jobs:\n%s", how, n, op, late, w.jobList())
				}
			}
		}
	}
	return checkpoints
}

func TestStoppedBackup(t *testing.T) {
	t.Parallel()
	checkpoints := stoppedAtEach(t, fault.Put, func(w *world) func() {
		vol, content := w.filled(1)
		id := w.ask(alice, service.NewBackup{VolumeID: vol})
		return func() {
			w.wantBackup(id, backup.Available)
			w.wantContent(w.restored(alice, id), content)
		}
	})
	if checkpoints == 0 {
		t.Error("no stop came after a checkpoint")
	}
}

func TestStoppedIncremental(t *testing.T) {
	t.Parallel()
	stoppedAtEach(t, fault.Put, func(w *world) func() {
		vol, content := w.filled(1)
		w.backUp(alice, service.NewBackup{VolumeID: vol})
		w.scribble(vol, content, 2)
		id := w.ask(alice, service.NewBackup{VolumeID: vol, Incremental: true})
		return func() {
			w.wantBackup(id, backup.Available)
			w.wantContent(w.restored(alice, id), content)
		}
	})
}

func TestStoppedRestore(t *testing.T) {
	t.Parallel()
	stoppedAtEach(t, fault.Get, func(w *world) func() {
		vol, content := w.filled(1)
		id := w.backUp(alice, service.NewBackup{VolumeID: vol})
		over := w.newVolume(alice, 1)
		w.scribble(over, newImage(backup.GiB), 9)
		_, err := w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{VolumeID: over})
		must(w.t, err)
		return func() {
			w.wantVolume(over, backup.Available)
			w.wantBackup(id, backup.Available)
			w.wantContent(over, content)
		}
	})
}

func TestStoppedDelete(t *testing.T) {
	t.Parallel()
	for _, op := range []fault.Op{fault.Delete, fault.List} {
		stoppedAtEach(t, op, func(w *world) func() {
			vol, _ := w.filled(1)
			id := w.backUp(alice, service.NewBackup{VolumeID: vol})
			w.delete(id, false)
			return func() {
				w.wantNoBackup(id)
				if n := w.records(id); n != 0 {
					t.Errorf("%d records are left", n)
				}
			}
		})
	}
}

// TestFailedBackup: whatever can fail leaves the backup in error for a reason
// that a person understands, the volume as it was, and earlier backups whole.
func TestFailedBackup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		broken func(w *world, vol, id string)
		reason string
	}{
		"full store": {
			func(w *world, _, _ string) { w.store.SetSpace(100) },
			"The backup store is full.",
		},
		"store away for long": {
			func(w *world, _, _ string) { w.store.Add(fault.Fault{Op: fault.Put, Err: errAway}) },
			"could not be reached",
		},
		"volume's file missing": {
			func(w *world, vol, _ string) { must(w.t, os.Remove(w.path(vol))) },
			"was not found on this host",
		},
		"instant's file missing": {
			func(w *world, vol, id string) {
				w.runOne(service.JobBackupCapture)
				must(w.t, w.volumes.DropBase(w.ctx(), vol, id))
			},
			"was not found on this host",
		},
		"instant's file cut off": {
			func(w *world, vol, id string) {
				w.runOne(service.JobBackupCapture)
				path, err := w.volumes.BasePath(vol, id)
				must(w.t, err)
				w.during(fault.Put, "/packs/", func() {})
				w.during(fault.List, "", func() {})
				must(w.t, os.Truncate(path, 0))
				must(w.t, os.Truncate(path, 100<<20))
				must(w.t, os.Remove(path))
				must(w.t, os.Mkdir(path, 0o700))
			},
			"Ask the operator",
		},
		"key missing": {
			func(w *world, _, _ string) {
				w.eachObject("/keys/", func(name string) { must(w.t, w.objects.Delete(w.ctx(), name)) })
			},
			"key of this project's vault is missing",
		},
		"key damaged": {
			func(w *world, _, _ string) {
				w.store.Add(fault.Fault{Op: fault.Get, Match: "/keys/", Flip: true, FlipAt: -1 + 1<<20})
			},
			"vault",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{})
			vol, content := w.filled(1)
			then := content.clone()
			earlier := w.backUp(alice, service.NewBackup{VolumeID: vol})
			w.scribble(vol, content, 2)
			keep := w.saveKeys()
			w.restart() // forgets what it knows of keys
			id := w.ask(alice, service.NewBackup{VolumeID: vol})
			c.broken(w, vol, id)
			w.runAll()
			w.wantBackup(id, backup.Errored)
			if got := w.backup(id).FailReason; !strings.Contains(got, c.reason) || strings.Contains(got, w.dir) {
				t.Errorf("reason %q, want one that says %q", got, c.reason)
			}
			w.wantVolume(vol, backup.Available)
			w.store.Clear()
			w.restart()
			keep()
			w.wantContent(w.restored(alice, earlier), then)
			w.delete(id, false)
			w.runAll()
			w.wantNoBackup(id)
		})
	}
}

func (w *world) eachObject(match string, f func(name string)) {
	w.t.Helper()
	var names []string
	must(w.t, w.objects.List(w.ctx(), "", func(o blob.Info) error {
		if strings.Contains(o.Name, match) {
			names = append(names, o.Name)
		}
		return nil
	}))
	for _, n := range names {
		f(n)
	}
}

// saveKeys returns how to put the key objects back.
func (w *world) saveKeys() (restore func()) {
	saved := map[string]string{}
	w.eachObject("/"+string(format.Keys)+"/", func(name string) {
		size, err := w.objects.Stat(w.ctx(), name)
		must(w.t, err)
		p := make([]byte, size)
		_, err = w.objects.Get(w.ctx(), name, p, 0)
		must(w.t, err)
		saved[name] = string(p)
	})
	return func() {
		for name, text := range saved {
			must(w.t, w.objects.Put(w.ctx(), name, io.NewSectionReader(strings.NewReader(text), 0, int64(len(text)))))
		}
	}
}

// TestFailedRestore: a restore that meets damage says which object, leaves the
// target in error, and the backup as it was.
func TestFailedRestore(t *testing.T) {
	t.Parallel()
	for _, room := range []string{"packs", "pages", "records"} {
		t.Run(room, func(t *testing.T) {
			w := newWorld(t, options{})
			vol, _ := w.filled(1)
			id := w.backUp(alice, service.NewBackup{VolumeID: vol})
			over := w.newVolume(alice, 2)
			w.store.Add(fault.Fault{Op: fault.Get, Match: "/" + room + "/", Flip: true, FlipAt: 300})
			made, err := w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{})
			must(t, err)
			w.runAll()
			w.wantVolume(made.VolumeID, backup.Errored)
			_, err = w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{VolumeID: over})
			must(t, err)
			w.runAll()
			w.wantVolume(over, backup.ErrorRestoring)
			fromBackup, err := w.service.CreateVolume(w.ctx(), alice, service.NewVolume{BackupID: id})
			must(t, err)
			w.runAll()
			w.wantVolume(fromBackup.ID, backup.Errored)
			w.wantBackup(id, backup.Available)
			if !strings.Contains(w.jobList(), "/"+room+"/") {
				t.Errorf("no job names the object:\n%s", w.jobList())
			}
			w.wantTidy()
		})
	}
	t.Run("target missing", func(t *testing.T) {
		w := newWorld(t, options{})
		vol, _ := w.filled(1)
		id := w.backUp(alice, service.NewBackup{VolumeID: vol})
		must(t, os.Remove(w.path(vol)))
		_, err := w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{VolumeID: vol})
		must(t, err)
		w.runAll()
		w.wantVolume(vol, backup.ErrorRestoring)
		w.wantBackup(id, backup.Available)
	})
}

func TestFailedDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	vol, content := w.filled(1)
	id := w.backUp(alice, service.NewBackup{VolumeID: vol})
	w.store.Add(fault.Fault{Op: fault.Delete, Err: errAway})
	w.delete(id, false)
	w.runAll()
	w.wantBackup(id, backup.ErrorDeleting)
	if w.backup(id).FailReason == "" {
		t.Error("nothing says why")
	}
	must(t, w.service.ResetBackup(w.ctx(), root, id, backup.Available))
	w.wantContent(w.restored(alice, id), content)
	w.store.Clear()
	w.delete(id, false)
	w.runAll()
	w.wantNoBackup(id)
	w.wantTidy()
}

// A backup whose record can't be removed shows again. Until its record is gone a
// collection leaves what it needs.
func TestFailedDeleteBesideACollection(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		id := w.backUp(alice, service.NewBackup{VolumeID: vol})
		other, _ := w.filled(7)
		gone := w.backUp(alice, service.NewBackup{VolumeID: other})
		w.delete(gone, false)
		w.runOne(service.JobBackupDelete)
		w.clock.Advance(2 * time.Second)
		w.store.Add(fault.Fault{Op: fault.List, Match: id, Err: errAway})
		w.delete(id, false)
		w.runOne(service.JobBackupDelete) // is put off
		if !w.runOne(service.JobVaultCollect) {
			t.Fatal("no collection is queued")
		}
		w.runAll()
		w.wantBackup(id, backup.ErrorDeleting)
		must(t, w.service.ResetBackup(w.ctx(), root, id, backup.Available))
		w.wantContent(w.restored(alice, id), content)
		w.store.Clear()
		w.delete(id, false)
		w.runAll()
		w.wantNoBackup(id)
		w.wantTidy()
		if n := w.stored(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

func TestFailedVolumeJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{quotas: map[string]int64{backup.QuotaGigabytes: 4}})
	vol := w.newVolume(alice, 1)

	// An obstacle in each place.
	must(t, os.Remove(w.path(vol)))
	must(t, w.service.ExtendVolume(w.ctx(), alice, vol, 3))
	w.wantUse(backup.QuotaGigabytes, 3)
	w.runAll()
	w.wantVolume(vol, backup.ErrorExtending)
	w.wantUse(backup.QuotaGigabytes, 1)
	if v := w.volume(vol); v.SizeGiB != 1 {
		t.Errorf("the volume that did not grow has %d GiB", v.SizeGiB)
	}

	must(t, w.service.ResetVolume(w.ctx(), root, vol, backup.Available))
	s, err := w.service.CreateSnapshot(w.ctx(), alice, service.NewSnapshot{VolumeID: vol})
	must(t, err)
	w.runAll()
	if got, err := w.service.Snapshot(w.ctx(), alice, s.ID); err != nil || got.Status != backup.Errored {
		t.Errorf("snapshot of nothing: %s, %v", got.Status, err)
	}
	must(t, w.service.DeleteSnapshot(w.ctx(), alice, s.ID, false))
	w.runAll()

	copied, err := w.service.CreateVolume(w.ctx(), alice, service.NewVolume{SourceVolumeID: vol})
	must(t, err)
	w.runAll()
	w.wantVolume(copied.ID, backup.Errored)
	must(t, w.service.DeleteVolume(w.ctx(), alice, copied.ID, service.Delete{}))

	must(t, os.MkdirAll(w.path(vol)+"/obstacle", 0o700))
	must(t, w.service.DeleteVolume(w.ctx(), alice, vol, service.Delete{}))
	w.runAll()
	w.wantVolume(vol, backup.ErrorDeleting)
	must(t, os.RemoveAll(w.path(vol)))
	must(t, w.service.DeleteVolume(w.ctx(), alice, vol, service.Delete{}))
	w.runAll()
	w.wantTidy()
	w.wantNothing()
}

func (w *world) wantUse(resource string, want int64) {
	w.t.Helper()
	use, err := w.service.Limits(w.ctx(), alice)
	must(w.t, err)
	if got := use[resource].InUse; got != want {
		w.t.Errorf("%d %s in use, want %d", got, resource, want)
	}
}

// A handler that gets what it can't read fails for good and hurts nothing.
func TestUnreadablePayload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	w.update(func(ctx context.Context, tx *catalog.Tx) error {
		_, err := w.queue.Enqueue(ctx, tx, jobs.New{
			Kind: service.JobBackupStore, ProjectID: "p1", Subject: uuid.NewString(),
			Payload: service.BackupWork{BackupID: uuid.NewString(), VolumeID: uuid.NewString()},
		})
		return err
	})
	w.runAll()
	w.wantTidy()
}

// What somebody else has done to a volume's file makes its backup fail, and a
// restore over it, with a reason that says what is wrong.
func TestVolumeFileThatIsNoVolume(t *testing.T) {
	w := newWorld(t, options{})
	vol, _ := w.filled(1)
	first := w.backUp(alice, service.NewBackup{VolumeID: vol})

	must(t, os.Truncate(w.path(vol), 12345))
	short := w.ask(alice, service.NewBackup{VolumeID: vol})
	w.runAll()
	w.wantBackup(short, backup.Errored)
	if got := w.backup(short).FailReason; !strings.Contains(got, "shorter than the volume") {
		t.Errorf("fail reason: %s", got)
	}
	w.wantVolume(vol, backup.Available)

	elsewhere := w.path(vol) + ".elsewhere"
	must(t, os.WriteFile(elsewhere, make([]byte, 4096), 0o600))
	must(t, os.Truncate(elsewhere, backup.GiB))
	must(t, os.Remove(w.path(vol)))
	must(t, os.Symlink(elsewhere, w.path(vol)))
	linked := w.ask(alice, service.NewBackup{VolumeID: vol})
	w.runAll()
	w.wantBackup(linked, backup.Errored)
	if got := w.backup(linked).FailReason; !strings.Contains(got, "can't be used") {
		t.Errorf("fail reason: %s", got)
	}
	_, err := w.service.RestoreBackup(w.ctx(), alice, first, service.RestoreRequest{VolumeID: vol})
	must(t, err)
	w.runAll()
	w.wantVolume(vol, backup.ErrorRestoring)
	w.wantBackup(first, backup.Available)
	content, err := os.ReadFile(elsewhere)
	must(t, err)
	if strings.Trim(string(content), "\x00") != "" {
		t.Error("a restore wrote through a link")
	}
}
