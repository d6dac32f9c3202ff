package worker_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/service"
	"holdfast/internal/vault/format"

	"holdfast/internal/blob"
)

var errAway = errors.New("the store is away")

// wantTidy fails where ended jobs left something that nothing needs: pins,
// open sessions, temporary files, captured instants, hidden backups, records,
// packs and objects that a collection was to remove.
func (w *world) wantTidy() {
	w.t.Helper()
	for what, query := range map[string]string{
		"unfinished jobs":      "SELECT COUNT(*) FROM jobs WHERE state IN ('queued', 'running')",
		"pins":                 "SELECT COUNT(*) FROM vault_pins",
		"open sessions":        "SELECT COUNT(*) FROM vault_sessions WHERE state = 'open'",
		"checkpoints":          "SELECT COUNT(*) FROM vault_checkpoints",
		"condemned packs":      "SELECT COUNT(*) FROM vault_packs WHERE state = 'condemned'",
		"dead objects":         "SELECT COUNT(*) FROM vault_dead",
		"hidden backups":       "SELECT COUNT(*) FROM backups WHERE status = 'deleted'",
		"backups in between":   "SELECT COUNT(*) FROM backups WHERE status IN ('creating', 'restoring', 'deleting')",
		"snapshots in between": "SELECT COUNT(*) FROM snapshots WHERE status IN ('creating', 'backing-up', 'deleting')",
		"volumes in between": `SELECT COUNT(*) FROM volumes
			WHERE status IN ('creating', 'backing-up', 'restoring-backup', 'extending', 'deleting')`,
	} {
		if n := w.count(query); n != 0 {
			w.t.Errorf("%d %s left; jobs:\n%s", n, what, w.jobList())
		}
	}
	w.wantFiles()
	w.wantRecords()
}

// wantFiles compares the volume folder with the catalog.
func (w *world) wantFiles() {
	w.t.Helper()
	want := map[string]bool{}
	ids := map[string]bool{}
	for _, v := range w.allVolumes() {
		want[v.ID+".raw"], ids[v.ID] = true, true
	}
	p, err := w.service.Snapshots(w.ctx(), root, everything)
	must(w.t, err)
	for _, s := range p.Items {
		want["snapshots/"+s.ID+".raw"] = true
	}
	bases := map[string]int{}
	must(w.t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lost+found" {
			return err
		}
		name, err := filepath.Rel(w.dir, path)
		if id, ok := strings.CutPrefix(name, "base/"); ok && w.volumes.Instant() && ids[id[:36]] {
			if bases[id[:36]]++; bases[id[:36]] > 1 {
				w.t.Errorf("volume %s has more than one base", id[:36])
			}
			return err
		}
		if !want[name] {
			w.t.Errorf("file %s is left", name)
		}
		delete(want, name)
		return err
	}))
	for name := range want {
		// A volume or snapshot that could not be made has no file.
		if !w.failed(name) {
			w.t.Errorf("file %s is missing", name)
		}
	}
}

func (w *world) failed(file string) bool {
	id := strings.TrimSuffix(filepath.Base(file), ".raw")
	return w.count(`SELECT COUNT(*) FROM volumes WHERE id = $1 AND status <> 'available'`, id)+
		w.count(`SELECT COUNT(*) FROM snapshots WHERE id = $1 AND status <> 'available'`, id) > 0
}

// wantRecords fails where a record belongs to no backup.
func (w *world) wantRecords() {
	w.t.Helper()
	known := map[string]bool{}
	p, err := w.service.Backups(w.ctx(), root, everything)
	must(w.t, err)
	for _, b := range p.Items {
		known[b.ID] = true
		if b.Status == backup.Available && w.records(b.ID) == 0 {
			w.t.Errorf("available backup %s has no record", b.ID)
		}
	}
	must(w.t, w.objects.List(w.ctx(), "", func(o blob.Info) error {
		if n, err := format.ParseRecordName(o.Name); err == nil && !known[format.UUID(n.Backup)] {
			w.t.Errorf("record %s belongs to no backup", o.Name)
		}
		return nil
	}))
}

// wantNothing fails where any resource is left.
func (w *world) wantNothing() {
	w.t.Helper()
	for _, table := range []string{"volumes", "snapshots", "backups", "backup_records"} {
		if n := w.count("SELECT COUNT(*) FROM " + table); n != 0 {
			w.t.Errorf("%d %s left", n, table)
		}
	}
}

var everything = service.List{Limit: 1 << 20, AllProjects: true}

func (w *world) allVolumes() []backup.Volume {
	w.t.Helper()
	var all []backup.Volume
	w.view(func(ctx context.Context, tx *catalog.Tx) (err error) {
		all, err = tx.Volumes(ctx, catalog.Query{Limit: 1 << 20})
		return err
	})
	return all
}

// mountXFS mounts an empty XFS that shares blocks, until the test ends.
func mountXFS(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a file system")
	}
	if _, err := exec.LookPath("mkfs.xfs"); err != nil {
		t.Skip("needs mkfs.xfs (package xfsprogs)")
	}
	dir := t.TempDir()
	image, point := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 8<<30))
	must(t, os.Mkdir(point, 0o700))
	if out, err := exec.Command("mkfs.xfs", "-q", "-m", "reflink=1", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.xfs: %v: %s", err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, point).CombinedOutput(); err != nil {
		t.Skipf("this machine can't mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", point).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return point
}
