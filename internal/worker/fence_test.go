package worker_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/worker"
)

// attempt is a claimed job and its fence.
type attempt struct {
	vault.Fence
	run *jobs.Run
	ref vault.SessionRef
}

// hold is a handler that keeps what it is given.
type hold struct{ run *jobs.Run }

func (h *hold) Run(_ context.Context, r *jobs.Run) error {
	h.run = r
	return jobs.ErrLost // so that the queue leaves the job as it is
}
func (h *hold) Fail(context.Context, *catalog.Tx, jobs.Job, error) error { return nil }

// begin claims the one queued store job as process p.
func (w *world) attempt(p process, vaultID vault.ID, backupID string, committed *bool) attempt {
	w.t.Helper()
	h := &hold{}
	found, err := p.queue.ProcessOne(w.ctx(), map[string]jobs.Handler{service.JobBackupStore: h})
	must(w.t, err)
	if !found {
		w.t.Fatal("no job to claim")
	}
	session, err := uuid.Parse(h.run.Job.ID)
	must(w.t, err)
	return attempt{
		run: h.run, ref: vault.SessionRef{Vault: vaultID, Session: vault.ID(session), Token: h.run.Job.Attempt},
		Fence: worker.NewFence(w.db, h.run, backupID, func(ctx context.Context, tx *catalog.Tx, c vault.Commit) error {
			*committed = true
			return nil
		}),
	}
}

// lose puts the running jobs back, as if their worker were dead.
func (w *world) lose() {
	w.t.Helper()
	w.update(func(ctx context.Context, tx *catalog.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE jobs SET state = 'queued', worker = '' WHERE state = 'running'")
		return err
	})
}

func randomID(t testing.TB) (id vault.ID) {
	_, err := rand.Read(id[:])
	must(t, err)
	return id
}

func TestFence(t *testing.T) {
	t.Parallel()
	eachDB(t, options{}, func(t *testing.T, w *world) {
		vol, content := w.filled(1)
		parent := w.backUp(alice, service.NewBackup{VolumeID: vol})
		w.scribble(vol, content, 2)
		id := w.ask(alice, service.NewBackup{VolumeID: vol})
		w.runOne(service.JobBackupCapture)
		var row catalog.Vault
		var rec catalog.Record
		w.view(func(ctx context.Context, tx *catalog.Tx) (err error) {
			if row, err = tx.VaultOf(ctx, "p1"); err != nil {
				return err
			}
			rec, err = tx.BackupRecord(ctx, parent)
			return err
		})
		committed := false
		first := w.attempt(w.process, row.ID, id, &committed)
		begun, err := first.Begin(w.ctx(), first.ref)
		must(t, err)
		if begun.Epoch <= row.Epoch || begun.Resume != nil || len(begun.Writable) == 0 || begun.Incarnation != row.Incarnation {
			t.Errorf("begun %+v", begun)
		}
		if begun.Parent == nil || begun.Parent.Object != rec.Object || begun.Parent.Hash != rec.Hash {
			t.Errorf("parent %+v, want that of record %s", begun.Parent, rec.Object)
		}
		pack := vault.Placement{Pack: randomID(t), Generation: 1, Kind: vault.DataPack, Object: "o", Offset: 1, Length: 2, DirOffset: 3, DirObject: "d", DirAt: 4, Live: 5}
		saved := vault.Checkpoint{SourceState: "s", Offset: 4096, State: []byte("state"), Packs: []vault.Placement{pack}}
		must(t, first.Checkpoint(w.ctx(), first.ref, saved))

		// Taken over: the parent may go meanwhile, the pin stays.
		w.lose()
		w.delete(parent, false)
		w.runOne(service.JobBackupDelete)
		second := w.attempt(w.startProcess(options{}), row.ID, id, &committed)
		again, err := second.Begin(w.ctx(), second.ref)
		must(t, err)
		if again.Epoch != begun.Epoch || !cmp.Equal(again.Parent, begun.Parent) {
			t.Errorf("taken over: epoch %d and parent %v, want %d and %v", again.Epoch, again.Parent, begun.Epoch, begun.Parent)
		}
		if again.Resume == nil || again.Resume.Offset != saved.Offset || string(again.Resume.State) != "state" || again.Resume.SourceState != "s" {
			t.Errorf("goes on from %+v", again.Resume)
		}
		if diff := cmp.Diff([]vault.Placement{pack}, again.Generations); diff != "" {
			t.Error(diff)
		}
		for _, p := range again.Writable {
			if p.Pack == pack.Pack {
				t.Error("an uncommitted pack is writable")
			}
		}

		// The first attempt is fenced off from everything that writes.
		commit := vault.Commit{Record: vault.RecordRef{Object: "r"}}
		for what, err := range map[string]error{
			"begin":      func() error { _, err := first.Begin(w.ctx(), first.ref); return err }(),
			"checkpoint": first.Checkpoint(w.ctx(), first.ref, saved),
			"commit":     first.Commit(w.ctx(), first.ref, commit),
		} {
			if !errors.Is(err, vault.ErrFenced) {
				t.Errorf("%s by the first attempt: %v", what, err)
			}
		}
		if committed {
			t.Error("the first attempt has committed")
		}
		places, err := second.Locate(w.ctx(), row.ID, []vault.ID{randomID(t), pack.Pack})
		must(t, err)
		if places[0].Object != "" || !cmp.Equal(places[1], pack) {
			t.Errorf("located %+v", places)
		}
		must(t, second.Commit(w.ctx(), second.ref, commit))
		if !committed {
			t.Error("the commit did nothing")
		}
		if err := second.Commit(w.ctx(), second.ref, commit); !errors.Is(err, vault.ErrFenced) {
			t.Errorf("a second commit: %v", err)
		}
		if n := w.count("SELECT COUNT(*) FROM vault_pins"); n != 0 {
			t.Errorf("%d pins after the commit", n)
		}
	})
}

// A session of a backup that was given up can't begin, and one that was
// abandoned can't go on.
func TestFenceOfGivenUpBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	vol, _ := w.filled(1)
	id := w.ask(alice, service.NewBackup{VolumeID: vol})
	w.runOne(service.JobBackupCapture)
	var vaultID vault.ID
	w.update(func(ctx context.Context, tx *catalog.Tx) error {
		return tx.InsertVault(ctx, catalog.Vault{ID: vaultID, ProjectID: "p1"})
	})
	committed := false
	a := w.attempt(w.process, vaultID, id, &committed)
	_, err := a.Begin(w.ctx(), a.ref)
	must(t, err)
	w.update(func(ctx context.Context, tx *catalog.Tx) error { return tx.AbandonSession(ctx, a.ref.Session) })
	if err := a.Checkpoint(w.ctx(), a.ref, vault.Checkpoint{}); !errors.Is(err, vault.ErrFenced) {
		t.Errorf("checkpoint of an abandoned session: %v", err)
	}
	if _, err := a.Begin(w.ctx(), a.ref); !errors.Is(err, vault.ErrFenced) {
		t.Errorf("begin of an abandoned session: %v", err)
	}
	must(t, w.service.ResetBackup(w.ctx(), root, id, backup.Errored))
	_, err = a.Begin(w.ctx(), a.ref)
	wantKind(t, err, backup.Canceled)
}
