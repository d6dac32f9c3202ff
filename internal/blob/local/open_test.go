package local_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/local"
)

func TestCreateMakesPrivateDirectories(t *testing.T) {
	root := filepath.Join(t.TempDir(), "x", "store")
	s := create(t, root)
	blobtest.Put(t, s, "a/b/c", []byte("x"))
	err := filepath.WalkDir(filepath.Dir(root), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = fs.ModeDir | 0o700
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := blobtest.Get(t, create(t, root), "a/b/c"); string(got) != "x" {
		t.Errorf("created again, holds %q", got)
	}
}

func TestOpenNeedsAStore(t *testing.T) {
	dir := t.TempDir()
	for _, root := range []string{dir, filepath.Join(dir, "none")} {
		if _, err := local.Open(root); err == nil {
			t.Errorf("opened %s", root)
		}
	}
	if left := entries(t, dir, "."); len(left) != 0 {
		t.Errorf("Open made %v", left)
	}
}

// slow is a body that calls during, once, while it is read.
type slow struct{ during func() }

func (s *slow) ReadAt(p []byte, _ int64) (int, error) {
	if s.during != nil {
		s.during()
		s.during = nil
	}
	clear(p)
	return len(p), nil
}

func TestOpenRemovesLeftovers(t *testing.T) {
	root := t.TempDir()
	s := create(t, root)
	dead := filepath.Join(root, "tmp", "dead")
	body := &slow{during: func() {
		if err := os.WriteFile(dead, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := local.Open(root); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("leftover of a dead process: %v", err)
		}
		if left := entries(t, root, "tmp"); len(left) != 1 {
			t.Errorf("in tmp during a Put: %v", left)
		}
	}}
	if err := s.Put(context.Background(), "a", io.NewSectionReader(body, 0, 100)); err != nil {
		t.Errorf("Put during which the store was opened again: %v", err)
	}
	if left := entries(t, root, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// Writers survive any number of sweeps, at any moment.
func TestOpenDuringPuts(t *testing.T) {
	root := t.TempDir()
	s := create(t, root)
	done := make(chan error)
	go func() {
		for i := range 200 {
			if err := s.Put(context.Background(), string(rune('a'+i%26))+"/x", blobtest.Body([]byte("x"))); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
			if _, err := local.Open(root); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCanceledPutLeavesNothing(t *testing.T) {
	root := t.TempDir()
	s := create(t, root)
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Put(ctx, "a/b", io.NewSectionReader(&slow{during: cancel}, 0, 1<<20))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left := entries(t, root, "tmp"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
	if got := blobtest.List(t, s, ""); len(got) != 0 {
		t.Errorf("listed: %v", got)
	}
}

// A store whose disk is gone must not claim that its objects do not exist, nor
// that it deleted them.
func TestLostDirectory(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	s := create(t, root)
	blobtest.Put(t, s, "a/b", []byte("x"))
	if err := os.Rename(filepath.Join(root, "objects"), filepath.Join(root, "away")); err != nil {
		t.Fatal(err)
	}
	_, get := s.Get(ctx, "a/b", make([]byte, 1), 0)
	_, stat := s.Stat(ctx, "a/b")
	for op, err := range map[string]error{
		"Put":    s.Put(ctx, "a/c", blobtest.Body([]byte("y"))),
		"Get":    get,
		"Stat":   stat,
		"Delete": s.Delete(ctx, "a/b"),
		"List":   s.List(ctx, "", func(blob.Info) error { return nil }),
	} {
		if err == nil || errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%s: error %v", op, err)
		}
	}
	if left := entries(t, root, "."); len(left) != 2 {
		t.Errorf("in the root: %v", left)
	}
}

func TestStrangersInTheDirectory(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	s := create(t, root)
	blobtest.Put(t, s, "a/b", []byte("x"))
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	objects := filepath.Join(root, "objects")
	for _, err := range []error{
		os.Symlink(secret, filepath.Join(objects, "link")),
		os.Mkdir(filepath.Join(objects, "lost+found"), 0o700),
		os.WriteFile(filepath.Join(objects, "lost+found", "x"), nil, 0o600),
		os.WriteFile(filepath.Join(objects, "a b"), nil, 0o600),
		syscall.Mkfifo(filepath.Join(objects, "pipe"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]int64{"a/b": 1}, blobtest.List(t, s, "")); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if n, err := s.Get(ctx, "link", make([]byte, 1), 0); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Get of a link: %d bytes, error %v", n, err)
	}
	if _, err := s.Stat(ctx, "pipe"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Stat of a pipe: error %v", err)
	}
}
