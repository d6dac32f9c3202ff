package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/config"
	"holdfast/internal/identity"
	"holdfast/internal/service"
)

// openDisk opens a new data folder, and writes a disk of two MiB beside it.
func openDisk(t *testing.T) (v *Vault, path string) {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Data = filepath.Join(dir, "data")
	v, err := OpenVault(t.Context(), cfg.Resolve(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	path = filepath.Join(dir, "disk")
	disk(t, path, 1, 2)
	return v, path
}

// An interrupted command leaves nothing that anybody waits for.
func TestBackupGivenUp(t *testing.T) {
	v, path := openDisk(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := v.Backup(ctx, PathBackup{Volume: "disk", Path: path, Progress: func(Progress) { cancel() }})
	if err == nil || !strings.HasPrefix(err.Error(), "given up: ") {
		// The last word may come when all is committed.
		all, lerr := v.List(t.Context(), "")
		if err != nil || lerr != nil || len(all) != 1 || all[0].Status != string(backup.Available) {
			t.Fatalf("gave up with %v; %+v, %v", err, all, lerr)
		}
		t.Skip("it was over before it could be given up")
	}
	all, err := v.List(t.Context(), "")
	if err != nil || len(all) != 1 || all[0].Status != string(backup.Errored) {
		t.Fatalf("left %+v, %v", all, err)
	}
	if s, err := v.Stats(t.Context(), ""); err != nil || s.Sessions != 0 {
		t.Errorf("left sessions: %+v, %v", s, err)
	}
	if _, err := v.DeleteAll(t.Context(), "", []string{all[0].ID}, false); err != nil {
		t.Error(err)
	}
	if res, err := v.Backup(t.Context(), PathBackup{Volume: "disk", Path: path}); err != nil || res.Read != 2<<20 {
		t.Errorf("after that: %+v, %v", res, err)
	}
}

// cut is a stream whose writer is interrupted along with its reader: it ends
// as if it were whole.
type cut struct {
	io.Reader
	interrupt func()
}

func (c cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		c.interrupt()
	}
	return n, err
}

func TestStreamGivenUp(t *testing.T) {
	v, _ := openDisk(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := v.Backup(ctx, PathBackup{Volume: "disk", Stream: cut{bytes.NewReader(make([]byte, 100_000)), cancel}})
	if err == nil || !strings.HasPrefix(err.Error(), "given up: ") {
		t.Errorf("it ended with %v", err)
	}
	if all, err := v.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("half a stream became a backup: %+v, %v", all, err)
	}
}

// Another process can't go on with a stream, and reads everything of a file
// whose change map it hasn't got.
func TestGoingOnWithoutWhatTheFirstProcessHeld(t *testing.T) {
	v, path := openDisk(t)
	ctx := t.Context()
	first, err := v.Backup(ctx, PathBackup{Volume: "disk", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.caller(ctx, identity.AdminName)
	if err != nil {
		t.Fatal(err)
	}
	b, job, err := v.service.CreatePathBackup(ctx, c, service.PathBackup{Volume: "disk", Path: "-", Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.runWith(ctx, job, v.worker.Handlers()); err == nil || !strings.Contains(err.Error(), "the process that had the stream has ended") {
		t.Errorf("a stream from nowhere: %v", err)
	}
	if it, err := v.Show(ctx, "", b.ID); err != nil || it.Status != string(backup.Errored) {
		t.Errorf("it left %+v, %v", it, err)
	}
	b, job, err = v.service.CreatePathBackup(ctx, c, service.PathBackup{Volume: "disk", Path: path, Bytes: 2 << 20, Parent: first.ID})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.runWith(ctx, job, v.worker.Handlers()); err != nil {
		t.Fatal(err)
	}
	if it, err := v.Show(ctx, "", b.ID); err != nil || it.Read != 2<<20 || it.New != 0 || it.Parent != first.ID {
		t.Errorf("it made %+v, %v", it, err)
	}
}

// What can't be a parent is refused before anything is written.
func TestParentsOfPaths(t *testing.T) {
	v, path := openDisk(t)
	ctx := t.Context()
	failed, err := v.Backup(ctx, PathBackup{Volume: "disk", Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".map", []byte("[]"), 0o600); err != nil {
		t.Fatal(err)
	}
	ok, err := v.Backup(ctx, PathBackup{Volume: "disk", Path: path, Parent: failed.ID, ChangeMap: path + ".map"})
	if err != nil || !ok.ChangeMap || ok.New != 0 || ok.Parent != failed.ID || !ok.Incremental {
		t.Fatalf("an empty map: %+v, %v", ok, err)
	}
	if _, err := v.DeleteAll(ctx, "", []string{failed.ID}, false); err != nil {
		t.Fatal(err)
	}
	_, err = v.Backup(ctx, PathBackup{Volume: "disk", Path: path, Parent: failed.ID, ChangeMap: path + ".map"})
	if backup.KindOf(err) != backup.NotFound {
		t.Errorf("a deleted parent: %v", err)
	}
	if all, err := v.List(ctx, ""); err != nil || len(all) != 1 {
		t.Errorf("there are %+v, %v", all, err)
	}
}
