package local

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// maxDurableDirs bounds what durableDirs remembers.
const maxDurableDirs = 4096

// durableDirs remembers the directories whose entries in all directories above
// are known to be durable, so that not each Put syncs the whole path. It can
// forget, since directories are never removed.
type durableDirs struct {
	mu    sync.Mutex
	known map[string]struct{}
}

func (d *durableDirs) has(dir string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.known[dir]
	return ok
}

func (d *durableDirs) add(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= maxDurableDirs {
		d.known = make(map[string]struct{})
	}
	d.known[dir] = struct{}{}
}

func (d *durableDirs) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = nil
}

// makeDir makes the directory that a name begins with, "." for none, and the
// ones above it, durably. A directory that is there already may be another
// writer's, made a moment ago, so it is synced as well.
func (s *Store) makeDir(dir string) error {
	if dir == "." || s.dirs.has(dir) {
		return nil
	}
	parent := path.Dir(dir)
	if err := s.makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(s.path(dir), dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.syncDir(s.path(parent)); err != nil {
		return err
	}
	s.dirs.add(dir)
	return nil
}

func (s *Store) syncDir(dir string) error {
	return withDir(dir, s.sync)
}

// makeDurableDir makes a directory, and those above it, where they are
// missing.
func makeDurableDir(dir string) error {
	parent := filepath.Dir(dir)
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeDurableDir(parent); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirMode)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return withDir(parent, (*os.File).Sync)
}

func withDir(dir string, fn func(*os.File) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return fn(d)
}
