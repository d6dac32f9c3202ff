// Package progress shows what goes on: one line, rewritten in place, on a
// terminal, and nothing anywhere else.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"

	"holdfast/internal/clock"
)

// interval is how often the line is rewritten at most.
const interval = 100 * time.Millisecond

// Line is the last line of a terminal. Its methods may be called
// concurrently.
type Line struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	clock    clock.Clock
	shown    time.Time
	dirty    bool
}

// NewLine returns a line on out. Unless terminal is set it never writes.
func NewLine(out io.Writer, terminal bool, c clock.Clock) *Line {
	return &Line{out: out, terminal: terminal, clock: c}
}

// IsTerminal reports whether f is a terminal that can rewrite a line.
func IsTerminal(f *os.File) bool {
	return isatty.IsTerminal(f.Fd()) && os.Getenv("TERM") != "dumb"
}

// Show replaces the line by text, unless it was replaced a moment ago.
func (l *Line) Show(text string) {
	if !l.terminal {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	if l.dirty && now.Sub(l.shown) < interval {
		return
	}
	l.shown, l.dirty = now, true
	fmt.Fprintf(l.out, "\r%s\x1b[K", text)
}

// Clear takes the line away. Whatever else is printed there comes after it.
func (l *Line) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirty {
		fmt.Fprint(l.out, "\r\x1b[K")
		l.dirty = false
	}
}

// Bar returns a bar of 20 characters and the share in percent that done is of
// total.
func Bar(done, total int64) string {
	const width = 20
	share := 1.0
	if total > 0 {
		share = min(1, max(0, float64(done)/float64(total)))
	}
	full := int(share * width)
	return fmt.Sprintf("[%s%s] %3d %%", strings.Repeat("#", full), strings.Repeat(".", width-full), int(share*100))
}

// Bytes returns n in the largest binary unit in which it is at least one,
// with one decimal below ten.
func Bytes(n int64) string {
	units := [...]string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/(1<<10), 0
	for v >= 1023.95 && unit < len(units)-1 {
		v /= 1 << 10
		unit++
	}
	if v < 9.95 {
		return fmt.Sprintf("%.1f %s", v, units[unit])
	}
	return fmt.Sprintf("%.0f %s", v, units[unit])
}

// Rate returns how many million bytes a second n bytes in d are, without the
// unit, and "-" where d is too short to tell.
func Rate(n int64, d time.Duration) string {
	if d < time.Millisecond {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(n)/1e6/d.Seconds())
}
