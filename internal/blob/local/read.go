package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"holdfast/internal/blob"
)

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := check(ctx, name); err != nil {
		return 0, fmt.Errorf("get object: %w", err)
	}
	n, err := s.get(name, p, off)
	if err != nil {
		return n, fmt.Errorf("get object %s: %w", name, err)
	}
	return n, nil
}

func (s *Store) get(name string, p []byte, off int64) (int, error) {
	f, err := os.OpenFile(s.path(name), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if missing(err) {
		return 0, s.absent()
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, blob.ErrNotFound
	}
	start, count := blob.Window(info.Size(), off, len(p))
	n, err := f.ReadAt(p[:count], start)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return n, err
	case n < len(p):
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	if err := check(ctx, name); err != nil {
		return 0, fmt.Errorf("stat object: %w", err)
	}
	info, err := os.Lstat(s.path(name))
	switch {
	case missing(err):
		err = s.absent()
	case err == nil && !info.Mode().IsRegular():
		err = blob.ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("stat object %s: %w", name, err)
	}
	return info.Size(), nil
}

// Delete implements blob.Store. An object that is gone already may have been
// removed by an attempt that ended before that was durable, so its directory
// is synced all the same.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	// Unlike os.Remove, unlink leaves a directory alone.
	err := syscall.Unlink(s.path(name))
	if missing(err) {
		err = s.present()
	}
	if err == nil {
		err = s.syncDir(s.path(path.Dir(name)))
	}
	if err != nil && !missing(err) {
		return fmt.Errorf("delete object %s: %w", name, noSpace(err))
	}
	return nil
}

// listBatch is how many entries of a directory are in memory at once.
const listBatch = 512

// List implements blob.Store.
func (s *Store) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	if err := blob.CheckPrefix(prefix); err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	if err := s.present(); err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	w := walk{store: s, prefix: prefix, fn: fn}
	dir := prefix[:strings.LastIndexByte(prefix, '/')+1]
	err := w.dir(ctx, dir)
	if w.stopped {
		return err
	}
	if err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	return nil
}

// walk is one listing.
type walk struct {
	store   *Store
	prefix  string
	fn      func(blob.Info) error
	stopped bool // by an error of fn
}

// dir lists what lies below a directory, given as the beginning of names:
// empty, or ending in a slash.
func (w *walk) dir(ctx context.Context, dir string) error {
	d, err := os.Open(w.store.path(dir))
	if missing(err) {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		entries, err := d.ReadDir(listBatch)
		for _, entry := range entries {
			if err := w.entry(ctx, dir+entry.Name(), entry); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), missing(err):
			return ctx.Err()
		case err != nil:
			return err
		}
	}
}

// entry passes over what can't be an object or above one, such as the
// lost+found of a file system.
func (w *walk) entry(ctx context.Context, name string, entry os.DirEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	switch {
	case blob.CheckName(name) != nil:
		return nil
	case entry.IsDir():
		if strings.HasPrefix(name+"/", w.prefix) {
			return w.dir(ctx, name+"/")
		}
		return nil
	case !entry.Type().IsRegular() || !strings.HasPrefix(name, w.prefix):
		return nil
	}
	info, err := entry.Info()
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.fn(blob.Info{Name: name, Size: info.Size()}); err != nil {
		w.stopped = true
		return err
	}
	return nil
}
