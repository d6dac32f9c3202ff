package local_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/local"
)

// syncs records what is synced, below root, and fails where it is told to.
type syncs struct {
	root   string
	log    []string
	failOn func(path string) error
	seen   func(path string)
}

func (y *syncs) sync(f *os.File) error {
	rel, err := filepath.Rel(y.root, f.Name())
	if err != nil {
		return err
	}
	if strings.HasPrefix(rel, "tmp/") {
		rel = "tmp/*"
	}
	y.log = append(y.log, rel)
	if y.seen != nil {
		y.seen(rel)
	}
	if y.failOn != nil {
		if err := y.failOn(rel); err != nil {
			return err
		}
	}
	return f.Sync()
}

func traced(t *testing.T) (*local.Store, *syncs) {
	t.Helper()
	root := t.TempDir()
	s, y := create(t, root), &syncs{root: root}
	s.SetSync(y.sync)
	return s, y
}

func TestPutSyncsFileThenDirectories(t *testing.T) {
	s, y := traced(t)
	y.seen = func(path string) {
		_, err := os.Stat(filepath.Join(y.root, "objects/a/b/c"))
		if published := err == nil; published != (path == "objects/a/b") {
			t.Errorf("at the sync of %s: object has its name: %v", path, published)
		}
	}
	blobtest.Put(t, s, "a/b/c", []byte("x"))
	if diff := cmp.Diff([]string{"tmp/*", "objects", "objects/a", "objects/a/b"}, y.log); diff != "" {
		t.Errorf("first Put syncs (-want +got):\n%s", diff)
	}
	y.log, y.seen = nil, nil
	blobtest.Put(t, s, "a/b/d", []byte("x"))
	if diff := cmp.Diff([]string{"tmp/*", "objects/a/b"}, y.log); diff != "" {
		t.Errorf("second Put syncs (-want +got):\n%s", diff)
	}
}

// Another process may have made the directories a moment ago and not have
// synced them yet.
func TestPutSyncsDirectoriesThatItFinds(t *testing.T) {
	s, y := traced(t)
	blobtest.Put(t, create(t, y.root), "a/b/c", []byte("x"))
	blobtest.Put(t, s, "a/b/d", []byte("x"))
	if diff := cmp.Diff([]string{"tmp/*", "objects", "objects/a", "objects/a/b"}, y.log); diff != "" {
		t.Errorf("syncs (-want +got):\n%s", diff)
	}
}

func TestDeleteSyncsDirectory(t *testing.T) {
	s, y := traced(t)
	blobtest.Put(t, s, "a/b", []byte("x"))
	for _, what := range []string{"of an object", "of one that is gone"} {
		y.log = nil
		if err := s.Delete(context.Background(), "a/b"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"objects/a"}, y.log); diff != "" {
			t.Errorf("Delete %s syncs (-want +got):\n%s", what, diff)
		}
	}
}

func TestFailedSync(t *testing.T) {
	failed := errors.New("input/output error")
	for _, path := range []string{"tmp/*", "objects", "objects/a", "objects/a/b"} {
		t.Run(strings.ReplaceAll(path, "/", "_"), func(t *testing.T) {
			s, y := traced(t)
			y.failOn = func(p string) error {
				if p == path {
					return failed
				}
				return nil
			}
			data := bytes.Repeat([]byte("x"), 5000)
			if err := s.Put(context.Background(), "a/b/c", blobtest.Body(data)); !errors.Is(err, failed) {
				t.Fatalf("error %v", err)
			}
			if n := strings.Count(strings.Join(y.log, " "), "tmp/*"); n != 1 {
				t.Errorf("file synced %d times", n)
			}
			if left := entries(t, y.root, "tmp"); len(left) != 0 {
				t.Errorf("left in tmp: %v", left)
			}
			for name, size := range blobtest.List(t, s, "") {
				if size != int64(len(data)) {
					t.Errorf("%s has %d bytes after a failed Put", name, size)
				}
			}

			y.failOn, y.log = nil, nil
			blobtest.Put(t, s, "a/b/c", data)
			if got := blobtest.Get(t, s, "a/b/c"); !bytes.Equal(got, data) {
				t.Error("other bytes after the retry")
			}
			if last := y.log[len(y.log)-1]; last != "objects/a/b" {
				t.Errorf("retry ends with the sync of %s", last)
			}
			if path == "objects" && !strings.Contains(strings.Join(y.log, " "), "objects ") {
				t.Errorf("retry takes the failed sync for done: %v", y.log)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		s, y := traced(t)
		y.failOn = func(string) error { return errno }
		err := s.Put(context.Background(), "a", blobtest.Body([]byte("x")))
		if !errors.Is(err, blob.ErrNoSpace) || !errors.Is(err, errno) {
			t.Errorf("%v gives %v", errno, err)
		}
	}
}

// A real full disk, where the test may mount one.
func TestFullFileSystem(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	s := create(t, root)
	blobtest.Put(t, s, "before", []byte("x"))
	err := s.Put(context.Background(), "a", blobtest.Body(make([]byte, 2<<20)))
	if !errors.Is(err, blob.ErrNoSpace) {
		t.Errorf("error %v", err)
	}
	if left := entries(t, root, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
	blobtest.Put(t, s, "after", bytes.Repeat([]byte("y"), 500<<10))
	if diff := cmp.Diff(map[string]int64{"before": 1, "after": 500 << 10}, blobtest.List(t, s, "")); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestPutRefusesOtherSize(t *testing.T) {
	s := create(t, t.TempDir())
	blobtest.Put(t, s, "a", []byte("x"))
	if err := s.Put(context.Background(), "a", blobtest.Body([]byte("yy"))); !errors.Is(err, blob.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	if got := blobtest.Get(t, s, "a"); string(got) != "x" {
		t.Errorf("holds %q", got)
	}
}

func entries(t *testing.T, root, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}
