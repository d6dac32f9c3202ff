package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"
)

const (
	mib = 1 << 20

	// What one process may take of memory while it backs up or restores,
	// however large the volume is.
	residentLimit = 300 * mib

	largeGiB   = 20
	largeData  = 1536 * mib
	largePiece = 2 * mib
)

// TestMemoryDoesNotGrowWithTheVolume backs up a large sparse volume, changes
// it, backs it up again, and restores both backups, and measures the most that
// the process had in memory meanwhile.
func TestMemoryDoesNotGrowWithTheVolume(t *testing.T) {
	// As many as a larger machine would have: memory must not grow with them
	// either.
	s := newServer(t, settings{level: "info", more: "engine: {workers: 16}\n"})
	s.start()
	r := newRand(t)
	volume := s.createVolume("large", largeGiB)
	path := s.volumeFile(volume)
	scatter(t, r, path, largeData)
	first := digest(t, path)

	var full, increment, target string
	s.measure("full backup", func() { full = s.finishBackup(volume, false) })
	scatter(t, r, path, largeData/50)
	second := digest(t, path)
	s.measure("increment", func() { increment = s.finishBackup(volume, true) })
	s.remove("volume", volume)
	s.wait("volume", volume, "gone")
	s.measure("restore", func() {
		target = s.restore(full)
		s.wait("volume", target, "available")
	})
	if digest(t, s.volumeFile(target)) != first {
		t.Error("the full backup came back wrong")
	}
	s.measure("restore over a volume", func() {
		s.restoreOver(increment, target)
		s.wait("volume", target, "available")
	})
	if digest(t, s.volumeFile(target)) != second {
		t.Error("the increment came back wrong")
	}
}

// scatter writes pieces of text and of noise, together of some length, to
// random places of a file.
func scatter(t testing.TB, r *rand.Rand, path string, length int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	text, b := make([]byte, 2*largePiece), make([]byte, largePiece)
	words(r, text)
	for n := 0; n < length; n += largePiece {
		if r.IntN(3) == 0 {
			noise(r, b)
		} else {
			from := r.IntN(largePiece)
			copy(b, text[from:])
			noise(r, b[:largePiece/16]) // no two pieces are the same
		}
		at := r.Int64N((info.Size()-largePiece)/512) * 512
		_, err := f.WriteAt(b, at)
		must(t, err)
	}
	must(t, f.Sync())
}

// measure prints how long an operation took and the most that the server had
// in memory during it, and fails the test where that was too much.
func (s *server) measure(what string, do func()) {
	s.t.Helper()
	// 5 makes the kernel forget the highest value so far.
	must(s.t, os.WriteFile(s.proc("clear_refs"), []byte("5"), 0o200))
	began := time.Now()
	do()
	took := time.Since(began)
	most := s.mostResident()
	s.t.Logf("%-22s %5.1f s, at most %d MiB resident",
		what, took.Seconds(), most/mib)
	if most > residentLimit {
		s.t.Errorf("%s took %d MiB of memory, more than %d", what, most/mib, residentLimit/mib)
	}
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// mostResident returns the most memory that the process has had, in bytes.
func (s *server) mostResident() int {
	s.t.Helper()
	status, err := os.ReadFile(s.proc("status"))
	must(s.t, err)
	m := highWater.FindSubmatch(status)
	if m == nil {
		s.t.Fatalf("no VmHWM in %s", status)
	}
	kib, err := strconv.Atoi(string(m[1]))
	must(s.t, err)
	return kib << 10
}

func (s *server) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, name)
}
