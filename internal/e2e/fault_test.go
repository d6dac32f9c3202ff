package e2e_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fails asks for a backup that can't be made and expects it to end as an
// error whose reason contains a text, with the volume as it was before. It
// returns what deletes it.
func (s *server) fails(volume, reason string) (forget func()) {
	s.t.Helper()
	id := s.createBackup(object{"volume_id": volume, "incremental": true})
	b := s.wait("backup", id, "error")
	if got, _ := b["fail_reason"].(string); !strings.Contains(got, reason) {
		s.t.Errorf("the backup failed with %q, want %q", got, reason)
	} else {
		s.t.Logf("fail_reason: %s", got)
	}
	if got := s.status("volume", volume); got != "available" {
		s.t.Errorf("the source volume is %s", got)
	}
	return func() {
		s.t.Helper()
		s.remove("backup", id)
		s.wait("backup", id, "gone")
	}
}

// comesBack restores a backup and compares it with what it must hold.
func (s *server) comesBack(backup string, want sum) {
	s.t.Helper()
	volume := s.restore(backup)
	s.wait("volume", volume, "available")
	if digest(s.t, s.volumeFile(volume)) != want {
		s.t.Errorf("backup %s came back wrong", backup)
	}
	s.remove("volume", volume)
	s.wait("volume", volume, "gone")
}

// A store that is full fails backups and nothing else.
func TestFullStore(t *testing.T) {
	t.Parallel()
	r := newRand(t)
	disk := smallDisk(t, 64)
	s := newServer(t, settings{more: "store: {local: {path: " + disk + "}}\n"})
	s.start()
	volume := s.createVolume("disk", 1)
	fill(t, r, s.volumeFile(volume), 0, 16<<20)
	first := s.finishBackup(volume, false)
	held := digest(t, s.volumeFile(volume))

	fill(t, r, s.volumeFile(volume), 32<<20, 96<<20)
	s.fails(volume, "backup store is full")()
	s.comesBack(first, held)
	forget := s.fails(volume, "backup store is full")

	run(t, "mount", "-o", "remount,size=512m", disk)
	forget()
	second := s.finishBackup(volume, true)
	s.comesBack(second, digest(t, s.volumeFile(volume)))
	s.comesBack(first, held)
}

// A disk of the data folder that is full, and with it the catalog, makes
// requests fail and nothing worse. When there is room again, all goes on.
func TestFullDataFolder(t *testing.T) {
	t.Parallel()
	r := newRand(t)
	disk := smallDisk(t, 128)
	store := t.TempDir()
	s := newServer(t, settings{data: filepath.Join(disk, "data"), more: "store: {local: {path: " + store + "}}\n"})
	s.start()
	volume := s.createVolume("disk", 1)
	fill(t, r, s.volumeFile(volume), 0, 16<<20)
	first := s.finishBackup(volume, false)
	held := digest(t, s.volumeFile(volume))

	ballast := filepath.Join(disk, "ballast")
	stuff(t, ballast)
	// Some pages of the catalog's log may be left: ask until there is none.
	within(t, 60*time.Second, "requests to be refused", func() bool {
		a := s.call("PUT", s.volume+"/volumes/"+volume, object{"volume": object{"description": strings.Repeat("x", 200)}})
		if a.code >= 500 {
			t.Logf("with the disk full: %d %s", a.code, a.raw)
		}
		return a.code >= 500
	})
	if a := s.call("POST", s.volume+"/backups", object{"backup": object{"volume_id": volume}}); a.code != http.StatusServiceUnavailable {
		t.Errorf("a backup was asked for with the disk full: %d %s", a.code, a.raw)
	}
	if got := s.status("backup", first); got != "available" {
		t.Errorf("with the disk full the earlier backup is %s", got)
	}
	if a := s.call("GET", s.admin+"/healthz", nil); a.code != http.StatusOK {
		t.Errorf("healthz: %d", a.code)
	}
	must(t, os.Remove(ballast))
	s.wait("volume", volume, "available")
	s.comesBack(s.finishBackup(volume, true), held)
	s.comesBack(first, held)
	s.restart(syscall.SIGTERM)
	s.comesBack(first, held)
}

// A disk of volumes that is full fails backups that need a copy on it, and
// restores.
func TestFullVolumeDisk(t *testing.T) {
	t.Parallel()
	r := newRand(t)
	disk := smallDisk(t, 64)
	s := newServer(t, settings{more: "volumes: {path: " + disk + "}\n"})
	s.volumes = disk
	s.start()
	volume := s.createVolume("disk", 1)
	fill(t, r, s.volumeFile(volume), 0, 24<<20)
	first := s.finishBackup(volume, false)
	held := digest(t, s.volumeFile(volume))

	fill(t, r, s.volumeFile(volume), 32<<20, 24<<20)
	forget := s.fails(volume, "The disk that holds the volumes is full.")
	restored := s.restore(first)
	s.wait("volume", restored, "error")
	s.wait("backup", first, "available")
	s.remove("volume", restored)
	s.wait("volume", restored, "gone")

	run(t, "mount", "-o", "remount,size=512m", disk)
	forget()
	s.comesBack(first, held)
	s.comesBack(s.finishBackup(volume, true), digest(t, s.volumeFile(volume)))
}

// stuff fills a file system with one file.
func stuff(t testing.TB, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; {
		_, err := f.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			t.Fatal(err)
		}
	}
}

// A source that can't be read fails its backup, and no other.
func TestUnreadableSource(t *testing.T) {
	t.Parallel()
	r := newRand(t)
	disk := smallDisk(t, 512)
	s := newServer(t, settings{data: filepath.Join(disk, "data")})
	s.start()
	volume, other := s.createVolume("disk", 1), s.createVolume("other", 1)
	fill(t, r, s.volumeFile(volume), 0, 100<<20)
	fill(t, r, s.volumeFile(other), 0, 1<<20)
	spoil, heal := badFile(t, s.volumeFile(volume))
	first := s.finishBackup(volume, false)
	held := digest(t, s.volumeFile(volume))

	spoil()
	s.fails(volume, "The volume could not be read: input/output error.")()
	s.comesBack(s.finishBackup(other, false), digest(t, s.volumeFile(other)))
	s.comesBack(first, held)

	heal()
	s.comesBack(s.finishBackup(volume, true), held)
	s.comesBack(first, held)
}

// Key objects that are gone fail what needs them, and are never made anew.
func TestMissingKeyObjects(t *testing.T) {
	t.Parallel()
	r := newRand(t)
	s := newServer(t, settings{})
	s.start()
	volume := s.createVolume("disk", 1)
	scribble(t, r, s.volumeFile(volume), 10, 1<<20)
	first := s.finishBackup(volume, false)
	held := digest(t, s.volumeFile(volume))

	keys, err := filepath.Glob(filepath.Join(s.objects(), "vaults", "*", "keys"))
	must(t, err)
	away := filepath.Join(t.TempDir(), "keys")
	must(t, os.Rename(keys[0], away))
	s.restart(syscall.SIGTERM)
	forget := s.fails(volume, "key of this project's vault is missing")
	restored := s.restore(first)
	s.wait("volume", restored, "error")
	s.wait("backup", first, "available")
	if left := names(t, filepath.Dir(keys[0])); strings.Contains(strings.Join(left, "\n"), "keys/") {
		t.Errorf("keys were made anew: %v", left)
	}

	must(t, os.RemoveAll(keys[0]))
	must(t, os.Rename(away, keys[0]))
	forget()
	s.comesBack(first, held)
	s.comesBack(s.finishBackup(volume, true), held)
}

// A damaged key object is as loud.
func TestDamagedKeyObjects(t *testing.T) {
	t.Parallel()
	s := newServer(t, settings{})
	s.start()
	volume := s.createVolume("disk", 1)
	fill(t, newRand(t), s.volumeFile(volume), 0, 1<<20)
	first := s.finishBackup(volume, false)
	held := digest(t, s.volumeFile(volume))
	for _, name := range names(t, s.objects()) {
		if room(name) != "keys" {
			continue
		}
		path := filepath.Join(s.objects(), name)
		whole, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, append([]byte{whole[0] ^ 1}, whole[1:]...), 0o600))
		s.restart(syscall.SIGTERM)
		forget := s.fails(volume, "key of this project's vault is damaged")
		s.wait("volume", s.restore(first), "error")
		must(t, os.WriteFile(path, whole, 0o600))
		forget()
	}
	s.comesBack(first, held)
}
