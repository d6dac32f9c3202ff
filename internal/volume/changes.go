package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Changes compares where two immutable files of one volume lie on disk, and
// returns the ranges of the newer one that may differ from the older one:
// sorted, apart, aligned outward to 4 KiB and cut at the newer file's size. No
// bytes are read; what shares its place on disk is equal. All beyond the size
// of the smaller file counts as changed, and so does whatever the file system
// can't vouch for: compressed, inline, unwritten or unplaced extents.
//
// ok is false where nothing can be concluded: the file system is neither XFS
// nor btrfs (others may show equal places on different devices), it maps no
// extents, the files lie apart or are empty, or their maps or times moved
// meanwhile. Then everything must be read.
func Changes(ctx context.Context, oldPath, newPath string) (changed []Extent, ok bool, err error) {
	before, err := openInstant(oldPath)
	if err != nil {
		return nil, false, fmt.Errorf("open older instant: %w", classify(err))
	}
	defer before.f.Close()
	after, err := openInstant(newPath)
	if err != nil {
		return nil, false, fmt.Errorf("open newer instant: %w", classify(err))
	}
	defer after.f.Close()
	if !onePlace(before, after) {
		return nil, false, nil
	}
	changed, ok, err = compareInstants(ctx, before, after)
	if errors.Is(err, errIrregular) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("compare extent maps: %w", err)
	}
	return changed, ok, nil
}

// instant is an immutable file and what is known of it besides its bytes.
type instant struct {
	f        *os.File
	size     int64
	modified time.Time
	device   uint64
	kind     uint32 // of file system
}

func openInstant(path string) (instant, error) {
	f, err := openOwn(path, os.O_RDONLY)
	if err != nil {
		return instant{}, err
	}
	in, err := describe(f)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		f.Close()
		return instant{}, err
	}
	return in, nil
}

func describe(f *os.File) (instant, error) {
	info, err := f.Stat()
	if err != nil {
		return instant{}, err
	}
	if !info.Mode().IsRegular() {
		return instant{}, errNotRaw(f.Name())
	}
	var st unix.Stat_t
	if err := withFD(f, func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return instant{}, err
	}
	var vfs unix.Statfs_t
	if err := withFD(f, func(fd int) error { return unix.Fstatfs(fd, &vfs) }); err != nil {
		return instant{}, err
	}
	return instant{f: f, size: info.Size(), modified: info.ModTime(), device: uint64(st.Dev), kind: uint32(vfs.Type)}, nil
}

// onePlace reports whether equal places of two files hold equal bytes.
func onePlace(a, b instant) bool {
	known := a.kind == unix.XFS_SUPER_MAGIC || a.kind == unix.BTRFS_SUPER_MAGIC
	return known && a.kind == b.kind && a.device == b.device && a.size > 0 && b.size > 0
}

// compareInstants compares both maps and then makes sure that they still are
// what they were.
func compareInstants(ctx context.Context, before, after instant) ([]Extent, bool, error) {
	older, newer := newFiemap(before.f, before.size), newFiemap(after.f, after.size)
	found := &extents{size: after.size, max: maxExtents}
	common := min(before.size, after.size)
	if err := differ(ctx, older, newer, common, found); err != nil {
		return nil, false, err
	}
	// This takes in the grain that holds the end of the smaller file.
	found.add(common, after.size)
	if same, err := unmoved(ctx, before, older); err != nil || !same {
		return nil, false, err
	}
	if same, err := unmoved(ctx, after, newer); err != nil || !same {
		return nil, false, err
	}
	return found.list, true, nil
}

// unmoved reports whether a file has the map that was seen of it, and its
// size and time.
func unmoved(ctx context.Context, in instant, seen *fiemap) (bool, error) {
	was, err := seen.drain(ctx)
	if err != nil {
		return false, err
	}
	is, err := newFiemap(in.f, in.size).drain(ctx)
	if err != nil {
		return false, err
	}
	now, err := describe(in.f)
	if err != nil {
		return false, err
	}
	return was == is && now.size == in.size && now.modified.Equal(in.modified), nil
}

// extentMap is a file's ranges in rising order, holes left out.
type extentMap interface {
	Next(ctx context.Context) (r mapped, ok bool, err error)
}

// cursor shows an extent map as ranges without gaps.
type cursor struct {
	m    extentMap
	r    mapped
	done bool
}

// at returns the range around pos: mapped, or hole true up to the next one.
// pos never falls.
func (c *cursor) at(ctx context.Context, pos, limit int64) (r mapped, hole bool, err error) {
	for !c.done && c.r.end <= pos {
		r, ok, err := c.m.Next(ctx)
		if err != nil {
			return mapped{}, false, err
		}
		c.r, c.done = r, !ok
	}
	switch {
	case c.done:
		return mapped{start: pos, end: limit}, true, nil
	case c.r.start > pos:
		return mapped{start: pos, end: min(c.r.start, limit)}, true, nil
	}
	return c.r, false, nil
}

// differ adds all ranges below limit that two maps don't prove equal.
func differ(ctx context.Context, older, newer extentMap, limit int64, found *extents) error {
	a, b := &cursor{m: older}, &cursor{m: newer}
	for pos := int64(0); pos < limit; {
		ra, holeA, err := a.at(ctx, pos, limit)
		if err != nil {
			return err
		}
		rb, holeB, err := b.at(ctx, pos, limit)
		if err != nil {
			return err
		}
		end := min(ra.end, rb.end, limit)
		same := holeA && holeB || !holeA && !holeB && !ra.opaque && !rb.opaque &&
			ra.physical-ra.start == rb.physical-rb.start
		if !same {
			found.add(pos, end)
		}
		pos = end
	}
	return nil
}
