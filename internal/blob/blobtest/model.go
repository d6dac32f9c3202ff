package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdfast/internal/blob"
)

// testConcurrent has objects come and go at once. None is the last one of its
// folder: S3 servers that keep objects in folders remove empty ones, and may
// take with them what is just being put there.
func testConcurrent(t *testing.T, s blob.Store) {
	const workers, rounds, folders = 8, 20, 6
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for f := range folders {
				name := fmt.Sprintf("d%d/e%d/stays-%d", f%2, f%3, w)
				if err := s.Put(context.Background(), name, Body(nil)); err != nil {
					t.Error(err)
				}
			}
			for i := range rounds {
				name, data := fmt.Sprintf("d%d/e%d/%d-%d", i%2, i%3, w, i), bytesOf(uint64(w*100+i), 5000)
				if err := churn(s, name, data); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, want := len(List(t, s, "")), workers*(rounds+folders); got != want {
		t.Errorf("%d objects, want %d", got, want)
	}
}

// churn puts, reads, deletes and puts an object again.
func churn(s blob.Store, name string, data []byte) error {
	ctx := context.Background()
	if err := s.Put(ctx, name, Body(data)); err != nil {
		return err
	}
	got, err := blob.ReadAll(ctx, s, name, blob.MaxSize)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("%s came back changed", name)
	}
	if err := s.Delete(ctx, name); err != nil {
		return err
	}
	if _, err := s.Stat(ctx, name); !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("stat of %s, which was deleted: %w", name, err)
	}
	return s.Put(ctx, name, Body(data))
}

// testSamePutTwice has attempts at one Put overlap, as when the first was
// given up but goes on: a reader never sees anything but the whole object.
func testSamePutTwice(t *testing.T, s blob.Store) {
	data := bytesOf(7, 600<<10)
	Put(t, s, "a/b", data)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 5 {
				if err := s.Put(context.Background(), "a/b", Body(data)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		if got := Get(t, s, "a/b"); !bytes.Equal(got, data) {
			t.Fatal("a reader saw other bytes during a repeated Put")
		}
	}
	wg.Wait()
}

// testModel compares a store with a map, over random calls.
func testModel(t *testing.T, open func(t *testing.T) blob.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		m := model{store: open(t), objects: make(map[string][]byte)}
		rt.Repeat(map[string]func(*rapid.T){
			"put":    m.put,
			"get":    m.get,
			"delete": m.delete,
			"list":   m.list,
		})
	})
}

type model struct {
	store   blob.Store
	objects map[string][]byte
}

// name draws from few names, none of which begins another's path.
func (m *model) name(t *rapid.T) string {
	return rapid.StringMatching(`([ab]/){0,3}[c-e]{1,2}`).Draw(t, "name")
}

func (m *model) put(t *rapid.T) {
	name := m.name(t)
	data, ok := m.objects[name]
	if !ok {
		data = rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "data")
	}
	if err := m.store.Put(context.Background(), name, Body(data)); err != nil {
		t.Fatal(err)
	}
	m.objects[name] = data
}

func (m *model) get(t *rapid.T) {
	name := m.name(t)
	off, n := rapid.Int64Range(-80, 80).Draw(t, "off"), rapid.IntRange(0, 80).Draw(t, "n")
	p := make([]byte, n)
	got, err := m.store.Get(context.Background(), name, p, off)
	data, ok := m.objects[name]
	if !ok {
		if !errors.Is(err, blob.ErrNotFound) {
			t.Fatalf("Get %s, which is not there: %v", name, err)
		}
		return
	}
	start := off
	if off < 0 {
		start += int64(len(data))
	}
	var want []byte
	if start >= 0 && start < int64(len(data)) {
		want = data[start:min(start+int64(n), int64(len(data)))]
	}
	if !bytes.Equal(p[:got], want) || (err == nil) != (len(want) == n) {
		t.Fatalf("Get %s = %x, %v, want %x", name, p[:got], err, want)
	}
}

func (m *model) delete(t *rapid.T) {
	name := m.name(t)
	if err := m.store.Delete(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	delete(m.objects, name)
}

func (m *model) list(t *rapid.T) {
	prefix := rapid.StringMatching(`([ab]/){0,2}[a-e]?`).Draw(t, "prefix")
	got := make(map[string]int64)
	err := m.store.List(context.Background(), prefix, func(info blob.Info) error {
		got[info.Name] = info.Size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]int64)
	for name, data := range maps.All(m.objects) {
		if strings.HasPrefix(name, prefix) {
			want[name] = int64(len(data))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("List %q (-want +got):\n%s", prefix, diff)
	}
}
