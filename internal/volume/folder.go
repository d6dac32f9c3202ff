package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Folder keeps local volumes: a sparse raw file each, DIR/ID.raw, beside their
// snapshots and bases, all in one file system. Ids are UUIDs in lower case;
// any other fails with ErrInvalid.
//
// Operations are whole or not at all, durable when they return, and may be
// repeated: what is done already is no error. Several processes may have the
// folder open. Operations on one volume are put in order by their callers.
type Folder struct {
	dir       string
	snapshots string
	bases     string
	temp      string
	instant   bool
}

// OpenFolder opens a folder of volumes, makes it where it is missing, and
// removes what dead processes left half done.
func OpenFolder(dir string) (*Folder, error) {
	f := &Folder{
		dir:       dir,
		snapshots: filepath.Join(dir, "snapshots"),
		bases:     filepath.Join(dir, "base"),
		temp:      filepath.Join(dir, "tmp"),
	}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("open volume folder: %w", classify(err))
	}
	return f, nil
}

func (f *Folder) open() error {
	if err := makeDir(f.dir); err != nil {
		return err
	}
	for _, sub := range []string{f.snapshots, f.bases, f.temp} {
		if err := os.Mkdir(sub, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := sameFileSystem(f.dir, sub); err != nil {
			return err
		}
	}
	if err := syncDir(f.dir); err != nil {
		return err
	}
	if err := f.removeStale(); err != nil {
		return err
	}
	instant, err := f.probe()
	f.instant = instant
	return err
}

// makeDir makes a directory, durable by name, where there is none.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func sameFileSystem(a, b string) error {
	var sa, sb unix.Stat_t
	if err := unix.Stat(a, &sa); err != nil {
		return &fs.PathError{Op: "stat", Path: a, Err: err}
	}
	if err := unix.Stat(b, &sb); err != nil {
		return &fs.PathError{Op: "stat", Path: b, Err: err}
	}
	if sa.Dev != sb.Dev {
		return fmt.Errorf("%w: %s is in another file system than %s", ErrInvalid, b, a)
	}
	return nil
}

// probe finds out whether files can share blocks here.
func (f *Folder) probe() (bool, error) {
	src, err := f.newTemp()
	if err != nil {
		return false, err
	}
	defer discard(src)
	dst, err := f.newTemp()
	if err != nil {
		return false, err
	}
	defer discard(dst)
	if _, err := src.Write(make([]byte, grain)); err != nil {
		return false, err
	}
	err = reflink(dst, src)
	if err != nil && unsupported(err) {
		return false, nil
	}
	return err == nil, err
}

// Instant reports whether snapshots, clones and bases are one instant of a
// volume that is in use: they are where the file system shares blocks between
// files (reflink). Elsewhere a copy is made, which takes time and space; a
// volume written meanwhile gives a mixture of before and after, not even what
// a crash would leave. There the writer must be stopped, or the mixture be
// accepted.
func (f *Folder) Instant() bool { return f.instant }

// Path returns the path of a volume's file, whether it exists or not.
func (f *Folder) Path(id string) (string, error) { return idPath(f.dir, id) }

// SnapshotPath returns the path of a snapshot's file, whether it exists or
// not.
func (f *Folder) SnapshotPath(id string) (string, error) { return idPath(f.snapshots, id) }

// Exists reports whether there is a volume of that id.
func (f *Folder) Exists(id string) (bool, error) { return exists(f.dir, id) }

// SnapshotExists reports whether there is a snapshot of that id.
func (f *Folder) SnapshotExists(id string) (bool, error) { return exists(f.snapshots, id) }

// Create makes a volume of size bytes that reads as zeros. One that is there
// with another size fails with ErrExists.
func (f *Folder) Create(ctx context.Context, id string, size int64) error {
	if err := f.create(ctx, id, size); err != nil {
		return fmt.Errorf("create volume %q: %w", id, err)
	}
	return nil
}

func (f *Folder) create(ctx context.Context, id string, size int64) error {
	path, err := f.ready(ctx, f.dir, id)
	if err != nil {
		return err
	}
	if size <= 0 {
		return fmt.Errorf("%w: %d bytes", ErrInvalid, size)
	}
	return f.make(path, size, func(t *os.File) error { return t.Truncate(size) })
}

// Grow makes a volume larger; what is added reads as zeros. A size below the
// present one fails with ErrTooSmall, a missing volume with ErrNotFound.
func (f *Folder) Grow(ctx context.Context, id string, size int64) error {
	if err := f.grow(ctx, id, size); err != nil {
		return fmt.Errorf("grow volume %q: %w", id, classify(err))
	}
	return nil
}

func (f *Folder) grow(ctx context.Context, id string, size int64) error {
	path, err := f.ready(ctx, f.dir, id)
	if err != nil {
		return err
	}
	v, err := openOwn(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer v.Close()
	info, err := v.Stat()
	if err != nil {
		return err
	}
	if size < info.Size() {
		return fmt.Errorf("%w: %d bytes for %d", ErrTooSmall, size, info.Size())
	}
	if size > info.Size() {
		if err := v.Truncate(size); err != nil {
			return err
		}
	}
	return v.Sync()
}

// Delete removes a volume, but neither its snapshots nor its bases: a backup
// may still be reading one.
func (f *Folder) Delete(ctx context.Context, id string) error {
	path, err := f.ready(ctx, f.dir, id)
	if err == nil {
		err = remove(path)
	}
	if err != nil {
		return fmt.Errorf("delete volume %q: %w", id, err)
	}
	return nil
}

// DeleteSnapshot removes a snapshot.
func (f *Folder) DeleteSnapshot(ctx context.Context, id string) error {
	path, err := f.ready(ctx, f.snapshots, id)
	if err == nil {
		err = remove(path)
	}
	if err != nil {
		return fmt.Errorf("delete snapshot %q: %w", id, err)
	}
	return nil
}

// ready is what every operation starts with: a valid id, and a context that
// isn't cancelled.
func (f *Folder) ready(ctx context.Context, dir, id string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return idPath(dir, id)
}

func exists(dir, id string) (bool, error) {
	path, err := idPath(dir, id)
	if err != nil {
		return false, err
	}
	_, err = os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func idPath(dir, id string) (string, error) {
	if !validUUID(id) {
		return "", fmt.Errorf("%w: %q is not a UUID", ErrInvalid, id)
	}
	return filepath.Join(dir, id+".raw"), nil
}

// uuidLen is the length of a UUID as text.
const uuidLen = 36

func validUUID(s string) bool {
	if len(s) != uuidLen {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !strings.Contains("0123456789abcdef", s[i:i+1]) {
				return false
			}
		}
	}
	return true
}
