package worker_test

import (
	"context"
	"os"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/blob/fault"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
)

// filled makes a volume with some content.
func (w *world) filled(seed uint64) (id string, content *image) {
	w.t.Helper()
	id = w.newVolume(alice, 1)
	content = newImage(backup.GiB)
	w.scribble(id, content, seed)
	return id, content
}

// scribble changes a volume and its image.
func (w *world) scribble(id string, content *image, seed uint64) {
	w.t.Helper()
	for i := range uint64(6) {
		p := stuff(seed*100+i, 300<<10)
		off := int64(i) * 150 << 20
		must(w.t, writeFile(w.path(id), p, off))
		content.write(off, p)
	}
}

func (w *world) path(id string) string {
	w.t.Helper()
	path, err := w.volumes.Path(id)
	must(w.t, err)
	return path
}

func (w *world) wantContent(id string, want *image) {
	w.t.Helper()
	if err := want.differs(w.path(id)); err != nil {
		w.t.Fatalf("volume %s: %v", id, err)
	}
}

// during has f called once, in the middle of the next call of the store.
func (w *world) during(op fault.Op, match string, f func()) {
	done := false
	w.store.Add(fault.Fault{Op: op, Match: match, Nth: 1, Before: func(context.Context) error {
		if !done {
			done = true
			f()
		}
		return nil
	}})
}

// cancelNow makes the running jobs see that they were cancelled.
func (w *world) cancelNow() {
	ctx := w.ctx()
	none := map[string]jobs.Handler{"none": nil}
	if _, err := w.queue.ProcessOne(ctx, none); err != nil {
		w.t.Error(err)
	}
}

func (w *world) delete(id string, force bool) {
	c := alice
	if force {
		c = root
	}
	if err := w.service.DeleteBackup(w.ctx(), c, id, force); err != nil {
		w.t.Error(err)
	}
}

func TestParentDeletedWhileItsChildIsStored(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		parent := w.backUp(alice, service.NewBackup{VolumeID: vol})
		w.scribble(vol, content, 2)
		child := w.ask(alice, service.NewBackup{VolumeID: vol, Incremental: true})
		w.during(fault.Put, "", func() {
			w.delete(parent, false)
			for w.runOne(service.JobBackupDelete) {
			}
			if _, err := w.service.Backup(w.ctx(), root, parent); backup.KindOf(err) != backup.NotFound {
				t.Errorf("the deleted parent is still shown: %v", err)
			}
			if n := w.records(parent); n != 1 {
				t.Errorf("the pinned parent has %d records", n)
			}
		})
		w.runAll()
		w.wantBackup(child, backup.Available)
		if n := w.records(parent); n != 0 {
			t.Errorf("the parent has %d records after its pin has ended", n)
		}
		b := w.backup(child)
		if !b.Incremental || b.ParentID != parent {
			t.Errorf("the child's label changed: %v %s", b.Incremental, b.ParentID)
		}
		w.store.Clear()
		w.wantContent(w.restored(alice, child), content)
		w.wantTidy()
	})
}

func TestForceDeleteWhileRestored(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]bool{"running": true, "queued": false} {
		t.Run(name, func(t *testing.T) {
			eachDB(t, options{}, func(t *testing.T, w *world) {
				vol, _ := w.filled(1)
				id := w.backUp(alice, service.NewBackup{VolumeID: vol})
				r, err := w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{})
				must(t, err)
				over := w.backUp(alice, service.NewBackup{VolumeID: vol})
				_, err = w.service.RestoreBackup(w.ctx(), alice, over, service.RestoreRequest{VolumeID: vol})
				if run { // the one that was run by backUp has ended
					must(t, err)
				}
				remove := func() {
					w.delete(over, true)
					for w.runOne(service.JobBackupDelete) {
					}
				}
				if run {
					w.during(fault.Get, "", func() {
						remove()
						w.cancelNow()
					})
				} else {
					remove()
				}
				w.runAll()
				w.wantNoBackup(over)
				w.wantVolume(r.VolumeID, backup.Available)
				w.wantVolume(vol, backup.ErrorRestoring)
				w.wantTidy()
				if n := w.records(over); n != 0 {
					t.Errorf("%d records are left", n)
				}
			})
		})
	}
}

// Whatever a backup is at, a force delete ends it, gives its source back and
// leaves nothing, in whatever order the jobs come.
func TestForceDeleteWhileMade(t *testing.T) {
	t.Parallel()
	del := []string{service.JobBackupDelete}
	for name, c := range map[string]struct {
		before []string // jobs that run before the delete
		after  []string // jobs that run first after it
	}{
		"capture queued, it first":    {nil, []string{service.JobBackupCapture}},
		"capture queued, delete next": {nil, del},
		"store queued, it first":      {[]string{service.JobBackupCapture}, []string{service.JobBackupStore}},
		"store queued, delete next":   {[]string{service.JobBackupCapture}, del},
	} {
		t.Run(name, func(t *testing.T) {
			eachDB(t, options{}, func(t *testing.T, w *world) {
				vol, content := w.filled(1)
				parent := w.backUp(alice, service.NewBackup{VolumeID: vol})
				w.scribble(vol, content, 2)
				id := w.ask(alice, service.NewBackup{VolumeID: vol, Incremental: true})
				for _, k := range c.before {
					w.runOne(k)
				}
				w.delete(id, true)
				for _, k := range c.after {
					w.runOne(k)
				}
				w.runAll()
				w.wantNoBackup(id)
				w.wantVolume(vol, backup.Available)
				w.wantTidy()
				w.delete(parent, false)
				w.runAll()
				w.wantTidy()
			})
		})
	}
	t.Run("store running", func(t *testing.T) {
		eachDB(t, options{}, func(t *testing.T, w *world) {
			vol, _ := w.filled(1)
			id := w.ask(alice, service.NewBackup{VolumeID: vol})
			w.during(fault.Put, "/packs/", func() {
				w.delete(id, true)
				w.cancelNow()
			})
			w.runAll()
			w.wantNoBackup(id)
			w.wantTidy()
			w.wantVolume(vol, backup.Available)
		})
	})
	t.Run("store put off", func(t *testing.T) {
		eachDB(t, options{}, func(t *testing.T, w *world) {
			vol, content := w.filled(1)
			parent := w.backUp(alice, service.NewBackup{VolumeID: vol})
			w.scribble(vol, content, 2)
			id := w.ask(alice, service.NewBackup{VolumeID: vol, Incremental: true})
			w.store.Add(fault.Fault{Op: fault.Put, Err: errAway})
			w.runOne(service.JobBackupCapture)
			w.runOne(service.JobBackupStore)
			if n := w.count("SELECT COUNT(*) FROM vault_sessions WHERE state = 'open'"); n != 1 {
				t.Fatalf("%d open sessions, want the one of the job that was put off", n)
			}
			w.delete(id, true)
			for w.runOne(service.JobBackupDelete) {
			}
			w.store.Clear()
			w.runAll()
			w.wantTidy()
			w.delete(parent, false)
			w.runAll()
			w.wantTidy()
		})
	})
	t.Run("of a snapshot, store put off", func(t *testing.T) {
		eachDB(t, options{}, func(t *testing.T, w *world) {
			vol, _ := w.filled(1)
			s, err := w.service.CreateSnapshot(w.ctx(), alice, service.NewSnapshot{VolumeID: vol})
			must(t, err)
			w.runAll()
			id := w.ask(alice, service.NewBackup{VolumeID: vol, SnapshotID: s.ID})
			w.delete(id, true)
			w.runOne(service.JobBackupDelete)
			w.runAll()
			w.wantNoBackup(id)
			w.wantTidy()
		})
	})
}

func TestResetWhileBusy(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		id := w.backUp(alice, service.NewBackup{VolumeID: vol})

		// A deletion that was not begun is taken back.
		w.delete(id, false)
		must(t, w.service.ResetBackup(w.ctx(), root, id, backup.Available))
		w.runAll()
		w.wantBackup(id, backup.Available)
		w.wantTidy()

		// A restore ends, and the one that was asked for next goes on.
		first, err := w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{})
		must(t, err)
		must(t, w.service.ResetBackup(w.ctx(), root, id, backup.Available))
		second, err := w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{})
		must(t, err)
		w.runOne()
		w.wantBackup(id, backup.Restoring)
		w.runAll()
		w.wantVolume(first.VolumeID, backup.Errored)
		w.wantVolume(second.VolumeID, backup.Available)
		w.wantContent(second.VolumeID, content)
		w.wantBackup(id, backup.Available)

		// A backup ends in the status that it was given.
		other := w.ask(alice, service.NewBackup{VolumeID: vol})
		must(t, w.service.ResetBackup(w.ctx(), root, other, backup.Errored))
		wantKind(t, w.service.ResetBackup(w.ctx(), root, other, backup.Available), backup.Invalid)
		w.runAll()
		w.wantBackup(other, backup.Errored)
		w.wantVolume(vol, backup.Available)
		w.wantTidy()
	})
}

func TestVolumeDeletedWhileItsBackupIsStored(t *testing.T) {
	t.Parallel()
	for name, xfs := range map[string]bool{"copies": false, "reflinks": true} {
		t.Run(name, func(t *testing.T) {
			o := options{}
			if xfs {
				o.volumes = mountXFS(t)
			}
			w := newWorld(t, o)
			vol, content := w.filled(1)
			w.backUp(alice, service.NewBackup{VolumeID: vol})
			w.wantTidy()
			w.scribble(vol, content, 2)
			id := w.ask(alice, service.NewBackup{VolumeID: vol, Incremental: true})
			w.runOne(service.JobBackupCapture)
			must(t, w.service.DeleteVolume(w.ctx(), alice, vol, service.Delete{}))
			for w.runOne(service.JobVolumeDelete, service.JobVolumeTidy) {
			}
			_, err := w.service.Volume(w.ctx(), root, vol)
			wantKind(t, err, backup.NotFound)
			if states, err := w.volumes.Bases(vol); err != nil || len(states) != 1 || states[0] != id {
				t.Fatalf("bases %v, want the one that is read: %v", states, err)
			}
			w.runAll()
			w.wantBackup(id, backup.Available)
			w.wantTidy()
			w.wantContent(w.restored(alice, id), content)
		})
	}
}

// A volume stays backing-up until its own instant is fixed, whatever becomes
// of its earlier backups.
func TestTwoBackupsOfOneVolume(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		first := w.ask(alice, service.NewBackup{VolumeID: vol})
		w.runOne(service.JobBackupCapture)
		then := content.clone()
		w.scribble(vol, content, 2)
		second := w.ask(alice, service.NewBackup{VolumeID: vol})
		w.runOne(service.JobBackupStore)
		w.wantBackup(first, backup.Available)
		w.wantVolume(vol, backup.BackingUp)
		w.runOne(service.JobBackupCapture)
		w.wantVolume(vol, backup.Available)

		// Over the source while its backup is still to be read.
		_, err := w.service.RestoreBackup(w.ctx(), alice, first, service.RestoreRequest{VolumeID: vol})
		must(t, err)
		w.runOne(service.JobBackupRestore)
		w.runAll()
		w.wantContent(vol, then)
		w.wantContent(w.restored(alice, second), content)
		w.wantTidy()
	})
}

func TestInUseVolumeComesBackInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	vol, _ := w.filled(1)
	must(t, w.service.ResetVolume(w.ctx(), root, vol, backup.InUse))
	id := w.ask(alice, service.NewBackup{VolumeID: vol, Force: true})
	w.wantVolume(vol, backup.BackingUp)
	w.runAll()
	w.wantBackup(id, backup.Available)
	w.wantVolume(vol, backup.InUse)
}

// A copy that waits for its source's turn leaves nothing when its volume is
// deleted first.
func TestCopyOfDeletedVolume(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, _ := w.filled(1)
		for _, deletedFirst := range []bool{true, false} {
			v, err := w.service.CreateVolume(w.ctx(), alice, service.NewVolume{SourceVolumeID: vol})
			must(t, err)
			must(t, w.service.ResetVolume(w.ctx(), root, v.ID, backup.Errored))
			must(t, w.service.DeleteVolume(w.ctx(), alice, v.ID, service.Delete{}))
			if deletedFirst {
				w.runOne(service.JobVolumeDelete)
			} else {
				w.runOne(service.JobVolumeCreate)
			}
			w.runAll()
			_, err = w.service.Volume(w.ctx(), root, v.ID)
			wantKind(t, err, backup.NotFound)
			w.wantTidy()
		}
	})
}

func TestForceDeleteVolumeWhileRestoredTo(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, _ := w.filled(1)
		id := w.backUp(alice, service.NewBackup{VolumeID: vol})
		r, err := w.service.RestoreBackup(w.ctx(), alice, id, service.RestoreRequest{})
		must(t, err)
		w.during(fault.Get, "", func() {
			if err := w.service.DeleteVolume(w.ctx(), root, r.VolumeID, service.Delete{Force: true}); err != nil {
				t.Error(err)
			}
			w.cancelNow()
		})
		w.runAll()
		_, err = w.service.Volume(w.ctx(), root, r.VolumeID)
		wantKind(t, err, backup.NotFound)
		w.wantBackup(id, backup.Available)
		w.wantTidy()
	})
}

// A restore to a path that is interrupted goes on though its backup was
// deleted meanwhile.
func TestPathRestoreOfDeletedBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	vol, content := w.filled(1)
	id := w.backUp(alice, service.NewBackup{VolumeID: vol})
	target := t.TempDir() + "/target"
	must(t, os.WriteFile(target, nil, 0o600))
	must(t, os.Truncate(target, backup.GiB))
	job, err := w.service.RestoreToPath(w.ctx(), alice, id, service.PathRestore{Path: target})
	must(t, err)
	w.store.Add(fault.Fault{Op: fault.Get, Nth: 3, Err: errAway})
	ended, err := func() (jobs.Job, error) {
		ctx, cancel := context.WithCancel(w.ctx())
		defer cancel()
		w.store.Add(fault.Fault{Op: fault.Get, Nth: 2, Before: func(context.Context) error { cancel(); return nil }})
		return w.queue.RunReserved(ctx, job.ID, w.handlers)
	}()
	if err == nil {
		t.Fatalf("the restore ended: %v", ended.State)
	}
	w.store.Clear()
	w.delete(id, false)
	w.runOne(service.JobBackupDelete)
	w.wantNoBackup(id)
	w.runAll()
	if err := content.differs(target); err != nil {
		t.Fatalf("%v; jobs:\n%s", err, w.jobList())
	}
	w.wantTidy()
	if n := w.records(id); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// An attempt that goes on after its job was taken over changes nothing.
func TestZombieCannotCommit(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		id := w.ask(alice, service.NewBackup{VolumeID: vol})
		w.runOne(service.JobBackupCapture)
		taken := false
		w.during(fault.Put, "/"+"records"+"/", func() {
			// As if another host had seen this one's lease end.
			w.update(func(ctx context.Context, tx *catalog.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE jobs SET state = 'queued', worker = '' WHERE state = 'running'")
				return err
			})
			other := w.startProcess(options{})
			taken, _ = other.queue.ProcessOne(w.ctx(), other.handlers)
		})
		w.runOne(service.JobBackupStore)
		if !taken {
			t.Fatal("nobody took the job over")
		}
		w.wantBackup(id, backup.Available)
		if n := w.count("SELECT COUNT(*) FROM jobs WHERE kind = $1 AND attempt = 2 AND state = 'done'", service.JobBackupStore); n != 1 {
			t.Errorf("the second attempt is not the one that counts:\n%s", w.jobList())
		}
		w.runAll()
		w.wantContent(w.restored(alice, id), content)
		w.delete(id, false)
		w.runAll()
		w.wantTidy()
	})
}

func TestPathRestoreOnTooSmallTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	vol, _ := w.filled(1)
	id := w.backUp(alice, service.NewBackup{VolumeID: vol})
	target := t.TempDir() + "/target"
	must(t, os.WriteFile(target, make([]byte, block), 0o600))
	job, err := w.service.RestoreToPath(w.ctx(), alice, id, service.PathRestore{Path: target})
	must(t, err)
	ended, err := w.queue.RunReserved(w.ctx(), job.ID, w.handlers)
	must(t, err)
	if ended.State != jobs.Failed || ended.Failures != 0 {
		t.Fatalf("the job is %s after %d failures, want it failed at once", ended.State, ended.Failures)
	}
	w.wantTidy()
}

// A volume that is larger than the catalog says, as a failed extension may
// leave it, is restored whole.
func TestVolumeLargerThanItsRow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	vol, content := w.filled(1)
	content.size = backup.GiB + 3*block
	must(t, os.Truncate(w.path(vol), content.size))
	p := stuff(5, 2*block)
	must(t, writeFile(w.path(vol), p, backup.GiB))
	content.write(backup.GiB, p)
	id := w.backUp(alice, service.NewBackup{VolumeID: vol})
	if b := w.backup(id); b.SizeGiB != 2 || b.Bytes != content.size {
		t.Errorf("backup of %d GiB, %d bytes", b.SizeGiB, b.Bytes)
	}
	content.size = 2 * backup.GiB
	w.wantContent(w.restored(alice, id), content)
}

// A restore to a path that an earlier one was interrupted in writing comes
// after what is left of that one, never before or together with it.
func TestPathRestoresTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	vol1, _ := w.filled(1)
	vol2, content := w.filled(2)
	first := w.backUp(alice, service.NewBackup{VolumeID: vol1})
	second := w.backUp(alice, service.NewBackup{VolumeID: vol2})
	target := t.TempDir() + "/target"
	must(t, os.WriteFile(target, nil, 0o600))
	must(t, os.Truncate(target, backup.GiB))

	job, err := w.service.RestoreToPath(w.ctx(), alice, first, service.PathRestore{Path: target})
	must(t, err)
	ctx, cancel := context.WithCancel(w.ctx())
	defer cancel()
	w.store.Add(fault.Fault{Op: fault.Get, Nth: 2, Before: func(ctx context.Context) error { cancel(); return ctx.Err() }})
	if ended, err := w.queue.RunReserved(ctx, job.ID, w.handlers); err == nil {
		t.Fatalf("the first restore ended: %v", ended.State)
	}
	w.tick()
	job, err = w.service.RestoreToPath(w.ctx(), alice, second, service.PathRestore{Path: target})
	must(t, err)
	ended, err := w.queue.RunReserved(w.ctx(), job.ID, w.handlers)
	must(t, err)
	if ended.State != jobs.Done {
		t.Fatalf("the second restore is %s: %s", ended.State, ended.Error)
	}
	w.runAll()
	if err := content.differs(target); err != nil {
		t.Errorf("%v; jobs:\n%s", err, w.jobList())
	}
}
