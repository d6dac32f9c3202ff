package e2e_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	rounds  = flag.Int("e2e.rounds", 3, "how many operations of each kind to kill the server in")
	samples = flag.Int("e2e.samples", 4, "how many bytes of each stored object to damage")
	seed    = flag.Uint64("e2e.seed", 0, "of the random moments, places and contents; 0: a new one")
)

// program is the path of the program under test, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

// runTests builds the program and runs the tests. With -short there are none:
// what they exercise is another process, which a race detector here can't see.
func runTests(m *testing.M) int {
	flag.Parse()
	if testing.Short() {
		fmt.Println("tests from outside are skipped with -short")
		return 0
	}
	dir, err := os.MkdirTemp("", "holdfast-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "holdfast")
	build := exec.Command("go", "build", "-o", program, "holdfast/cmd/holdfast")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

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

// newRandOf returns a source of randomness that is always the same.
func newRandOf(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 1)) }
