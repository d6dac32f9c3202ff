package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"holdfast/internal/blob"
)

// bufferSize is how much of a body is written at once, between two looks at
// the context.
const bufferSize = 256 << 10

// Put implements blob.Store. It fails with blob.ErrInvalid where the name is in
// use for an object of another size.
func (s *Store) Put(ctx context.Context, name string, body *io.SectionReader) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	if err := blob.CheckBody(body); err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	if err := s.put(ctx, name, body); err != nil {
		return fmt.Errorf("put object %s: %w", name, noSpace(err))
	}
	return nil
}

func (s *Store) put(ctx context.Context, name string, body *io.SectionReader) error {
	f, err := createTemp(s.temp)
	if err != nil {
		return err
	}
	if err := s.publish(ctx, f, name, body); err != nil {
		// The kernel may have dropped what it failed to write and then
		// report a second sync as done: the file is never synced again.
		discard(f)
		return err
	}
	// All is durable, and closing releases the lock, which must outlast the
	// rename. An error has nothing to say any more.
	f.Close()

	dir := path.Dir(name)
	if err := s.syncDir(s.path(dir)); err != nil {
		s.dirs.clear()
		return err
	}
	return nil
}

// publish writes body to f, makes it durable and gives it the object's name.
func (s *Store) publish(ctx context.Context, f *os.File, name string, body *io.SectionReader) error {
	if err := s.copy(ctx, f, body); err != nil {
		return err
	}
	if err := s.sync(f); err != nil {
		return err
	}
	if err := s.makeDir(path.Dir(name)); err != nil {
		return err
	}
	if err := s.replaceable(name, body.Size()); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.path(name)); err != nil {
		s.dirs.clear()
		return err
	}
	return nil
}

// replaceable fails unless the name is free, or taken by what an earlier
// attempt at the same Put left.
func (s *Store) replaceable(name string, size int64) error {
	info, err := os.Lstat(s.path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("the name begins those of other objects: %w", blob.ErrInvalid)
	case info.Size() != size:
		return fmt.Errorf("an object of %d bytes, not %d, has the name: %w", info.Size(), size, blob.ErrInvalid)
	}
	return nil
}

func (s *Store) copy(ctx context.Context, f *os.File, body *io.SectionReader) error {
	buffer := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buffer)
	for off := int64(0); off < body.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := (*buffer)[:min(bufferSize, body.Size()-off)]
		if err := blob.ReadBody(body, p, off); err != nil {
			return err
		}
		if _, err := f.Write(p); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

func check(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return blob.CheckName(name)
}
