package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const none = "—"

// peers are the columns of others, in pairs of settings.
func peers() [][]string { return [][]string{{"restic", "restic 64M"}, {"borg", "borg 4M"}} }

// heading says what was measured, where and when.
func heading(ctx context.Context, b *bench) string {
	version := func(args ...string) string {
		u, err := measure(ctx, command{args: args})
		if err != nil {
			return args[0] + " missing"
		}
		first, _, _ := strings.Cut(string(u.out), "\n")
		return strings.TrimSpace(first)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		u = unix.Utsname{}
	}
	return fmt.Sprintf("%s, %d x %s, %d GiB, Linux %s, %s\n%s; %s; %s\nmedian of %d rounds; page cache warm; %s\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), procField("/proc/cpuinfo", "model name"),
		memory()>>30, unix.ByteSliceToString(u.Release[:]), runtime.Version(),
		version("restic", "version"), version("borg", "--version"), version("qemu-img", "--version"), b.runs, b.images.made())
}

func memory() int64 {
	var kib int64
	fmt.Sscan(procField("/proc/meminfo", "MemTotal"), &kib)
	return kib << 10
}

// procField returns the value of the first line of a key.
func procField(path, key string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// table renders all that was measured.
func (r *results) table(head string, rows []row) string {
	lines := [][]string{{"", "", ours, "restic", "restic 64M", "borg", "borg 4M", "zstd", "qemu-img", "base", "x restic", "x borg", "of it", "goal"}}
	for _, row := range rows {
		line := r.line(row)
		if slices.ContainsFunc(line[2:len(line)-1], func(c string) bool { return c != none }) {
			lines = append(lines, line)
		}
	}
	return head + "\n" + align(lines) + r.notes()
}

// line renders a row.
func (r *results) line(row row) []string {
	line := []string{row.label, row.unit, r.cell(row.mine, row.of)}
	for _, pair := range peers() {
		for _, p := range pair {
			line = append(line, r.cell(cell{p, row.theirs}, row.of))
		}
	}
	for _, p := range []string{"zstd", "qemu-img"} {
		line = append(line, r.cell(cell{p, row.theirs}, row.of))
	}
	line = append(line, r.cell(row.base, row.of))
	mine, ok := r.median(row.mine, row.of)
	if !ok || mine <= 0 {
		return append(line, none, none, none, row.goal.text())
	}
	times := []float64{r.times(mine, row, 0), r.times(mine, row, 1)}
	share := 0.0
	if v, ok := r.median(row.base, row.of); ok {
		share = v / mine
	}
	line = append(line, number(times[0]), number(times[1]), percent(share))
	return append(line, row.goal.verdict(mine, times, share))
}

// times returns how many times as much the best setting of a peer takes.
func (r *results) times(mine float64, row row, peer int) float64 {
	best := 0.0
	for _, p := range peers()[peer] {
		if v, ok := r.median(cell{p, row.theirs}, row.of); ok && (best == 0 || v < best) {
			best = v
		}
	}
	return best / mine
}

func (r *results) cell(c cell, of metric) string {
	v, ok := r.median(c, of)
	if !ok {
		return none
	}
	return number(v)
}

func number(v float64) string {
	switch {
	case v == 0:
		return none
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func percent(v float64) string {
	if v == 0 {
		return none
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

// text says what the goal is.
func (g goal) text() string {
	var parts []string
	add := func(v float64, format string) {
		if v != 0 {
			parts = append(parts, fmt.Sprintf(format, v))
		}
	}
	add(g.peers, "%gx peers")
	add(g.restic, "%gx restic")
	add(g.borg, "%gx borg")
	add(100*g.share, "%g %%")
	add(g.most, "≤ %g")
	return strings.Join(parts, ", ")
}

// verdict is the goal with whether it is met. What can't be compared counts
// as not met.
func (g goal) verdict(mine float64, times []float64, share float64) string {
	if g == (goal{}) {
		return ""
	}
	met := times[0] >= g.restic && times[1] >= g.borg && slices.Min(times) >= g.peers && share >= g.share &&
		(g.most == 0 || mine <= g.most)
	if met {
		return g.text() + ": met"
	}
	return g.text() + ": MISSED"
}

// align puts columns under each other: the first, second and last to the
// left, the others to the right.
func align(lines [][]string) string {
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, c := range line {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		var l strings.Builder
		for i, c := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i < 2 || i == len(line)-1 {
				l.WriteString(c + pad + "  ")
			} else {
				l.WriteString(pad + c + "  ")
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	return b.String()
}

// notes says why cells are empty.
func (r *results) notes() string {
	var b strings.Builder
	keys := slices.SortedFunc(maps.Keys(r.failures), func(x, y cell) int {
		return strings.Compare(x.contender+x.step, y.contender+y.step)
	})
	for _, c := range keys {
		fmt.Fprintf(&b, "%s %s, %s: %s\n", none, c.contender, c.step, r.failures[c])
	}
	if b.Len() > 0 {
		return "\n" + b.String()
	}
	return ""
}
