// Package mem is an object store in memory, for tests. It is stricter than
// others need be: it refuses other bytes under a name that is in use.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/blob"
)

// Store is a blob.Store in memory.
type Store struct {
	mu      sync.RWMutex
	objects map[string][]byte
}

var _ blob.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{objects: make(map[string][]byte)}
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, body *io.SectionReader) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	if err := blob.CheckBody(body); err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	data := make([]byte, body.Size())
	if err := blob.ReadBody(body, data, 0); err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.objects[name]; ok && !bytes.Equal(old, data) {
		return fmt.Errorf("put object %s: other bytes under a name in use: %w", name, blob.ErrInvalid)
	}
	s.objects[name] = data
	return nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	data, err := s.find(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("get object: %w", err)
	}
	start, n := blob.Window(int64(len(data)), off, len(p))
	copy(p, data[start:start+int64(n)])
	if n < len(p) {
		return n, fmt.Errorf("get object %s: %w", name, io.ErrUnexpectedEOF)
	}
	return n, nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	data, err := s.find(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("stat object: %w", err)
	}
	return int64(len(data)), nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, name)
	return nil
}

// List implements blob.Store, in the order of names, so that tests repeat.
func (s *Store) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	if err := blob.CheckPrefix(prefix); err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	for _, info := range s.snapshot(prefix) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	return nil
}

func (s *Store) snapshot(prefix string) []blob.Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var infos []blob.Info
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(name, prefix) {
			infos = append(infos, blob.Info{Name: name, Size: int64(len(s.objects[name]))})
		}
	}
	return infos
}

// find returns an object's bytes, which never change.
func (s *Store) find(ctx context.Context, name string) ([]byte, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	data, ok := s.objects[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, blob.ErrNotFound)
	}
	return data, nil
}

func check(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return blob.CheckName(name)
}
