package blobtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob"
)

func testList(t *testing.T, s blob.Store) {
	all := map[string]int64{
		"a": 1, "ab": 2, "b/a": 3, "b/ab": 4, "b/c/d": 5, "b/c/e/f": 6, "bc/d": 7, "b/..c": 8, "b/.d/e": 9,
	}
	for name, size := range all {
		Put(t, s, name, make([]byte, size))
	}
	for _, prefix := range []string{
		"", "a", "ab", "abc", "b", "b/", "b/a", "b/a/", "b/c", "b/c/", "b/c/e", "b/c/e/f", "b/.", "b/..", "b/.d/", "c/", "bc",
	} {
		want := make(map[string]int64)
		for name, size := range all {
			if strings.HasPrefix(name, prefix) {
				want[name] = size
			}
		}
		if diff := cmp.Diff(want, List(t, s, prefix)); diff != "" {
			t.Errorf("List %q (-want +got):\n%s", prefix, diff)
		}
	}
}

func testListStops(t *testing.T, s blob.Store) {
	for i := range 10 {
		Put(t, s, fmt.Sprintf("a/%d/b", i), nil)
	}
	stop, calls := errors.New("stop"), 0
	err := s.List(context.Background(), "a/", func(blob.Info) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 3 {
		t.Errorf("%d calls, error %v", calls, err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	calls = 0
	err = s.List(ctx, "a/", func(blob.Info) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("after cancellation: %d calls, error %v", calls, err)
	}
}

func testListReenters(t *testing.T, s blob.Store) {
	ctx := context.Background()
	for i := range 50 {
		Put(t, s, fmt.Sprintf("a/%d", i), []byte("x"))
	}
	err := s.List(ctx, "a/", func(info blob.Info) error {
		if err := s.Put(ctx, "b/"+info.Name, Body([]byte("y"))); err != nil {
			return err
		}
		return s.Delete(ctx, info.Name)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := List(t, s, "a"); len(got) != 0 {
		t.Errorf("left after each listed object was deleted: %v", got)
	}
	if got := len(List(t, s, "b/")); got != 50 {
		t.Errorf("%d objects put while listing, want 50", got)
	}
}

func testBadPrefixes(t *testing.T, s blob.Store) {
	Put(t, s, "a/b", nil)
	for _, prefix := range []string{"/", "/a", "a//", "../", "a/../", "./", "a b", "a\x00", "ä", longest + "v"} {
		err := s.List(context.Background(), prefix, func(info blob.Info) error {
			t.Errorf("List %q shows %s", prefix, info.Name)
			return nil
		})
		if !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("List %q: error %v", prefix, err)
		}
	}
}

func testCanceled(t *testing.T, s blob.Store) {
	Put(t, s, "a", []byte("x"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, get := s.Get(ctx, "a", make([]byte, 1), 0)
	_, stat := s.Stat(ctx, "a")
	for op, err := range map[string]error{
		"Put":    s.Put(ctx, "b", Body([]byte("y"))),
		"Get":    get,
		"Stat":   stat,
		"Delete": s.Delete(ctx, "a"),
		"List":   s.List(ctx, "", func(blob.Info) error { return nil }),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", op, err)
		}
	}
	if diff := cmp.Diff(map[string]int64{"a": 1}, List(t, s, "")); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}
