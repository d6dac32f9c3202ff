package local_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/local"
)

// disk knows what of a folder is durable: the content of the files that were
// synced, and the entries of the directories that were.
type disk struct {
	t       *testing.T
	root    string
	content map[uint64][]byte            // of files, by inode
	entries map[uint64]map[string]uint64 // of directories, by inode
}

func newDisk(t *testing.T, root string) *disk {
	d := &disk{t: t, root: root, content: map[uint64][]byte{}, entries: map[uint64]map[string]uint64{}}
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			d.synced(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// synced notes that a file or directory, as it is now, outlives a power cut.
func (d *disk) synced(path string) {
	ino := inode(d.t, path)
	info, err := os.Lstat(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if !info.IsDir() {
		if d.content[ino], err = os.ReadFile(path); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	d.entries[ino] = d.list(path)
}

func (d *disk) list(dir string) map[string]uint64 {
	found, err := os.ReadDir(dir)
	if err != nil {
		d.t.Fatal(err)
	}
	entries := map[string]uint64{}
	for _, e := range found {
		entries[e.Name()] = inode(d.t, filepath.Join(dir, e.Name()))
	}
	return entries
}

// cut copies to dir what a power cut could leave: all that is durable, and of
// the rest what rng picks, change by change.
func (d *disk) cut(dir string, rng *rand.Rand) {
	d.copy(d.root, dir, rng)
}

func (d *disk) copy(from, to string, rng *rand.Rand) {
	if err := os.MkdirAll(to, 0o755); err != nil {
		d.t.Fatal(err)
	}
	now, before := d.list(from), d.entries[inode(d.t, from)]
	names := map[string]bool{}
	for name := range now {
		names[name] = true
	}
	for name := range before {
		names[name] = true
	}
	for name := range names {
		ino, there := now[name]
		old, was := before[name]
		if ino != old && rng.IntN(2) == 0 {
			ino, there = old, was // the change of the entry was lost
		}
		if there {
			d.put(filepath.Join(from, name), filepath.Join(to, name), ino, rng)
		}
	}
}

// put writes a file as it could be after the cut, or a directory.
func (d *disk) put(from, to string, ino uint64, rng *rand.Rand) {
	if info, err := os.Lstat(from); err == nil && info.IsDir() {
		d.copy(from, to, rng)
		return
	}
	b, durable := d.content[ino]
	if !durable { // its length may be there without its bytes, or nothing of it
		b = make([]byte, rng.IntN(3)*1000)
	}
	if err := os.WriteFile(to, b, 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// TestPowerCut cuts the power before and after each sync of a run of puts and
// deletes, in many ways: what was acknowledged is there, what was deleted is
// gone, and nothing is there by halves.
func TestPowerCut(t *testing.T) {
	s, y := traced(t)
	d := newDisk(t, y.root)
	want := map[string][]byte{}    // acknowledged
	pending := map[string][]byte{} // under way: may be there, whole, or not
	deleted := map[string]bool{}
	cuts := 0
	check := func() {
		for seed := range uint64(4) {
			cuts++
			root := filepath.Join(t.TempDir(), "after")
			d.cut(root, rand.New(rand.NewPCG(uint64(cuts), seed)))
			after, err := local.Open(root)
			if err != nil {
				t.Fatal(err)
			}
			listed := blobtest.List(t, after, "")
			for name, b := range want {
				if _, ok := listed[name]; !ok {
					t.Fatalf("cut %d: %s was acknowledged and is gone", cuts, name)
				} else if !bytes.Equal(blobtest.Get(t, after, name), b) {
					t.Fatalf("cut %d: %s holds other bytes", cuts, name)
				}
			}
			for name := range listed {
				if b, ok := pending[name]; ok && !bytes.Equal(blobtest.Get(t, after, name), b) {
					t.Fatalf("cut %d: %s is there by halves", cuts, name)
				}
				if deleted[name] {
					t.Fatalf("cut %d: %s is there again", cuts, name)
				}
			}
		}
	}
	s.SetSync(func(f *os.File) error {
		check()
		if err := f.Sync(); err != nil {
			return err
		}
		d.synced(f.Name())
		check()
		return nil
	})
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 12 {
		name := fmt.Sprintf("vaults/%d/packs/%d", i%3, i)
		b := bytes.Repeat([]byte(name), 1+rng.IntN(200))
		pending[name] = b
		blobtest.Put(t, s, name, b)
		want[name] = b
		delete(pending, name)
		check()
		if i%4 == 3 {
			gone := fmt.Sprintf("vaults/%d/packs/%d", (i-3)%3, i-3)
			delete(want, gone)
			if err := s.Delete(t.Context(), gone); err != nil {
				t.Fatal(err)
			}
			deleted[gone] = true
			check()
		}
	}
	t.Logf("%d cuts", cuts)
}
