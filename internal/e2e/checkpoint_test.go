package e2e_test

import (
	"syscall"
	"testing"
	"time"
)

// TestKilledAfterCheckpoint kills the server when a long backup has recorded
// what is durable of it. The next one goes on from there.
func TestKilledAfterCheckpoint(t *testing.T) {
	if *rounds < 10 {
		t.Skip("moves several GiB: runs with -e2e.rounds=10 and more")
	}
	r := newRand(t)
	s := newServer(t, settings{more: slow})
	s.start()
	volume := s.createVolume("disk", 2)
	const step = int64(64 << 20)
	for off := int64(0); off < 1400<<20; off += step {
		fill(t, r, s.volumeFile(volume), off, step)
	}
	want := digest(t, s.volumeFile(volume))

	id := s.createBackup(object{"volume_id": volume})
	s.wait("volume", volume, "available")
	within(t, 5*time.Minute, "more than a checkpoint's worth to be stored", func() bool { return size(t, s.objects()) > 700<<20 })
	s.kill(syscall.SIGKILL)
	resumable := false
	for _, l := range s.jobsLeft() {
		resumable = resumable || l.kind == "backup.store" && l.resumable
	}
	if !resumable {
		t.Errorf("jobs left: %v, want a backup with a durable part", s.jobsLeft())
	}
	s.resume()
	s.wait("backup", id, "available")
	if stored := size(t, s.objects()); stored > 2000<<20 {
		t.Errorf("the store holds %d bytes after a backup of %d: it didn't go on where it was", stored, 1400<<20)
	}
	t.Logf("stored %d MiB for %d MiB of noise", size(t, s.objects())>>20, 1400)
	s.comesBack(id, want)
}
