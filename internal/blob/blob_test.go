package blob_test

import (
	"context"
	"errors"
	"math"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/mem"
)

func FuzzCheckName(f *testing.F) {
	for _, name := range []string{"a", "vaults/0f/keys/naming-0", "a/../b", "a//b", "/", "..", "a/.", "ä", "a\x00"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if blob.CheckName(name) != nil {
			return
		}
		if path.Clean("/"+name) != "/"+name || len(name) > blob.MaxName || name == "" {
			t.Errorf("took %q", name)
		}
		for i := range len(name) + 1 {
			if err := blob.CheckPrefix(name[:i]); err != nil {
				t.Errorf("%q is a prefix of a name: %v", name[:i], err)
			}
		}
	})
}

func TestCheckPrefix(t *testing.T) {
	for prefix, ok := range map[string]bool{
		"": true, "a": true, "a/": true, "a/b": true, "a/..": true, ".": true, "a/../": false, "/": false, "a//": false, "a b": false,
		strings.Repeat("a/", 256): true, strings.Repeat("a/", 257): false,
	} {
		if err := blob.CheckPrefix(prefix); (err == nil) != ok || err != nil && !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("CheckPrefix(%.20q): %v", prefix, err)
		}
	}
}

func TestWindowStaysInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 100).Draw(t, "size")
		off := rapid.OneOf(rapid.Int64Range(-120, 120), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64})).Draw(t, "off")
		n := rapid.IntRange(0, 120).Draw(t, "n")
		start, count := blob.Window(size, off, n)
		if start < 0 || count < 0 || count > n || start+int64(count) > size {
			t.Errorf("%d bytes from %d", count, start)
		}
	})
}

func TestReadAllRefusesMore(t *testing.T) {
	s := mem.New()
	blobtest.Put(t, s, "a", []byte("0123456789"))
	if data, err := blob.ReadAll(context.Background(), s, "a", 10); err != nil || string(data) != "0123456789" {
		t.Errorf("at the limit: %q, %v", data, err)
	}
	if _, err := blob.ReadAll(context.Background(), s, "a", 9); !errors.Is(err, blob.ErrInvalid) {
		t.Errorf("over the limit: %v", err)
	}
}
