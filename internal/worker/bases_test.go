package worker_test

import (
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/service"
)

// Where files share blocks, an incremental backup reads what the file system
// says has changed, and a secret sample; the instant of the newest backup is
// kept for that, and only that one.
func TestChangesAreReadWhereFilesShareBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{volumes: mountXFS(t)})
	vol := w.newVolume(alice, 1)
	content := newImage(backup.GiB)
	for i := range int64(5) { // more than the sample takes
		p := stuff(uint64(i), 40<<20)
		must(t, writeFile(w.path(vol), p, i*150<<20))
		content.write(i*150<<20, p)
	}
	first := w.backUp(alice, service.NewBackup{VolumeID: vol})
	w.wantBase(vol, first)
	w.scribble(vol, content, 7)
	second := w.backUp(alice, service.NewBackup{VolumeID: vol, Incremental: true})
	w.wantBase(vol, second)
	if all, some := w.backup(first).Stats.Read, w.backup(second).Stats.Read; some > all/2 {
		t.Errorf("%d bytes were read of %d", some, all)
	}
	third := w.backUp(alice, service.NewBackup{VolumeID: vol})
	if all, full := w.backup(first).Stats.Read, w.backup(third).Stats.Read; full < all {
		t.Errorf("a full backup read %d bytes of %d", full, all)
	}
	w.wantContent(w.restored(alice, second), content)
	must(t, w.service.DeleteVolume(w.ctx(), alice, vol, service.Delete{}))
	w.runAll()
	w.wantTidy()
}

func (w *world) wantBase(volume string, want ...string) {
	w.t.Helper()
	got, err := w.volumes.Bases(volume)
	must(w.t, err)
	if len(got) != len(want) || len(got) == 1 && got[0] != want[0] {
		w.t.Fatalf("bases %v, want %v", got, want)
	}
}

// Elsewhere a captured instant is a copy, and goes once it is stored.
func TestCopiesAreNotKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, options{})
	if w.volumes.Instant() {
		t.Skip("files share blocks here")
	}
	vol, _ := w.filled(1)
	w.backUp(alice, service.NewBackup{VolumeID: vol})
	w.wantBase(vol)
}
