package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/worker"
)

// stored returns the bytes of the objects that packs lie in, and of their
// directories' copies.
func (w *world) stored() (n int64) {
	w.t.Helper()
	must(w.t, w.objects.List(w.ctx(), "", func(o blob.Info) error {
		for _, room := range []format.Room{format.Packs, format.Pages, format.Dirs} {
			if strings.Contains(o.Name, "/"+string(room)+"/") {
				n += o.Size
			}
		}
		return nil
	}))
	return n
}

// packObjects returns the objects that hold blocks.
func (w *world) packObjects() map[string]bool {
	w.t.Helper()
	all := map[string]bool{}
	must(w.t, w.objects.List(w.ctx(), "", func(o blob.Info) error {
		if strings.Contains(o.Name, "/"+string(format.Packs)+"/") {
			all[o.Name] = true
		}
		return nil
	}))
	return all
}

// wantNoOrphans fails where an object is in the store that no row names, or the
// other way round.
func (w *world) wantNoOrphans() {
	w.t.Helper()
	named := map[string]bool{}
	w.view(func(ctx context.Context, tx *catalog.Tx) error {
		all, err := tx.Vaults(ctx)
		if err != nil {
			return err
		}
		for _, v := range all {
			err := tx.EachPack(ctx, v.ID, func(r catalog.PackRow) error {
				named[r.Object], named[r.DirObject] = true, true
				return nil
			})
			if err != nil {
				return err
			}
			segments, err := tx.Segments(ctx, v.ID)
			if err != nil {
				return err
			}
			for _, g := range segments {
				named[g.Object] = true
			}
		}
		return nil
	})
	delete(named, "")
	must(w.t, w.objects.List(w.ctx(), "", func(o blob.Info) error {
		for _, room := range []format.Room{format.Packs, format.Pages, format.Dirs, format.Index} {
			if strings.Contains(o.Name, "/"+string(room)+"/") && !named[o.Name] {
				w.t.Errorf("object %s belongs to nothing", o.Name)
			}
		}
		delete(named, o.Name)
		return nil
	}))
	for name := range named {
		w.t.Errorf("object %s is not in the store", name)
	}
}

// lastReport returns what the job of a kind that ended last said.
func (w *world) lastReport(kind string) (r worker.VaultReport) {
	w.t.Helper()
	w.view(func(ctx context.Context, tx *catalog.Tx) error {
		var progress string
		err := tx.QueryRow(ctx, `SELECT progress FROM jobs WHERE kind = $1 AND ended_at > 0
			ORDER BY ended_at DESC, id DESC LIMIT 1`, kind).Scan(&progress)
		if err == nil {
			err = json.Unmarshal([]byte(progress), &r)
		}
		return err
	})
	return r
}

// Backups of two volumes are deleted in several orders. Each deletion gives
// back what nothing else needs, the others restore exactly, and at the end
// nothing is left.
func TestDeletedSpaceComesBack(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 1, 0, 2}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			eachDB(t, options{}, func(t *testing.T, w *world) {
				var ids []string
				var contents []*image
				vol, content := w.filled(1)
				other, same := w.filled(2)
				for i := range uint64(3) {
					ids = append(ids, w.backUp(alice, service.NewBackup{VolumeID: vol, Incremental: i > 0}))
					contents = append(contents, content.clone())
					w.scribble(vol, content, 3+i)
				}
				ids = append(ids, w.backUp(alice, service.NewBackup{VolumeID: other}))
				contents = append(contents, same)
				for n, i := range order {
					before := w.stored()
					w.delete(ids[i], false)
					w.runAll()
					if after := w.stored(); after >= before {
						t.Errorf("deletion %d: %d bytes before, %d after", n, before, after)
					}
					if n == 1 { // of the others, the one that was the child or the parent
						for _, left := range order[2:] {
							w.wantContent(w.restored(alice, ids[left]), contents[left])
						}
					}
					w.wantTidy()
					w.wantNoOrphans()
				}
				if n := w.stored(); n != 0 {
					t.Errorf("%d bytes are left", n)
				}
				if w.counted.freed.Load() == 0 {
					t.Error("the metrics know of nothing that was freed")
				}
			})
		})
	}
}

// A backup that has begun holds back what it may refer to; its end frees it at
// once. Other backups and restores go on.
func TestOlderSessionHoldsBackFreeing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails bool
		want  backup.Status
	}{
		"it commits": {false, backup.Available},
		"it fails":   {true, backup.Errored},
	} {
		t.Run(name, func(t *testing.T) {
			eachDB(t, options{}, func(t *testing.T, w *world) {
				vol, content := w.filled(1)
				parent := w.backUp(alice, service.NewBackup{VolumeID: vol})
				other, _ := w.filled(7)
				gone := w.backUp(alice, service.NewBackup{VolumeID: other})
				w.scribble(vol, content, 2)
				child := w.ask(alice, service.NewBackup{VolumeID: vol, Incremental: true})
				w.runOne(service.JobBackupCapture)
				before := w.packObjects()
				w.during(fault.Put, "", func() {
					w.delete(gone, false)
					w.delete(parent, false)
					for w.runOne(service.JobBackupDelete) {
					}
					w.clock.Advance(2 * time.Second)
					if !w.runOne(service.JobVaultCollect) {
						t.Error("no collection is queued")
					}
					if r := w.lastReport(service.JobVaultCollect); r.Collect == nil || !r.Collect.Waiting || r.Collect.Condemned == 0 {
						t.Errorf("the collection says %+v", r.Collect)
					}
					after := w.packObjects()
					for name := range before {
						if !after[name] {
							t.Errorf("object %s was removed while an older session was open", name)
						}
					}
					if c.fails {
						w.store.Add(fault.Fault{Op: fault.Put, Match: "/" + string(format.Records) + "/", Err: blob.ErrNoSpace})
					}
				})
				w.runOne(service.JobBackupStore)
				w.store.Clear()
				w.wantBackup(child, c.want)
				for w.runOne(service.JobBackupDelete) { // of the parent, which was pinned
				}
				if !w.runOne(service.JobVaultCollect) { // no time has passed
					t.Fatalf("the end of the session didn't start a collection; jobs:\n%s", w.jobList())
				}
				if r := w.lastReport(service.JobVaultCollect); r.Collect == nil || r.Collect.Waiting || r.Collect.Freed == 0 {
					t.Errorf("the collection says %+v", r.Collect)
				}
				w.runAll()
				w.wantTidy()
				w.wantNoOrphans()
				if !c.fails {
					w.wantContent(w.restored(alice, child), content)
				}
			})
		})
	}
}

// flaky is a ledger that fails at one call, before or after it has done it.
type flaky struct {
	vault.Ledger
	at    int // counts down
	after bool
}

var errCut = errors.New("the answer got lost")

func (f *flaky) call(do func() error) error {
	f.at--
	if f.at == 0 && !f.after {
		return errCut
	}
	err := do()
	if f.at == 0 && err == nil {
		err = errCut
	}
	return err
}

func (f *flaky) Survey(ctx context.Context, s vault.SessionRef, pack func(vault.PackRow) error) (v vault.Survey, err error) {
	err = f.call(func() error { v, err = f.Ledger.Survey(ctx, s, pack); return err })
	return v, err
}

func (f *flaky) Condemn(ctx context.Context, s vault.SessionRef, packs []vault.PackGen) (epoch int64, err error) {
	err = f.call(func() error { epoch, err = f.Ledger.Condemn(ctx, s, packs); return err })
	return epoch, err
}

func (f *flaky) Switch(ctx context.Context, s vault.SessionRef, w vault.Switch) (epoch int64, err error) {
	err = f.call(func() error { epoch, err = f.Ledger.Switch(ctx, s, w); return err })
	return epoch, err
}

func (f *flaky) Forget(ctx context.Context, s vault.SessionRef, objects []string, done bool) error {
	return f.call(func() error { return f.Ledger.Forget(ctx, s, objects, done) })
}

// cutCollection runs a collection that fails at the n-th call of its ledger, as
// an attempt at the queued job that is lost then. It reports whether there was
// such a call.
func (w *world) cutCollection(n int, after bool) bool {
	w.t.Helper()
	w.clock.Advance(2 * time.Second)
	h := &hold{}
	found, err := w.queue.ProcessOne(w.ctx(), map[string]jobs.Handler{service.JobVaultCollect: h})
	must(w.t, err)
	if !found {
		w.t.Fatalf("no collection is queued:\n%s", w.jobList())
	}
	var row catalog.Vault
	w.view(func(ctx context.Context, tx *catalog.Tx) (err error) {
		row, err = tx.VaultOf(ctx, alice.ProjectID)
		return err
	})
	v, err := w.worker.Vaults.Open(w.ctx(), row.ID, worker.NewReader(w.db))
	must(w.t, err)
	session, err := worker.StepOf(h.run.Job.ID, "collect")
	must(w.t, err)
	ref := vault.SessionRef{Vault: row.ID, Session: session, Token: h.run.Job.Attempt}
	ledger := worker.NewLedger(w.db, h.run)
	_, err = v.Collect(w.ctx(), vault.CollectRequest{Session: ref, Ledger: &flaky{ledger, n, after}})
	cut := errors.Is(err, errCut)
	if err != nil && !cut {
		w.t.Errorf("call %d: %v", n, err)
	}
	w.lose()
	if !cut {
		return false
	}

	// Another one takes over; the first, which isn't dead, changes nothing.
	next := &hold{}
	_, err = w.queue.ProcessOne(w.ctx(), map[string]jobs.Handler{service.JobVaultCollect: next})
	must(w.t, err)
	if next.run == nil || next.run.Job.ID != h.run.Job.ID {
		w.t.Fatal("the job was not taken over")
	}
	for what, err := range map[string]error{
		"survey":  func() error { _, err := ledger.Survey(w.ctx(), ref, nil); return err }(),
		"condemn": func() error { _, err := ledger.Condemn(w.ctx(), ref, nil); return err }(),
		"switch":  func() error { _, err := ledger.Switch(w.ctx(), ref, vault.Switch{}); return err }(),
		"forget":  ledger.Forget(w.ctx(), ref, nil, true),
	} {
		if !errors.Is(err, vault.ErrFenced) {
			w.t.Errorf("%s by the first attempt: %v", what, err)
		}
	}
	w.lose()
	return true
}

// A collection is cut off at each call of its ledger in turn, before and after
// the catalog has done what was asked for. Another attempt goes on.
func TestCutCollection(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		kept := w.backUp(alice, service.NewBackup{VolumeID: vol})
		then := content.clone()
		calls := 0
		for _, after := range []bool{false, true} {
			for n, again := 1, true; again; n++ {
				w.scribble(vol, content, 3*uint64(n)+100)
				id := w.backUp(alice, service.NewBackup{VolumeID: vol, Incremental: true})
				w.delete(id, false)
				for w.runOne(service.JobBackupDelete) {
				}
				if again = w.cutCollection(n, after); again {
					calls++
				}
				w.runAll()
				w.wantTidy()
				w.wantNoOrphans()
				if t.Failed() {
					t.Fatalf("cut at call %d, after it: %v; jobs:\n%s", n, after, w.jobList())
				}
			}
		}
		if calls < 8 {
			t.Errorf("cut %d times only", calls)
		}
		w.wantContent(w.restored(alice, kept), then)
	})
}

// A collection is stopped at each call of the store, and another process goes
// on.
func TestStoppedCollection(t *testing.T) {
	t.Parallel()
	for _, op := range []fault.Op{fault.Put, fault.Delete, fault.Get} {
		stoppedAtEach(t, op, func(w *world) func() {
			vol, content := w.filled(1)
			first := w.backUp(alice, service.NewBackup{VolumeID: vol})
			w.scribble(vol, content, 2)
			second := w.backUp(alice, service.NewBackup{VolumeID: vol, Incremental: true})
			w.delete(first, false)
			for w.runOne(service.JobBackupDelete) {
			}
			w.clock.Advance(2 * time.Second)
			return func() {
				w.wantNoOrphans()
				w.wantContent(w.restored(alice, second), content)
			}
		})
	}
}

// A collection is cut off after each call of its ledger in turn, and before it
// goes on another backup is deleted: what that one needed comes back as well.
func TestDeletionWhileACutCollectionWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	for n, again := 1, true; again; n++ {
		var ids [2]string
		for i := range ids {
			vol, _ := w.filled(uint64(2*n + i))
			ids[i] = w.backUp(alice, service.NewBackup{VolumeID: vol})
		}
		w.delete(ids[0], false)
		for w.runOne(service.JobBackupDelete) {
		}
		again = w.cutCollection(n, true)
		w.delete(ids[1], false)
		for w.runOne(service.JobBackupDelete) {
		}
		w.runAll()
		if left := w.stored(); left != 0 {
			t.Fatalf("cut after call %d: %d bytes are left; jobs:\n%s", n, left, w.jobList())
		}
		w.wantTidy()
	}
}
