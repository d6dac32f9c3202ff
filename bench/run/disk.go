package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// images is the folder of a corpus.
type images struct{ dir string }

func (i images) path(name string) string { return filepath.Join(i.dir, name+".img") }

func (i images) changeMap(name string) string { return filepath.Join(i.dir, name+".cbt64k.json") }

// made says how the corpus was made, as make-corpus noted at its end.
func (i images) made() string {
	b, err := os.ReadFile(filepath.Join(i.dir, "DONE"))
	if err != nil {
		return "a corpus that says nothing of itself"
	}
	return "corpus of " + string(bytes.TrimSpace(b))
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func freeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// allocated returns how many bytes of disk a file takes.
func allocated(path string) (int64, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return 0, fmt.Errorf("look at %s: %w", path, err)
	}
	return s.Blocks * 512, nil
}

// folderSize returns the sum of the lengths of all files in a folder; one
// that does not exist is empty.
func folderSize(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return ignoreMissing(err)
	})
	return sum, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readFolder reads all files of a folder.
func readFolder(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreMissing(err)
		}
		return readFile(path)
	})
}

// syncFolder makes all files of a folder durable.
func syncFolder(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return ignoreMissing(err)
		}
		f, err := os.Open(path)
		if err != nil {
			return ignoreMissing(err)
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// readFile reads what a file holds.
func readFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	return eachData(f, func(off, end int64) error {
		for ; off < end; off += int64(len(buf)) {
			if _, err := f.ReadAt(buf[:min(int64(len(buf)), end-off)], off); err != nil && err != io.EOF {
				return err
			}
		}
		return nil
	})
}

// eachData calls fn for each range of a file that is no hole.
func eachData(f *os.File, fn func(off, end int64) error) error {
	for off := int64(0); ; {
		start, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, syscall.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		if off, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
			return err
		}
		if err := fn(start, off); err != nil {
			return err
		}
	}
}

// sameContent fails unless two files hold the same bytes.
func sameContent(a, b string) error {
	x, err := os.Open(a)
	if err != nil {
		return err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return err
	}
	defer y.Close()
	if n, err := sizes(x, y); err != nil || n[0] != n[1] {
		return errors.Join(err, fmt.Errorf("%s has %d bytes, %s has %d", a, n[0], b, n[1]))
	}
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for _, f := range []*os.File{x, y} { // holes of both are equal
		err := eachData(f, func(off, end int64) error {
			for ; off < end; off += int64(len(p)) {
				n := min(int64(len(p)), end-off)
				if _, err := x.ReadAt(p[:n], off); err != nil {
					return err
				}
				if _, err := y.ReadAt(q[:n], off); err != nil {
					return err
				}
				if !bytes.Equal(p[:n], q[:n]) {
					return fmt.Errorf("what was restored differs from %s after byte %d", b, off)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func sizes(files ...*os.File) ([]int64, error) {
	var n []int64
	for _, f := range files {
		info, err := f.Stat()
		if err != nil {
			return []int64{0, 0}, err
		}
		n = append(n, info.Size())
	}
	return n, nil
}
