package volume

import (
	"context"
	"fmt"
	"os"
)

// Copy says how a snapshot, a clone or a base came about.
type Copy struct {
	// Written: it was copied, not reflinked, and the volume was seen to be
	// written meanwhile, so that it mixes before and after. A copy that an
	// earlier call made is not judged again.
	Written bool
}

// Snapshot keeps the volume's content of this moment under an id of its own.
// See Instant for what a moment is; see Copy for what was seen of it. Where
// blocks are shared, writers wait while it is taken, and cancelling has no
// effect until it is.
func (f *Folder) Snapshot(ctx context.Context, volume, snapshot string) (Copy, error) {
	c, err := f.copyID(ctx, request{fromDir: f.dir, from: volume, toDir: f.snapshots, to: snapshot, size: anySize})
	if err != nil {
		return Copy{}, fmt.Errorf("snapshot volume %q: %w", volume, err)
	}
	return c, nil
}

// CloneFromVolume makes the volume dst, of size bytes, that begins with the
// content of src and goes on with zeros. A size below that of src fails with
// ErrTooSmall.
func (f *Folder) CloneFromVolume(ctx context.Context, src, dst string, size int64) (Copy, error) {
	c, err := f.clone(ctx, request{fromDir: f.dir, from: src, toDir: f.dir, to: dst, size: size})
	if err != nil {
		return Copy{}, fmt.Errorf("clone volume %q: %w", src, err)
	}
	return c, nil
}

// CloneFromSnapshot is CloneFromVolume for a snapshot.
func (f *Folder) CloneFromSnapshot(ctx context.Context, src, dst string, size int64) error {
	_, err := f.clone(ctx, request{fromDir: f.snapshots, from: src, toDir: f.dir, to: dst, size: size})
	if err != nil {
		return fmt.Errorf("clone snapshot %q: %w", src, err)
	}
	return nil
}

// request names a copy's source and result.
type request struct {
	fromDir, from string
	toDir, to     string
	size          int64 // of the result, or anySize: the source's
}

func (f *Folder) clone(ctx context.Context, r request) (Copy, error) {
	if r.size <= 0 {
		return Copy{}, fmt.Errorf("%w: %d bytes", ErrInvalid, r.size)
	}
	return f.copyID(ctx, r)
}

func (f *Folder) copyID(ctx context.Context, r request) (Copy, error) {
	from, err := f.ready(ctx, r.fromDir, r.from)
	if err != nil {
		return Copy{}, err
	}
	to, err := idPath(r.toDir, r.to)
	if err != nil {
		return Copy{}, err
	}
	return f.copyFile(ctx, from, to, r.size)
}

// copyFile publishes a copy of a file, grown to size.
func (f *Folder) copyFile(ctx context.Context, from, to string, size int64) (Copy, error) {
	var c Copy
	err := f.make(to, size, func(t *os.File) error {
		src, err := openOwn(from, os.O_RDONLY)
		if err != nil {
			return err
		}
		defer src.Close()
		if c, err = f.fill(ctx, t, src); err != nil {
			return err
		}
		return fit(t, size)
	})
	return c, err
}

// fill makes an empty file equal to src.
func (f *Folder) fill(ctx context.Context, dst, src *os.File) (Copy, error) {
	if !f.instant {
		return newCopier(dst, src).run(ctx)
	}
	// The call flushes src too, but with its writers shut out.
	if err := src.Sync(); err != nil {
		return Copy{}, err
	}
	if err := reflink(dst, src); err != nil {
		return Copy{}, fmt.Errorf("share blocks: %w", err)
	}
	return Copy{}, nil
}

// fit grows a copy to the size that is asked for.
func fit(t *os.File, size int64) error {
	if size == anySize {
		return nil
	}
	info, err := t.Stat()
	if err != nil {
		return err
	}
	if info.Size() > size {
		return fmt.Errorf("%w: %d bytes for %d", ErrTooSmall, size, info.Size())
	}
	return t.Truncate(size)
}
