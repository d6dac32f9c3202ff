package e2e_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// damaged is a store with two backups of one volume, whose objects a test
// damages one at a time.
type damaged struct {
	*server
	r       *rand.Rand
	objects []string       // names of all objects
	full    string         // the first backup
	incr    string         // the second
	held    map[string]sum // what each backup holds
	target  string         // volume that is restored over
	tally   map[string]*outcomes
}

// outcomes counts what restores made of damage in one room of the store.
type outcomes struct{ loud, exact int }

func newDamaged(t *testing.T) *damaged {
	t.Helper()
	d := &damaged{server: newServer(t, settings{more: "maintenance: {heal: false}\n"}), r: newRand(t), held: map[string]sum{}, tally: map[string]*outcomes{}}
	d.start()
	source := d.createVolume("source", 1)
	d.target = d.createVolume("target", 1)
	scribble(t, d.r, d.volumeFile(source), 12, 1<<20)
	d.full = d.finishBackup(source, false)
	d.held[d.full] = digest(t, d.volumeFile(source))
	scribble(t, d.r, d.volumeFile(source), 4, 1<<20)
	d.incr = d.finishBackup(source, true)
	d.held[d.incr] = digest(t, d.volumeFile(source))
	d.objects = names(t, d.server.objects())
	return d
}

// names lists the files below a folder.
func names(t testing.TB, root string) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(root, path)
			all = append(all, name)
		}
		return err
	}))
	return all
}

// room is the kind of an object.
func room(name string) string { return strings.Split(name, "/")[2] }

// with returns the object of a room whose name contains a text.
func (d *damaged) with(kind, part string) string {
	d.t.Helper()
	for _, name := range d.objects {
		if room(name) == kind && strings.Contains(name, part) {
			return name
		}
	}
	d.t.Fatalf("the store has no object %q in %s", part, kind)
	return ""
}

// during replaces an object's bytes, nil for none, while f runs.
func (d *damaged) during(name string, content []byte, f func()) {
	d.t.Helper()
	path := filepath.Join(d.server.objects(), name)
	whole, err := os.ReadFile(path)
	must(d.t, err)
	if content == nil {
		must(d.t, os.Remove(path))
	} else {
		must(d.t, os.WriteFile(path, content, 0o600))
	}
	f()
	must(d.t, os.WriteFile(path, whole, 0o600))
}

// content reads an object.
func (d *damaged) content(name string) []byte {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.server.objects(), name))
	must(d.t, err)
	return b
}

// try restores a backup to a new volume. It reports whether that failed, and
// fails the test where a volume became available with other bytes, or where
// the log does not name the object that is damaged.
func (d *damaged) try(backup, object, what string) (loud bool) {
	d.t.Helper()
	before := d.log.len()
	volume := d.restore(backup)
	switch d.settle("volume", volume, "available", "error")["status"] {
	case "error":
		loud = true
		within(d.t, 10*time.Second, "the failure to be logged", func() bool { return failures(d.log.since(before)) != "" })
		if said := failures(d.log.since(before)); !strings.Contains(said, "object "+object+" is damaged") {
			d.t.Errorf("%s: the log doesn't name %s:\n%s", what, object, said)
		}
	case "available":
		if digest(d.t, d.volumeFile(volume)) != d.held[backup] {
			d.t.Errorf("%s in %s: the volume is available with other bytes", what, object)
		}
	}
	d.wait("backup", backup, "available")
	d.remove("volume", volume)
	return loud
}

// failures returns the lines of a log that tell of failed jobs.
func failures(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if strings.HasSuffix(line, "\n") && (strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR")) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// count notes what a restore made of damage in an object.
func (d *damaged) count(object string, loud bool) {
	kind := room(object)
	if d.tally[kind] == nil {
		d.tally[kind] = &outcomes{}
	}
	if loud {
		d.tally[kind].loud++
	} else {
		d.tally[kind].exact++
	}
}

// offsets are places in an object. In what restores read these are its ends,
// its middle, the first bytes behind its header, and some at random; in what
// they don't, a few are enough.
func (d *damaged) offsets(name string, size int) []int {
	all := []int{d.r.IntN(size), d.r.IntN(size)}
	if slices.Contains([]string{"packs", "pages", "records"}, room(name)) {
		all = append(all, 0, size/2, size-1, min(200, size-1))
		for range *samples {
			all = append(all, d.r.IntN(size))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestFlippedByte flips bytes all over the store, one at a time. A restore of
// either backup fails and names the object, or the byte was none of its own
// and it is exact.
func TestFlippedByte(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	for _, name := range d.objects {
		whole := d.content(name)
		for _, at := range d.offsets(name, len(whole)) {
			flipped := bytes.Clone(whole)
			flipped[at] ^= 1 << d.r.IntN(8)
			d.during(name, flipped, func() {
				for _, backup := range []string{d.full, d.incr} {
					loud := d.try(backup, name, "a flipped byte")
					d.count(name, loud)
					if own := strings.Contains(name, backup); room(name) == "records" && loud != own {
						t.Errorf("byte %d of %s is flipped: restoring %s failed: %v", at, name, backup, loud)
					}
				}
			})
		}
	}
	for _, room := range slices.Sorted(maps.Keys(d.tally)) {
		t.Logf("%-10s %3d restores failed loudly, %3d were exact", room, d.tally[room].loud, d.tally[room].exact)
	}
	// Most of a pack is blocks that one backup or both of them need.
	for room, least := range map[string]int{"packs": 2, "pages": 4, "records": 2} {
		if o := d.tally[room]; o == nil || o.loud*least < o.exact {
			t.Errorf("damage in %s was hardly noticed: %+v", room, o)
		}
	}
	for _, room := range []string{"dirs", "placement", "index", "keys"} {
		if o := d.tally[room]; o != nil && o.loud > 0 {
			t.Errorf("damage in %s, which no restore reads, made %d of them fail", room, o.loud)
		}
	}
	for backup := range d.held {
		if d.try(backup, "", "all is whole again") {
			t.Errorf("backup %s can't be restored though all is whole again", backup)
		}
	}
}

// TestDamagedObject damages objects in other ways, and restores over an
// existing volume too.
func TestDamagedObject(t *testing.T) {
	t.Parallel()
	d := newDamaged(t)
	record, other := d.with("records", d.incr), d.with("records", d.full)
	packs := d.inRoom("packs")
	pages := d.inRoom("pages")
	if len(packs) < 2 || len(pages) < 2 {
		t.Fatalf("two backups have %d packs and %d pages", len(packs), len(pages))
	}
	half := func(b []byte) []byte { return b[:len(b)/2] }
	for _, tt := range []struct {
		what, object string
		content      []byte
	}{
		{"a record swapped for another backup's", record, d.content(other)},
		{"a record cut short", record, half(d.content(record))},
		{"an empty record", record, []byte{}},
		{"a missing record", record, nil},
		{"a record with a byte more", record, append(d.content(record), 0)},
		{"a missing pack", packs[0], nil},
		{"a pack cut short", packs[0], half(d.content(packs[0]))},
		{"a pack of zeros", packs[0], make([]byte, len(d.content(packs[0])))},
		{"a pack swapped for another", packs[0], d.content(packs[1])},
		{"a pack shifted by a byte", packs[0], append([]byte{0}, d.content(packs[0])...)},
		{"missing pages", pages[1], nil},
		{"pages swapped for older ones", pages[1], d.content(pages[0])},
		{"pages cut short", pages[1], half(d.content(pages[1]))},
	} {
		d.during(tt.object, tt.content, func() {
			if !d.try(d.incr, tt.object, tt.what) {
				t.Errorf("%s went unnoticed", tt.what)
			}
			d.restoreOver(d.incr, d.target)
			d.wait("volume", d.target, "error_restoring")
			d.wait("backup", d.incr, "available")
		})
		d.reset("volume", d.target, "available")
	}
	d.restoreOver(d.incr, d.target)
	d.wait("volume", d.target, "available")
	if digest(t, d.volumeFile(d.target)) != d.held[d.incr] {
		t.Error("the existing volume is wrong once all is whole again")
	}
	if d.try(d.full, "", "all is whole again") {
		t.Error("the first backup can't be restored though all is whole again")
	}
}

// inRoom lists a room's objects in the order in which they were made.
func (d *damaged) inRoom(kind string) []string {
	d.t.Helper()
	made := map[string]int64{}
	var all []string
	for _, name := range d.objects {
		if room(name) != kind {
			continue
		}
		info, err := os.Stat(filepath.Join(d.server.objects(), name))
		must(d.t, err)
		made[name] = info.ModTime().UnixNano()
		all = append(all, name)
	}
	slices.SortFunc(all, func(a, b string) int { return int(made[a] - made[b]) })
	return all
}
