package progress_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/clock"
	"holdfast/internal/progress"
)

func TestLineRewritesInPlaceAtMostTenTimesASecond(t *testing.T) {
	var out strings.Builder
	c := clock.NewFake(time.Unix(1000, 0))
	l := progress.NewLine(&out, true, c)
	l.Show("one")
	l.Show("too soon")
	c.Advance(150 * time.Millisecond)
	l.Show("two")
	l.Clear()
	l.Clear()
	l.Show("three")
	want := "\rone\x1b[K\rtwo\x1b[K\r\x1b[K\rthree\x1b[K"
	if got := out.String(); got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestLineIsSilentElsewhere(t *testing.T) {
	var out strings.Builder
	l := progress.NewLine(&out, false, clock.Real{})
	l.Show("one")
	l.Clear()
	if out.Len() > 0 {
		t.Errorf("wrote %q where there is no terminal", out.String())
	}
}

func TestBar(t *testing.T) {
	for _, tc := range []struct {
		done, total int64
		want        string
	}{
		{0, 10, "[....................]   0 %"},
		{5, 10, "[##########..........]  50 %"},
		{10, 10, "[####################] 100 %"},
		{12, 10, "[####################] 100 %"},
		{-1, 10, "[....................]   0 %"},
		{0, 0, "[####################] 100 %"},
	} {
		if got := progress.Bar(tc.done, tc.total); got != tc.want {
			t.Errorf("Bar(%d, %d) = %q, want %q", tc.done, tc.total, got, tc.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 10 << 10: "10 KiB",
		1<<20 - 1: "1.0 MiB", 600 << 20: "600 MiB", 1 << 30: "1.0 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := progress.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	if got := progress.Rate(300e6, 2*time.Second); got != "150" {
		t.Errorf("Rate = %q, want 150", got)
	}
	if got := progress.Rate(300e6, 0); got != "-" {
		t.Errorf("Rate without time = %q, want -", got)
	}
}
