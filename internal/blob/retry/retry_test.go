package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/limit"
	"holdfast/internal/blob/mem"
	"holdfast/internal/blob/retry"
)

var errFault = errors.New("fault")

// patient tries at once, and so often that a fault in every few calls is
// nothing.
func patient(store blob.Store) *retry.Store {
	return retry.New(store, retry.Config{Tries: 100, Rand: func(int64) int64 { return 0 }})
}

func TestStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return patient(mem.New()) })
}

// TestStoreWithFaults runs the conformance suite over a store that fails a
// third of all calls, before or after it did what was asked, and cuts answers.
func TestStoreWithFaults(t *testing.T) {
	seed := uint64(0)
	blobtest.Run(t, func(*testing.T) blob.Store {
		seed++
		flaky := fault.New(mem.New(), fault.Flaky(seed, 3, errFault)...)
		return patient(limit.New(flaky, limit.Config{Reads: 3, Writes: 2}))
	})
}

// TestWaits sees how often is tried, and when.
func TestWaits(t *testing.T) {
	cfg := retry.Config{
		Tries: 6, Within: time.Minute, First: time.Second, Longest: 5 * time.Second,
		Rand: func(n int64) int64 { return n - 1 }, // the longest that there may be
	}
	for _, tt := range []struct {
		name  string
		cfg   func(*retry.Config)
		fault fault.Fault
		waits []time.Duration
		want  string
	}{
		{
			"tries run out", nil,
			fault.Fault{Err: errFault},
			[]time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second},
			"injected: fault (tried 6 times)",
		},
		{
			"time runs out", func(c *retry.Config) { c.Within = 8 * time.Second },
			fault.Fault{Err: errFault},
			[]time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second},
			"injected: fault (tried 4 times)",
		},
		{
			"works at last", nil,
			fault.Fault{Err: errFault, Nth: 1},
			[]time.Duration{time.Second},
			"",
		},
		{
			"half of the longest", func(c *retry.Config) { c.Rand = func(n int64) int64 { return n / 2 }; c.Tries = 3 },
			fault.Fault{Err: errFault},
			[]time.Duration{500 * time.Millisecond, time.Second},
			"injected: fault (tried 3 times)",
		},
		{"missing", nil, fault.Fault{Err: blob.ErrNotFound}, nil, "injected: object not found"},
		{"refused", nil, fault.Fault{Err: blob.ErrRefused}, nil, "injected: refused by the object store"},
		{"full", nil, fault.Fault{Err: blob.ErrNoSpace}, nil, "injected: store is full"},
		{"invalid", nil, fault.Fault{Err: blob.ErrInvalid}, nil, "injected: not allowed by the object store"},
		{"too short", nil, fault.Fault{Err: io.ErrUnexpectedEOF}, nil, "injected: unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := cfg
				if tt.cfg != nil {
					tt.cfg(&cfg)
				}
				var waits []time.Duration
				cfg.Notify = func(_ error, wait time.Duration) { waits = append(waits, wait) }
				tt.fault.Op = fault.Stat
				inner := fault.New(mem.New(), tt.fault)
				blobtest.Put(t, inner, "a", nil)
				began := time.Now()
				_, err := retry.New(inner, cfg).Stat(t.Context(), "a")
				if diff := cmp.Diff(tt.waits, waits); diff != "" {
					t.Errorf("waits (-want +got):\n%s", diff)
				}
				sum := time.Duration(0)
				for _, w := range tt.waits {
					sum += w
				}
				if took := time.Since(began); took != sum {
					t.Errorf("took %v, want %v", took, sum)
				}
				if got := inner.Calls(fault.Stat); got != len(tt.waits)+1 {
					t.Errorf("%d calls, want %d", got, len(tt.waits)+1)
				}
				if fmt.Sprint(err) != tt.want && (err != nil || tt.want != "") {
					t.Errorf("error %v, want %s", err, tt.want)
				}
				if err != nil && !errors.Is(err, tt.fault.Err) {
					t.Errorf("the cause is lost: %v", err)
				}
			})
		})
	}
}

// TestContextEndsTheWait gives up at once, and says why it was waiting.
func TestContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := retry.New(fault.New(mem.New(), fault.Fault{Op: fault.Delete, Err: errFault}), retry.Config{
			Tries: 10, First: time.Hour, Longest: time.Hour, Rand: func(n int64) int64 { return n - 1 },
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := s.Delete(ctx, "a")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if want := "context deadline exceeded; tried once, the last time: injected: fault"; fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// TestBrokenBody is not tried again: no store can mend it.
func TestBrokenBody(t *testing.T) {
	inner := fault.New(mem.New())
	body := io.NewSectionReader(brokenBody{}, 0, 10)
	if err := patient(inner).Put(t.Context(), "a", body); !errors.Is(err, errFault) {
		t.Errorf("error %v", err)
	}
	if got := inner.Calls(fault.Put); got != 1 {
		t.Errorf("%d attempts", got)
	}
}

type brokenBody struct{}

func (brokenBody) ReadAt([]byte, int64) (int, error) { return 0, errFault }

// torn fails listings in their middle, after one more entry each time.
type torn struct {
	blob.Store
	names []string // in the order of listing
	after int
}

func (s *torn) List(_ context.Context, _ string, fn func(blob.Info) error) error {
	s.after++
	for _, name := range s.names[:min(s.after, len(s.names))] {
		if err := fn(blob.Info{Name: name}); err != nil {
			return err
		}
	}
	if s.after < len(s.names) {
		return errFault
	}
	return nil
}

func TestListGoesOn(t *testing.T) {
	names := strings.Split("a b c d e f g", " ")
	var got []string
	hear := func(info blob.Info) error {
		got = append(got, info.Name)
		return nil
	}
	if err := patient(&torn{names: names}).List(t.Context(), "", hear); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}

	// In another order, what was told can't be passed over, and nothing is left
	// out in silence.
	slices.Reverse(names)
	if err := patient(&torn{names: names}).List(t.Context(), "", hear); err == nil {
		t.Error("a listing in no order went on after an error")
	}
	if err := patient(&torn{names: names, after: len(names)}).List(t.Context(), "", hear); err != nil {
		t.Errorf("a listing in no order, without an error: %v", err)
	}
}

// TestListStops returns the error of the function itself.
func TestListStops(t *testing.T) {
	s := &torn{names: []string{"a", "b"}, after: 5}
	stop := errors.New("stop")
	if err := patient(s).List(t.Context(), "", func(blob.Info) error { return stop }); err != stop || s.after != 6 {
		t.Errorf("error %v after %d listings", err, s.after-5)
	}
}
