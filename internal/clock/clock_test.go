package clock_test

import (
	"testing"
	"time"

	"holdfast/internal/clock"
)

var (
	_ clock.Clock = clock.Real{}
	_ clock.Clock = (*clock.Fake)(nil)
)

func TestFakeMovesOnlyWhenTold(t *testing.T) {
	start := time.Date(2024, 5, 9, 12, 0, 0, 0, time.FixedZone("CEST", 2*3600))
	f := clock.NewFake(start)
	if got := f.Now(); !got.Equal(start) || got.Location() != time.UTC {
		t.Fatalf("Now = %v, want %v in UTC", got, start)
	}
	if got, want := f.Advance(time.Minute), start.Add(time.Minute); !got.Equal(want) || !f.Now().Equal(want) {
		t.Fatalf("after Advance: returned %v, Now %v, want %v", got, f.Now(), want)
	}
	f.Set(start)
	if got := f.Now(); !got.Equal(start) || got.Location() != time.UTC {
		t.Fatalf("after Set: Now = %v, want %v in UTC", got, start)
	}
}

func TestRealIsUTC(t *testing.T) {
	before := time.Now()
	got := clock.Real{}.Now()
	if got.Location() != time.UTC || got.Before(before) {
		t.Fatalf("Now = %v, not a UTC time after %v", got, before)
	}
}
