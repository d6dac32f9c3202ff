package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"holdfast/internal/blob"
)

func testPutGet(t *testing.T, s blob.Store) {
	for seed, size := range []int{0, 1, 4095, 4096, 256 << 10, 256<<10 + 1, 3 << 20} {
		name, data := "a/"+strings.Repeat("b", size%7+1), bytesOf(uint64(seed), size)
		Put(t, s, name, data)
		if got := Get(t, s, name); !bytes.Equal(got, data) {
			t.Errorf("%d bytes came back as %d others", size, len(got))
		}
		got, err := s.Stat(context.Background(), name)
		if err != nil || got != int64(size) {
			t.Errorf("Stat of %d bytes = %d, %v", size, got, err)
		}
		if err := s.Delete(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
}

func testGet(t *testing.T, s blob.Store) {
	data := []byte("0123456789")
	Put(t, s, "digits", data)
	for _, test := range []struct {
		off   int64
		n     int
		want  string
		short bool
	}{
		{0, 10, "0123456789", false},
		{3, 4, "3456", false},
		{9, 1, "9", false},
		{0, 0, "", false},
		{10, 0, "", false},
		{-10, 10, "0123456789", false},
		{-4, 4, "6789", false},
		{-4, 2, "67", false},
		{0, 11, "0123456789", true},
		{8, 4, "89", true},
		{-2, 4, "89", true},
		{10, 1, "", true},
		{11, 1, "", true},
		{-11, 11, "", true},
		{-11, 1, "", true},
		{math.MaxInt64, 1, "", true},
		{math.MinInt64, 1, "", true},
	} {
		p := make([]byte, test.n)
		n, err := s.Get(context.Background(), "digits", p, test.off)
		if string(p[:n]) != test.want {
			t.Errorf("Get %d from %d = %q, want %q", test.n, test.off, p[:n], test.want)
		}
		if test.short != errors.Is(err, io.ErrUnexpectedEOF) || !test.short && err != nil {
			t.Errorf("Get %d from %d: error %v", test.n, test.off, err)
		}
	}
}

// testGetParts reads parts of an object that are far apart, and far smaller
// than what lies behind them.
func testGetParts(t *testing.T, s blob.Store) {
	data := bytesOf(3, 2<<20)
	Put(t, s, "parts", data)
	size := int64(len(data))
	for _, off := range []int64{0, 1, 4095, size / 2, size - 4096, size - 1, -1, -4096, -size / 2, -size} {
		for _, n := range []int{1, 4096, 300 << 10, 2 << 20} {
			start, count := blob.Window(size, off, n)
			p := make([]byte, n)
			got, err := s.Get(context.Background(), "parts", p, off)
			if got != count || !bytes.Equal(p[:got], data[start:start+int64(count)]) {
				t.Errorf("Get %d from %d gives %d bytes, or others, want %d", n, off, got, count)
			}
			if short := count < n; short != errors.Is(err, io.ErrUnexpectedEOF) || !short && err != nil {
				t.Errorf("Get %d from %d: error %v", n, off, err)
			}
		}
	}
}

func testMissing(t *testing.T, s blob.Store) {
	ctx := context.Background()
	Put(t, s, "dir/object", []byte("x"))
	for _, name := range []string{"none", "dir", "dir/none", "none/object", "dir/object/below"} {
		if _, err := s.Get(ctx, name, nil, 0); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Get %s: error %v", name, err)
		}
		if _, err := s.Stat(ctx, name); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Stat %s: error %v", name, err)
		}
		if err := s.Delete(ctx, name); err != nil {
			t.Errorf("Delete %s: error %v", name, err)
		}
	}
	Get(t, s, "dir/object")
}

// longest is a name of blob.MaxName bytes.
const longest = segment127 + "/" + segment127 + "/" + segment127 + "/" + segment127 + "s"

const (
	segment16  = "0123456789abcdef"
	segment127 = segment16 + segment16 + segment16 + segment16 + segment16 + segment16 + segment16 + "0123456789abcde"
)

func testNames(t *testing.T, s blob.Store) {
	names := []string{"a", "A", "...", ".a", "a.", "-", "_", "tmp/a", "objects/a", "x/-/_/.../Z9", longest}
	for _, name := range names {
		Put(t, s, name, []byte(name))
	}
	for _, name := range names {
		if got := Get(t, s, name); string(got) != name {
			t.Errorf("%s holds %q", name, got)
		}
	}
	if got := len(List(t, s, "")); got != len(names) {
		t.Errorf("%d objects listed, want %d", got, len(names))
	}
}

func testBadNames(t *testing.T, s blob.Store) {
	ctx := context.Background()
	for _, name := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", "a b", "a\x00b", "a\\b", "ä", "a+b", "a\n",
		longest + "v", strings.Repeat("s", blob.MaxSegment+1),
	} {
		for op, err := range map[string]error{
			"Put":    s.Put(ctx, name, Body(nil)),
			"Delete": s.Delete(ctx, name),
		} {
			if !errors.Is(err, blob.ErrInvalid) {
				t.Errorf("%s %q: error %v", op, name, err)
			}
		}
		if _, err := s.Get(ctx, name, nil, 0); !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("Get %q: error %v", name, err)
		}
		if _, err := s.Stat(ctx, name); !errors.Is(err, blob.ErrInvalid) {
			t.Errorf("Stat %q: error %v", name, err)
		}
	}
	if got := List(t, s, ""); len(got) != 0 {
		t.Errorf("listed: %v", got)
	}
}

// zeros is a body of any length.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

func testTooLarge(t *testing.T, s blob.Store) {
	ctx := context.Background()
	err := s.Put(ctx, "large", io.NewSectionReader(zeros{}, 0, blob.MaxSize+1))
	if !errors.Is(err, blob.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	if err := s.Put(ctx, "largest", io.NewSectionReader(zeros{}, 0, blob.MaxSize)); err != nil {
		t.Errorf("largest object: %v", err)
	}
	if got := List(t, s, ""); len(got) != 1 || got["largest"] != blob.MaxSize {
		t.Errorf("listed: %v", got)
	}
}

func testRetriedPut(t *testing.T, s blob.Store) {
	data := bytesOf(1, 1000)
	Put(t, s, "a/b", data)
	Put(t, s, "a/b", data)
	if got := Get(t, s, "a/b"); !bytes.Equal(got, data) {
		t.Error("other bytes after a second Put")
	}
}

// broken is a body that ends in an error.
type broken struct {
	good int64
	err  error
}

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if left := b.good - off; left < int64(len(p)) {
		return int(max(left, 0)), b.err
	}
	return len(p), nil
}

func testShortBody(t *testing.T, s blob.Store) {
	failed := errors.New("failed")
	for _, test := range []struct {
		body broken
		want error
	}{
		{broken{0, failed}, failed},
		{broken{300 << 10, failed}, failed},
		{broken{300 << 10, io.EOF}, io.ErrUnexpectedEOF},
	} {
		err := s.Put(context.Background(), "a/b", io.NewSectionReader(test.body, 0, 1<<20))
		if !errors.Is(err, test.want) {
			t.Errorf("error %v, want %v", err, test.want)
		}
	}
	if got := List(t, s, ""); len(got) != 0 {
		t.Errorf("listed: %v", got)
	}
}

func testBodyPosition(t *testing.T, s blob.Store) {
	data := []byte("0123456789")
	body := Body(data)
	if _, err := body.Seek(4, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(context.Background(), "a", body); err != nil {
		t.Fatal(err)
	}
	if got := Get(t, s, "a"); !bytes.Equal(got, data) {
		t.Errorf("stored %q", got)
	}
	if at, err := body.Seek(0, io.SeekCurrent); at != 4 || err != nil {
		t.Errorf("position moved to %d, %v", at, err)
	}
}

func testDelete(t *testing.T, s blob.Store) {
	ctx := context.Background()
	Put(t, s, "a/b", []byte("x"))
	Put(t, s, "a/c", []byte("y"))
	for range 2 {
		if err := s.Delete(ctx, "a/b"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(ctx, "a/b"); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Stat of what was deleted: error %v", err)
		}
	}
	Get(t, s, "a/c")
	if err := s.Delete(ctx, "a/c"); err != nil {
		t.Fatal(err)
	}
	Put(t, s, "a/b", []byte("z"))
	if got := Get(t, s, "a/b"); string(got) != "z" {
		t.Errorf("after deletion and Put: %q", got)
	}
}
