package volume_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"holdfast/internal/volume"
)

const gib = 1 << 30

func TestFolderLifeOfAVolume(t *testing.T) {
	everywhere(t, func(t *testing.T, dir string) {
		ctx := context.Background()
		f := openFolder(t, filepath.Join(dir, "volumes"))
		id, path := newVolume(t, f, 8<<20)
		writeAt(t, path, content(1, 1<<20), 1<<20)
		first := read(t, path)

		snap := newID()
		taken, err := f.Snapshot(ctx, id, snap)
		must(t, err)
		if taken.Written {
			t.Error("an idle volume counts as written")
		}
		writeAt(t, path, content(2, 3<<20), 0)
		must(t, f.Grow(ctx, id, 16<<20))
		grown := append(slices.Concat(content(2, 3<<20), first[3<<20:]), make([]byte, 8<<20)...)

		other, twin := newID(), newID()
		must(t, f.CloneFromSnapshot(ctx, snap, other, 12<<20))
		_, err = f.CloneFromVolume(ctx, id, twin, 16<<20)
		must(t, err)
		// A copy lives on without what it was made from.
		must(t, f.DeleteSnapshot(ctx, snap))
		must(t, f.Delete(ctx, id))
		if ok, err := f.Exists(id); ok || err != nil {
			t.Errorf("deleted volume exists: %v, %v", ok, err)
		}

		for id, want := range map[string][]byte{
			other: append(first, make([]byte, 4<<20)...),
			twin:  grown,
		} {
			path, err := f.Path(id)
			must(t, err)
			if !bytes.Equal(read(t, path), want) {
				t.Errorf("volume %s has other bytes", id)
			}
			if n := allocated(t, path); n > 5<<20 {
				t.Errorf("a sparse volume takes %d bytes", n)
			}
		}
		if left := files(t, filepath.Join(dir, "volumes", "tmp")); left != nil {
			t.Errorf("left over: %v", left)
		}
	})
}

func TestFolderKnowsWhetherItSharesBlocks(t *testing.T) {
	for _, fs := range fileSystems {
		t.Run(fs.name, func(t *testing.T) {
			f := openFolder(t, fs.mount(t))
			if f.Instant() != fs.reflink {
				t.Errorf("instant %v", f.Instant())
			}
		})
	}
}

func TestFolderRepeats(t *testing.T) {
	everywhere(t, func(t *testing.T, dir string) {
		ctx := context.Background()
		f := openFolder(t, dir)
		id, snap, clone, state := newID(), newID(), newID(), newID()
		for range 2 {
			must(t, f.Create(ctx, id, gib))
			must(t, f.Grow(ctx, id, gib))
			_, err := f.Snapshot(ctx, id, snap)
			must(t, err)
			must(t, f.CloneFromSnapshot(ctx, snap, clone, 2*gib))
			_, _, err = f.TakeBase(ctx, id, state)
			must(t, err)
		}
		// A snapshot that is there isn't taken anew.
		path, err := f.Path(id)
		must(t, err)
		writeAt(t, path, content(1, 4096), 0)
		must(t, f.Grow(ctx, id, 3*gib))
		_, err = f.Snapshot(ctx, id, snap)
		must(t, err)
		s := openSource(t, must2(f.SnapshotPath(snap)))
		defer s.Close()
		if start, _, err := s.NextData(0); start != s.Size() || s.Size() != gib || err != nil {
			t.Errorf("the snapshot changed: data at %d of %d, %v", start, s.Size(), err)
		}

		mustFail(t, f.Create(ctx, id, gib), volume.ErrExists)
		mustFail(t, f.CloneFromSnapshot(ctx, snap, clone, gib), volume.ErrExists)
		for range 2 {
			must(t, f.DeleteSnapshot(ctx, snap))
			must(t, f.Delete(ctx, clone))
			must(t, f.DropBase(ctx, id, state))
			must(t, f.Delete(ctx, id))
		}
		if left := files(t, dir); left != nil {
			t.Errorf("left over: %v", left)
		}
	})
}

func must2(path string, err error) string {
	if err != nil {
		panic(err)
	}
	return path
}

func TestFolderRefuses(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	f := openFolder(t, dir)
	id, _ := newVolume(t, f, 1<<20)
	before := files(t, dir)

	for _, bad := range []string{
		"", ".", "../../etc/passwd", "x", strings.ToUpper(id), id + "0", id[:35], strings.ReplaceAll(id, "-", "0"),
		id[:35] + "/", id[:35] + "\x00", ".." + id[2:],
	} {
		mustFail(t, f.Create(ctx, bad, 1), volume.ErrInvalid)
		mustFail(t, f.Grow(ctx, bad, 1<<30), volume.ErrInvalid)
		mustFail(t, f.Delete(ctx, bad), volume.ErrInvalid)
		mustFail(t, f.DeleteSnapshot(ctx, bad), volume.ErrInvalid)
		mustFail(t, f.CloneFromSnapshot(ctx, bad, newID(), 1<<20), volume.ErrInvalid)
		_, err := f.Snapshot(ctx, id, bad)
		mustFail(t, err, volume.ErrInvalid)
		_, err = f.CloneFromVolume(ctx, id, bad, 1<<20)
		mustFail(t, err, volume.ErrInvalid)
		_, err = f.Path(bad)
		mustFail(t, err, volume.ErrInvalid)
		_, err = f.SnapshotPath(bad)
		mustFail(t, err, volume.ErrInvalid)
		_, err = f.Exists(bad)
		mustFail(t, err, volume.ErrInvalid)
		_, err = f.Bases(bad)
		mustFail(t, err, volume.ErrInvalid)
		_, _, err = f.TakeBase(ctx, bad, newID())
		mustFail(t, err, volume.ErrInvalid)
	}
	for _, bad := range []string{"", "..", "0123456789abcde", "0123456789abcdeg", "../../../etc/passwd", strings.Repeat("0", 65)} {
		_, _, err := f.TakeBase(ctx, id, bad)
		mustFail(t, err, volume.ErrInvalid)
		mustFail(t, f.DropBase(ctx, id, bad), volume.ErrInvalid)
		_, err = f.BasePath(id, bad)
		mustFail(t, err, volume.ErrInvalid)
	}

	mustFail(t, f.Create(ctx, newID(), 0), volume.ErrInvalid)
	mustFail(t, f.Grow(ctx, id, 1<<19), volume.ErrTooSmall)
	_, err := f.CloneFromVolume(ctx, id, newID(), 1<<19)
	mustFail(t, err, volume.ErrTooSmall)
	_, err = f.CloneFromVolume(ctx, id, newID(), -1)
	mustFail(t, err, volume.ErrInvalid)

	mustFail(t, f.Grow(ctx, newID(), 1<<30), volume.ErrNotFound)
	_, err = f.Snapshot(ctx, newID(), newID())
	mustFail(t, err, volume.ErrNotFound)
	mustFail(t, f.CloneFromSnapshot(ctx, newID(), newID(), 1), volume.ErrNotFound)
	_, _, err = f.TakeBase(ctx, newID(), newID())
	mustFail(t, err, volume.ErrNotFound)

	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("refusals left traces: %s", diff)
	}
}

func TestFolderCancelled(t *testing.T) {
	dir := t.TempDir()
	f := openFolder(t, dir)
	id, path := newVolume(t, f, 1<<20)
	writeAt(t, path, content(1, 4096), 0)
	state := newID()
	if _, _, err := f.TakeBase(context.Background(), id, state); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, snapErr := f.Snapshot(ctx, id, newID())
	_, cloneErr := f.CloneFromVolume(ctx, id, newID(), 1<<20)
	_, _, baseErr := f.TakeBase(ctx, id, newID())
	for _, err := range []error{
		snapErr, cloneErr, baseErr, f.Create(ctx, newID(), 1), f.Grow(ctx, id, 2<<20), f.Delete(ctx, id),
		f.DropBase(ctx, id, state), f.DeleteSnapshot(ctx, newID()),
		f.CloneFromSnapshot(ctx, newID(), newID(), 1),
	} {
		mustFail(t, err, context.Canceled)
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("cancelled operations left traces: %s", diff)
	}
}

// countdown is a context that is cancelled when it has been asked n times.
type countdown struct {
	context.Context
	n int
}

func (c *countdown) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

func TestFolderCancelledHalfway(t *testing.T) {
	dir := t.TempDir()
	f := openFolder(t, dir)
	if f.Instant() {
		t.Skip("blocks are shared here: there is no halfway")
	}
	id, path := newVolume(t, f, 16<<20)
	writeAt(t, path, content(1, 8<<20), 0)
	before := files(t, dir)
	_, err := f.Snapshot(&countdown{context.Background(), 4}, id, newID())
	mustFail(t, err, context.Canceled)
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("left over: %s", diff)
	}
}

// writer is a context whose every question is answered after a write to the
// volume that is being copied.
type writer struct {
	context.Context
	write func()
}

func (w *writer) Err() error {
	w.write()
	return nil
}

func TestFolderSeesAWriterDuringACopy(t *testing.T) {
	f := openFolder(t, t.TempDir())
	if f.Instant() {
		t.Skip("blocks are shared here: nobody can write meanwhile")
	}
	id, path := newVolume(t, f, 4<<20)
	writeAt(t, path, content(1, 4<<20), 0)
	old := int64(1)
	must(t, os.Chtimes(path, time.Unix(old, 0), time.Unix(old, 0)))
	c, err := f.Snapshot(&writer{context.Background(), func() {
		old++
		writeAt(t, path, content(2, 4096), 0)
		must(t, os.Chtimes(path, time.Unix(old, 0), time.Unix(old, 0)))
	}}, id, newID())
	must(t, err)
	if !c.Written {
		t.Error("a writer went unseen")
	}
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "volumes")
	old := unix.Umask(0)
	defer unix.Umask(old)
	f := openFolder(t, dir)
	id, _ := newVolume(t, f, 1<<20)
	_, err := f.Snapshot(context.Background(), id, newID())
	must(t, err)
	_, _, err = f.TakeBase(context.Background(), id, newID())
	must(t, err)
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	}))
}

func TestFolderRemovesTheDeadAlone(t *testing.T) {
	dir := t.TempDir()
	f := openFolder(t, dir)
	newVolume(t, f, 1<<20)
	dead, alive := filepath.Join(dir, "tmp", "dead.raw"), filepath.Join(dir, "tmp", "alive.raw")
	must(t, os.WriteFile(dead, content(1, 100), 0o600))
	holder, err := os.Create(alive)
	must(t, err)
	defer holder.Close()
	must(t, unix.Flock(int(holder.Fd()), unix.LOCK_EX))

	openFolder(t, dir)
	if diff := cmp.Diff([]string{"alive.raw"}, files(t, filepath.Join(dir, "tmp"))); diff != "" {
		t.Error(diff)
	}
	must(t, holder.Close())
	openFolder(t, dir)
	if left := files(t, filepath.Join(dir, "tmp")); left != nil {
		t.Errorf("left over: %v", left)
	}
}

func TestFolderOpenedWhileInUse(t *testing.T) {
	dir := t.TempDir()
	f := openFolder(t, dir)
	done := make(chan error)
	const makers, rounds = 3, 100
	for range makers {
		go func() {
			for range rounds {
				id := newID()
				if err := errors.Join(f.Create(context.Background(), id, 4096), f.Delete(context.Background(), id)); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for finished := 0; finished < makers; {
		openFolder(t, dir)
		select {
		case err := <-done:
			must(t, err)
			finished++
		default:
		}
	}
	if left := files(t, dir); left != nil {
		t.Errorf("left over: %v", left)
	}
}

func TestFolderFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a file system")
	}
	dir := t.TempDir()
	mountAt(t, dir, "mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir)
	f := openFolder(t, dir)
	id, path := newVolume(t, f, 16<<20)
	writeAt(t, path, content(1, 3<<20), 0)
	before := files(t, dir)

	_, err := f.Snapshot(context.Background(), id, newID())
	mustFail(t, err, volume.ErrNoSpace)
	_, err = f.CloneFromVolume(context.Background(), id, newID(), 16<<20)
	mustFail(t, err, volume.ErrNoSpace)
	_, _, err = f.TakeBase(context.Background(), id, newID())
	mustFail(t, err, volume.ErrNoSpace)
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("left over: %s", diff)
	}

	tg := openTarget(t, path)
	defer tg.Close()
	_, err = tg.WriteAt(content(2, 2<<20), 8<<20)
	mustFail(t, err, volume.ErrNoSpace)
}

func TestFolderInOneFileSystem(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a file system")
	}
	dir := t.TempDir()
	sub := filepath.Join(dir, "snapshots")
	must(t, os.Mkdir(sub, 0o700))
	mountAt(t, sub, "mount", "-t", "tmpfs", "tmpfs", sub)
	_, err := volume.OpenFolder(dir)
	mustFail(t, err, volume.ErrInvalid)
}

// What is larger than the file system's largest file will not fit later
// either: it is the caller's error, not one that goes away.
func TestFolderRefusesWhatNoFileHolds(t *testing.T) {
	ctx := context.Background()
	f := openFolder(t, t.TempDir())
	const tooLarge = 1 << 62
	err := f.Create(ctx, newID(), tooLarge)
	if err == nil {
		t.Skip("files of any size fit here")
	}
	mustFail(t, err, volume.ErrInvalid)

	id := newID()
	must(t, f.Create(ctx, id, gib))
	mustFail(t, f.Grow(ctx, id, tooLarge), volume.ErrInvalid)
	info, err := os.Stat(must2(f.Path(id)))
	must(t, err)
	if info.Size() != gib {
		t.Errorf("the volume has %d bytes after it could not grow", info.Size())
	}
}

// What stands in a volume's place but is no file of the folder's is neither
// read nor written, and nobody waits for it.
func TestFolderKeepsToItsOwnFiles(t *testing.T) {
	ctx := context.Background()
	f := openFolder(t, t.TempDir())
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	must(t, os.WriteFile(elsewhere, []byte("not a volume"), 0o600))
	for what, put := range map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink(elsewhere, path) },
		"pipe": func(path string) error { return unix.Mkfifo(path, 0o600) },
	} {
		id := newID()
		path := must2(f.Path(id))
		must(t, put(path))
		_, err := f.Snapshot(ctx, id, newID())
		mustFail(t, err, volume.ErrInvalid)
		_, err = f.CloneFromVolume(ctx, id, newID(), gib)
		mustFail(t, err, volume.ErrInvalid)
		_, _, err = f.TakeBase(ctx, id, newID())
		mustFail(t, err, volume.ErrInvalid)
		_, err = f.OpenTarget(id)
		mustFail(t, err, volume.ErrInvalid)
		mustFail(t, f.Grow(ctx, id, gib), volume.ErrInvalid)
		mustFail(t, f.Create(ctx, id, gib), volume.ErrInvalid)
		must(t, f.Delete(ctx, id))
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("deleted %s: %v", what, err)
		}
	}
	if got := read(t, elsewhere); string(got) != "not a volume" {
		t.Errorf("a file elsewhere holds %d bytes now", len(got))
	}
}
