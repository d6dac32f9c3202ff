package e2e_test

import (
	"crypto/sha256"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"
)

var (
	rounds = flag.Int("e2e.rounds", 4, "how often to kill the server in each kind of operation")
	seed   = flag.Uint64("e2e.seed", 0, "of the random moments and contents; 0: a new one")
)

// newRand returns a source of randomness whose seed is printed, so that a
// failure can be replayed as far as real processes allow.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d: replay with -e2e.seed=%d", n, n)
	return rand.New(rand.NewPCG(n, 1))
}

// TestKilledOperationsGoOn kills the server at random moments of backups,
// restores and deletes. After each restart the same operation must end well
// by itself, and all that was available before must still be exact.
func TestKilledOperationsGoOn(t *testing.T) {
	r := newRand(t)
	s := newServer(t, "")
	s.start()
	vol := s.createVolume("disk", 1)
	scribble(t, r, s.volumeFile(vol), 160, 1<<20)

	first := s.createBackup(object{"volume_id": vol, "name": "first"})
	s.wait("backup", first, "available")
	held := map[string][sha256.Size]byte{first: digest(t, s.volumeFile(vol))}

	for range *rounds {
		scribble(t, r, s.volumeFile(vol), 24, 1<<20)
		now := digest(t, s.volumeFile(vol))

		b := s.createBackup(object{"volume_id": vol, "incremental": true})
		s.crash(r, 600*time.Millisecond)
		s.wait("backup", b, "available")
		s.wait("volume", vol, "available")
		held[b] = now

		target := s.restore(b)
		s.crash(r, 600*time.Millisecond)
		s.wait("volume", target, "available")
		if digest(t, s.volumeFile(target)) != now {
			t.Fatalf("backup %s was restored wrong after a crash", b)
		}
		s.do(202, "DELETE", "/volumes/"+target, nil)
		s.wait("volume", target, "gone")

		victim := anyKey(r, held, b)
		delete(held, victim)
		s.do(202, "DELETE", "/backups/"+victim, nil)
		s.crash(r, 60*time.Millisecond)
		s.wait("backup", victim, "gone")
	}
	for id, want := range held {
		target := s.restore(id)
		s.wait("volume", target, "available")
		if digest(t, s.volumeFile(target)) != want {
			t.Fatalf("backup %s is no longer what it was", id)
		}
		s.do(202, "DELETE", "/volumes/"+target, nil)
	}
	for _, b := range s.do(200, "GET", "/backups/detail", nil)["backups"].([]any) {
		if st := b.(object)["status"]; st != "available" {
			t.Errorf("backup %s is %s at the end", b.(object)["id"], st)
		}
	}
}

// crash kills the server after a random part of limit and starts it again.
func (s *server) crash(r *rand.Rand, limit time.Duration) {
	s.t.Helper()
	<-time.After(time.Duration(r.Int64N(int64(limit))))
	s.kill(syscall.SIGKILL)
	s.start()
}

// anyKey returns a key of m other than but.
func anyKey(r *rand.Rand, m map[string][sha256.Size]byte, but string) string {
	for n := r.IntN(len(m) - 1); ; {
		for k := range m {
			if k == but {
				continue
			}
			if n == 0 {
				return k
			}
			n--
		}
	}
}

// scribble overwrites n pieces of a file at random places: with text, with
// noise, and with zeros.
func scribble(t testing.TB, r *rand.Rand, path string, n, piece int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, piece)
	for range n {
		b := buf[:1+r.IntN(piece)]
		switch r.IntN(4) {
		case 0:
			clear(b)
		case 1:
			for i := range b {
				b[i] = "the quick brown fox\n"[(i+i/977)%20]
			}
		default:
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		}
		if _, err := f.WriteAt(b, r.Int64N(info.Size()-int64(len(b))+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// digest returns the SHA-256 of a file.
func digest(t testing.TB, path string) (sum [sha256.Size]byte) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	h.Sum(sum[:0])
	return sum
}
