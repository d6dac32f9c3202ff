package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	r := newResults()
	for _, s := range []float64{9, 2, 4} { // the median counts
		r.add(ours, firstFull, sample{wall: s, cpu: 2 * s})
	}
	r.add("restic", firstFull, sample{wall: 30, cpu: 10})
	r.add("restic 64M", firstFull, sample{wall: 20, cpu: 40})
	r.add("borg 4M", firstFull, sample{wall: 12, cpu: 16})
	r.add(theRoof, firstFull, sample{wall: 3})
	r.fail(oursMap, []string{busyDayMap}, errors.New("one\nexit status 2: no such flag\n"))
	rows := []row{
		{label: "first", unit: "s", of: wall, mine: mine(firstFull), theirs: firstFull, base: roofOf(firstFull), goal: goal{peers: 2.5, share: 0.7}},
		{unit: "CPU s", of: cpu, mine: mine(firstFull), theirs: firstFull, goal: goal{restic: 3, borg: 1.5}},
		{label: "nothing of it", unit: "s", of: wall, mine: mine(quietDay), theirs: quietDay, goal: goal{most: 1}},
	}
	want := `head

              holdfast  restic  restic 64M  borg  borg 4M  zstd  qemu-img  base  x restic  x borg  of it  goal
first  s          4.00    30.0        20.0     —     12.0     —         —  3.00      5.00    3.00   75 %  2.5x peers, 70 %: met
       CPU s      8.00    10.0        40.0     —     16.0     —         —     —      1.25    2.00      —  3x restic, 1.5x borg: MISSED

— holdfast map, gen2 by its change map: exit status 2: no such flag
`
	if diff := cmp.Diff(want, r.table("head\n", rows)); diff != "" {
		t.Error(diff)
	}
}

// TestRowsNameSteps has every row measured by somebody.
func TestRowsNameSteps(t *testing.T) {
	measured := map[cell]bool{}
	for _, c := range contenders(&bench{}) {
		for _, step := range c.steps(true, false) {
			measured[cell{c.name(), step}] = true
		}
	}
	for _, row := range rows() {
		if !measured[row.mine] {
			t.Errorf("%q: nobody measures %v", row.label, row.mine)
		}
		if row.theirs != "" && !measured[cell{"restic", row.theirs}] {
			t.Errorf("%q: no peer measures %q", row.label, row.theirs)
		}
		if row.base != (cell{}) && row.base != roofOf("") && !measured[row.base] {
			t.Errorf("%q: nobody measures its base %v", row.label, row.base)
		}
	}
}

func TestSameContent(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, size int64, at int64, text string) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a", 3<<20, 1<<20, "bytes")
	for name, c := range map[string]struct {
		path string
		same bool
	}{
		"equal":          {write("b", 3<<20, 1<<20, "bytes"), true},
		"shorter":        {write("c", 2<<20, 1<<20, "bytes"), false},
		"other bytes":    {write("d", 3<<20, 1<<20, "bites"), false},
		"more in a hole": {write("e", 3<<20, 2<<20, "bytes"), false},
	} {
		err := sameContent(a, c.path)
		if (err == nil) != c.same {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := folderSize(dir); err != nil || n != 14<<20 {
		t.Errorf("the folder has %d bytes: %v", n, err)
	}
	if n, err := folderSize(filepath.Join(dir, "missing")); err != nil || n != 0 {
		t.Errorf("a missing folder has %d bytes: %v", n, err)
	}
}

func TestMeasure(t *testing.T) {
	u, err := measure(t.Context(), command{args: []string{"sh", "-c", "echo out"}})
	if err != nil || string(u.out) != "out\n" || u.wall <= 0 || u.rss <= 0 {
		t.Errorf("%+v, %v", u, err)
	}
	_, err = measure(t.Context(), command{args: []string{"sh", "-c", "echo first >&2; echo last >&2; exit 3"}})
	if err == nil || !strings.HasSuffix(err.Error(), "exit status 3: last") {
		t.Error(err)
	}
}
