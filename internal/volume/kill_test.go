package volume_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/volume"
)

// The environment that makes the test binary a process to kill: the folder,
// and the volume that it copies for ever.
const (
	childDir    = "HOLDFAST_TEST_VOLUME_DIR"
	childVolume = "HOLDFAST_TEST_VOLUME_ID"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		fmt.Fprintln(os.Stderr, copyForever(dir, os.Getenv(childVolume)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// copyForever says a line before each operation.
func copyForever(dir, id string) error {
	ctx := context.Background()
	f, err := volume.OpenFolder(dir)
	for n := 0; err == nil; n++ {
		a, b, c := newID(), newID(), newID()
		for _, step := range []func() error{
			func() error { _, err := f.Snapshot(ctx, id, a); return err },
			func() error { return f.CloneFromSnapshot(ctx, a, b, killSize) },
			func() error { _, _, err := f.TakeBase(ctx, id, c); return err },
			func() error { return f.DropBase(ctx, id, c) },
			func() error { _, err := f.CloneFromVolume(ctx, b, c, killSize); return err },
			func() error { return f.DeleteSnapshot(ctx, a) },
			func() error { return f.Delete(ctx, b) },
			func() error { return f.Delete(ctx, c) },
		} {
			if err == nil {
				fmt.Println("next")
				err = step()
			}
		}
	}
	return err
}

const killSize = 4 << 20

func TestFolderSurvivesKill(t *testing.T) {
	t.Run("temporary folder", func(t *testing.T) { killProperty(t, t.TempDir()) })
	t.Run("xfs", func(t *testing.T) { killProperty(t, named("xfs").mount(t)) })
	t.Run("btrfs", func(t *testing.T) { killProperty(t, named("btrfs").mount(t)) })
}

func killProperty(t *testing.T, dir string) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	f := openFolder(t, dir)
	id, path := newVolume(t, f, killSize)
	writeAt(t, path, content(1, killSize*3/4), 0)
	want := read(t, path)
	halves := 0
	for range 20 {
		killCopier(t, r, dir, id)
		halves += len(files(t, filepath.Join(dir, "tmp")))
		for _, name := range files(t, dir) {
			if !strings.HasPrefix(name, "tmp/") && !bytes.Equal(read(t, filepath.Join(dir, name)), want) {
				t.Fatalf("%s isn't whole", name)
			}
		}
		f = openFolder(t, dir)
		if left := files(t, filepath.Join(dir, "tmp")); left != nil {
			t.Fatalf("left over: %v", left)
		}
	}
	t.Logf("%d files were caught half done", halves)
	for _, state := range bases(t, f, id) {
		must(t, f.DropBase(context.Background(), id, state))
	}
	if left := files(t, filepath.Join(dir, "base")); left != nil {
		t.Errorf("bases that aren't listed: %v", left)
	}
}

// killCopier starts a copying process and kills it after some operations, or
// some work after the last one that it announced.
func killCopier(t *testing.T, r *rand.Rand, dir, id string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), childDir+"="+dir, childVolume+"="+id)
	var stderr bytes.Buffer
	child.Stderr = &stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	for range 1 + r.IntN(16) {
		if !lines.Scan() {
			break
		}
	}
	spin := make([]byte, 64<<10)
	for range r.IntN(64) {
		r.Shuffle(len(spin)>>6, func(i, j int) { spin[i], spin[j] = spin[j], spin[i] })
	}
	must(t, child.Process.Kill())
	child.Wait()
	if stderr.Len() > 0 {
		t.Fatalf("the process failed by itself: %s", stderr.String())
	}
}
