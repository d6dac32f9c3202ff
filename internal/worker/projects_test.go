package worker_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
	"holdfast/internal/volume"
	"holdfast/internal/worker"
)

// Equal data of two projects is stored twice: nobody learns from his own
// figures what another stores. Within a project it is stored once.
func TestProjectsShareNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	var fresh []int64
	for _, c := range []backup.Caller{alice, bob, alice} {
		w.tick()
		v, err := w.service.CreateVolume(w.ctx(), c, service.NewVolume{SizeGiB: 1})
		must(t, err)
		w.runAll()
		w.scribble(v.ID, newImage(backup.GiB), 1)
		fresh = append(fresh, w.backup(w.backUp(c, service.NewBackup{VolumeID: v.ID})).Stats.New)
	}
	// Which blocks a lookup begins with is the vault's secret, so that short
	// runs may be missed.
	if fresh[0] == 0 || fresh[1] < fresh[0]*9/10 || fresh[2] > fresh[0]/2 {
		t.Errorf("new bytes of alice, bob and alice again: %v", fresh)
	}
}

// What trying again may mend is tried again, and nothing else; reasons say
// what a tenant may know.
func TestWhatFailuresMean(t *testing.T) {
	t.Parallel()
	secret := &fs.PathError{Op: "read", Path: "/srv/secret", Err: errors.New("input/output error")}
	for _, c := range []struct {
		err    error
		kind   backup.Kind
		reason string
	}{
		{blob.ErrNoSpace, backup.Internal, "The backup store is full. Earlier backups are not affected."},
		{volume.ErrNoSpace, backup.Internal, "The disk that holds the volumes is full."},
		{volume.ErrNotFound, backup.Internal, "The volume's data was not found on this host."},
		{volume.ErrInvalid, backup.Internal, "The volume's file on this host can't be used. Ask the operator, with this backup's id."},
		{vault.ErrTooSmall, backup.Internal, "The service failed. Ask the operator, with this backup's id."},
		{keyring.ErrMissing, backup.Internal, "The key of this project's vault is missing from the store."},
		{keyring.ErrWrongKey, backup.Internal, "The master key does not fit this project's vault."},
		{&vault.SourceError{Err: secret}, backup.Internal, "The volume could not be read: input/output error."},
		{&vault.TargetError{Err: secret}, backup.Internal, "The target volume could not be written: input/output error."},
		{&vault.CorruptError{Object: "o"}, backup.Corrupt, "Stored data is damaged: object o."},
		{context.Canceled, backup.Internal, "Stopped on request."},
		{backup.Errorf(backup.Canceled, "x"), backup.Canceled, "Stopped on request."},
		{secret, backup.Unavailable, "The backup store or the database could not be reached. Ask the operator, with this backup's id."},
	} {
		err := worker.Classify(fmt.Errorf("do: %w", c.err))
		if got := backup.KindOf(err); got != c.kind {
			t.Errorf("%v is %s, want %s", c.err, got, c.kind)
		}
		if got := worker.Reason(err); got != c.reason {
			t.Errorf("%v: %q, want %q", c.err, got, c.reason)
		}
	}
	if err := worker.Classify(vault.ErrFenced); !errors.Is(err, jobs.ErrLost) {
		t.Errorf("a fenced session: %v", err)
	}
}
