package catalog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

var (
	vaultID   = catalog.ID{0: 0xfe, 15: 1}
	sessionID = catalog.ID{0: 0xfd, 15: 2}
)

func ref(token int64) catalog.SessionRef {
	return catalog.SessionRef{Vault: vaultID, ID: sessionID, Token: token}
}

func packID(n int) (id catalog.ID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func pack(n int, generation uint32) catalog.Pack {
	return catalog.Pack{
		ID: packID(n), Generation: generation, Kind: 1, Object: "packs/x", Offset: int64(n) << 20, Length: 1 << 20,
		DirOffset: 77, DirObject: "dirs/x", DirAt: 5, Live: 8192,
	}
}

func packs(from, to int) []catalog.Pack {
	var all []catalog.Pack
	for n := from; n < to; n++ {
		all = append(all, pack(n, 1))
	}
	return all
}

// withVault gives a database with a vault and an available backup "parent".
func withVault(t *testing.T, f func(*testing.T, *catalog.DB)) {
	t.Helper()
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return errors.Join(
				tx.InsertVault(ctx, catalog.Vault{ID: vaultID, ProjectID: "p", Incarnation: catalog.ID{9}}),
				tx.InsertBackup(ctx, aBackup("parent")))
		})
		f(t, db)
	})
}

func begin(t *testing.T, db *catalog.DB, token int64, parent string) (catalog.Session, error) {
	t.Helper()
	var s catalog.Session
	err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
		s, err = tx.BeginSession(ctx, catalog.BeginSession{
			ID: sessionID, Vault: vaultID, Token: token, JobID: "j", BackupID: "b", ParentBackup: parent,
		})
		return err
	})
	return s, err
}

func checkpoint(t *testing.T, db *catalog.DB, token int64, c catalog.Checkpoint) error {
	t.Helper()
	return tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.CheckpointSession(ctx, ref(token), c) })
}

func commit(t *testing.T, db *catalog.DB, token int64, ps []catalog.Pack, s *catalog.Segment) error {
	t.Helper()
	return tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.CommitSession(ctx, ref(token), ps, s) })
}

func writable(t *testing.T, db *catalog.DB) []catalog.ID {
	t.Helper()
	var ids []catalog.ID
	view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
		return tx.Writable(ctx, vaultID, func(id catalog.ID, generation uint32) error {
			if generation != 1 {
				t.Errorf("pack %x is writable in generation %d", id, generation)
			}
			ids = append(ids, id)
			return nil
		})
	})
	slices.SortFunc(ids, func(a, b catalog.ID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

func pinned(t *testing.T, db *catalog.DB, id string) (is bool) {
	t.Helper()
	view(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
		is, err = tx.Pinned(ctx, id)
		return err
	})
	return is
}

func TestVaults(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		want := catalog.Vault{ID: vaultID, ProjectID: "p", Incarnation: catalog.ID{9}, CreatedAt: start}
		check := func(ctx context.Context, tx *catalog.Tx) error {
			a, err1 := tx.VaultOf(ctx, "p")
			b, err2 := tx.Vault(ctx, vaultID)
			all, err3 := tx.Vaults(ctx)
			diff(t, "vaults", []catalog.Vault{want, want, want}, append(all, a, b))
			return errors.Join(err1, err2, err3)
		}
		update(t, db, check)
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.ReadyVault(ctx, vaultID) })
		want.Ready = true
		view(t, db, check)

		for _, set := range []catalog.ID{{5}, {4}, {6}} {
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				chosen, err := tx.ChooseKeys(ctx, vaultID, set)
				if err == nil && chosen != (catalog.ID{5}) {
					t.Errorf("set %x was chosen after another", chosen)
				}
				return err
			})
		}

		err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.InsertVault(ctx, catalog.Vault{ID: catalog.ID{1}, ProjectID: "p"})
		})
		if !catalog.IsUnique(err) {
			t.Errorf("a second vault of a project: %v", err)
		}
		for name, do := range map[string]step{
			"of":    func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.VaultOf(ctx, "q"); return err },
			"by id": func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.Vault(ctx, catalog.ID{1}); return err },
			"ready": func(ctx context.Context, tx *catalog.Tx) error { return tx.ReadyVault(ctx, catalog.ID{1}) },
			"choose": func(ctx context.Context, tx *catalog.Tx) error {
				_, err := tx.ChooseKeys(ctx, catalog.ID{1}, catalog.ID{2})
				return err
			},
			"advance": func(ctx context.Context, tx *catalog.Tx) error {
				_, err := tx.AdvanceEpoch(ctx, catalog.ID{1})
				return err
			},
		} {
			if err := tryUpdate(t, db, do); backup.KindOf(err) != backup.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestEpochsAreInOrder(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		var mu sync.Mutex
		var epochs []int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				var epoch int64
				err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) (err error) {
					epoch, err = tx.AdvanceEpoch(ctx, vaultID)
					return err
				})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				epochs = append(epochs, epoch)
			})
		}
		wg.Wait()
		slices.Sort(epochs)
		diff(t, "epochs", []int64{1, 2, 3, 4, 5, 6, 7, 8}, epochs)
	})
}

func TestSessionCommits(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		s, err := begin(t, db, 1, "parent")
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "session", catalog.Session{
			ID: sessionID, Vault: vaultID, JobID: "j", BackupID: "b", ParentBackup: "parent",
			Token: 1, Epoch: 1, State: catalog.SessionOpen, CreatedAt: start,
		}, s)
		c := catalog.Checkpoint{SourceState: "s", Offset: 4096, State: []byte{0, 1, 2}, Packs: packs(0, 3)}
		for range 2 { // the answer to the first may have been lost
			if err := checkpoint(t, db, 1, c); err != nil {
				t.Fatal(err)
			}
		}
		if ids := writable(t, db); len(ids) != 0 {
			t.Errorf("writable before the commit: %x", ids)
		}
		if !pinned(t, db, "parent") {
			t.Error("the parent is not pinned")
		}
		if err := commit(t, db, 1, packs(3, 5), &catalog.Segment{Object: "seg", Size: 9}); err != nil {
			t.Fatal(err)
		}
		diff(t, "writable", []catalog.ID{packID(0), packID(1), packID(2), packID(3), packID(4)}, writable(t, db))
		if pinned(t, db, "parent") {
			t.Error("the parent is still pinned")
		}
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			segments, err1 := tx.Segments(ctx, vaultID)
			diff(t, "segments", []catalog.Segment{{Object: "seg", Size: 9}}, segments)
			mine, err2 := tx.SessionPacks(ctx, sessionID)
			diff(t, "packs", packs(0, 5), mine)
			s, ok, err3 := tx.Session(ctx, sessionID)
			if !ok || s.State != catalog.SessionCommitted || s.Checkpoint != nil || !s.EndedAt.Equal(start) {
				t.Errorf("session is %+v", s)
			}
			parents, err4 := tx.SessionParents(ctx, "b")
			diff(t, "parents", []string{"parent"}, parents)
			return errors.Join(err1, err2, err3, err4)
		})
		ended(t, db, 9)
	})
}

// ended checks that nothing can be done with the session any more.
func ended(t *testing.T, db *catalog.DB, token int64) {
	t.Helper()
	if _, err := begin(t, db, token, ""); !errors.Is(err, catalog.ErrFenced) {
		t.Errorf("begin: %v", err)
	}
	if err := checkpoint(t, db, token, catalog.Checkpoint{}); !errors.Is(err, catalog.ErrFenced) {
		t.Errorf("checkpoint: %v", err)
	}
	before := writable(t, db)
	if err := commit(t, db, token, packs(900, 901), nil); !errors.Is(err, catalog.ErrFenced) {
		t.Errorf("commit: %v", err)
	}
	diff(t, "writable afterwards", before, writable(t, db))
}

func TestSessionIsTakenOver(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		first, err := begin(t, db, 1, "parent")
		if err != nil {
			t.Fatal(err)
		}
		if err := checkpoint(t, db, 1, catalog.Checkpoint{SourceState: "s", Offset: 1, State: []byte("one"), Packs: packs(0, 1)}); err != nil {
			t.Fatal(err)
		}
		second, err := begin(t, db, 3, "another")
		if err != nil {
			t.Fatal(err)
		}
		want := first
		want.Token = 3
		want.Checkpoint = &catalog.Checkpoint{SourceState: "s", Offset: 1, State: []byte("one")}
		diff(t, "session", want, second)
		if again, err := begin(t, db, 3, ""); err != nil || again.Epoch != first.Epoch {
			t.Errorf("the same attempt again: %+v, %v", again, err)
		}
		ended(t, db, 1)
		ended(t, db, 2)
		if err := checkpoint(t, db, 3, catalog.Checkpoint{SourceState: "s", Offset: 2, State: []byte("two"), Packs: packs(1, 2)}); err != nil {
			t.Error(err)
		}
		if err := commit(t, db, 3, nil, nil); err != nil {
			t.Error(err)
		}
		diff(t, "writable", []catalog.ID{packID(0), packID(1)}, writable(t, db))
	})
}

func TestSessionIsAbandoned(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		if _, err := begin(t, db, 1, "parent"); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint(t, db, 1, catalog.Checkpoint{Packs: packs(0, 2)}); err != nil {
			t.Fatal(err)
		}
		for _, id := range []catalog.ID{sessionID, sessionID, {}} {
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.AbandonSession(ctx, id) })
		}
		ended(t, db, 1)
		if pinned(t, db, "parent") {
			t.Error("the parent is still pinned")
		}
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			mine, err := tx.SessionPacks(ctx, sessionID)
			diff(t, "packs that are nobody's", packs(0, 2), mine)
			return err
		})
	})
}

func TestSessionWithoutItsParent(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.SetBackupStatus(ctx, "parent", backup.Deleting, "")
		})
		s, err := begin(t, db, 1, "parent")
		if err != nil || s.ParentBackup != "" || pinned(t, db, "parent") {
			t.Errorf("got %+v, %v", s, err)
		}
	})
}

func TestPinKeepsADeletedBackup(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		pin := func(holder string) error {
			return tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.Pin(ctx, "parent", holder) })
		}
		purge := func() error {
			return tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.PurgeBackup(ctx, "parent") })
		}
		for range 2 {
			if err := pin("reader"); err != nil {
				t.Fatal(err)
			}
		}
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.SetBackupStatus(ctx, "parent", backup.Deleted, "")
		})
		if err := purge(); backup.KindOf(err) != backup.Conflict {
			t.Errorf("purge while pinned: %v", err)
		}
		if err := pin("reader"); err != nil {
			t.Errorf("the same holder again: %v", err)
		}
		if err := pin("late"); backup.KindOf(err) != backup.NotFound {
			t.Errorf("a new holder: %v", err)
		}
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.Unpin(ctx, "reader") })
		if err := purge(); err != nil {
			t.Errorf("purge: %v", err)
		}
	})
}

func TestManyPacks(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		const n = 1201 // of several statements
		if _, err := begin(t, db, 1, ""); err != nil {
			t.Fatal(err)
		}
		if err := commit(t, db, 1, append(packs(0, n), pack(7, 3), pack(7, 2)), nil); err != nil {
			t.Fatal(err)
		}
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			ids := []catalog.ID{packID(n), packID(7)}
			want := []catalog.Pack{{ID: packID(n)}, pack(7, 3)}
			for i := n - 1; i > 7; i-- {
				ids, want = append(ids, packID(i)), append(want, pack(i, 1))
			}
			got, err := tx.Packs(ctx, vaultID, ids)
			diff(t, "packs", want, got)
			return err
		})
	})
}

func TestAPackHasOnePlace(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		if _, err := begin(t, db, 1, ""); err != nil {
			t.Fatal(err)
		}
		if err := checkpoint(t, db, 1, catalog.Checkpoint{Packs: packs(0, 1)}); err != nil {
			t.Fatal(err)
		}
		moved := pack(0, 1)
		moved.Object = "elsewhere"
		if err := checkpoint(t, db, 1, catalog.Checkpoint{Packs: []catalog.Pack{moved}}); err == nil {
			t.Error("a pack was recorded in two objects")
		}
		other := catalog.ID{1}
		err := tryUpdate(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.BeginSession(ctx, catalog.BeginSession{ID: other, Vault: vaultID, Token: 1})
			if err != nil {
				return err
			}
			return tx.CheckpointSession(ctx, catalog.SessionRef{Vault: vaultID, ID: other, Token: 1}, catalog.Checkpoint{Packs: packs(0, 1)})
		})
		if err == nil {
			t.Error("a pack was recorded by two sessions")
		}
	})
}

func TestSegmentsAreInOrderOfCommits(t *testing.T) {
	withVault(t, func(t *testing.T, db *catalog.DB) {
		var want []catalog.Segment
		for i := range 5 {
			s := catalog.Segment{Object: string(rune('e' - i)), Size: int64(i)}
			want = append(want, s)
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				id := catalog.ID{byte(9 - i)}
				if _, err := tx.BeginSession(ctx, catalog.BeginSession{ID: id, Vault: vaultID, Token: 1}); err != nil {
					return err
				}
				return tx.CommitSession(ctx, catalog.SessionRef{Vault: vaultID, ID: id, Token: 1}, nil, &s)
			})
		}
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			got, err := tx.Segments(ctx, vaultID)
			diff(t, "segments", want, got)
			return err
		})
	})
}
