// Package limit bounds what an object store is asked for: requests at once,
// and bytes a second. Whoever waits is served in the order of coming, and can
// give up.
package limit

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/semaphore"

	"holdfast/internal/blob"
)

// Config says what a store is kept to; zero values set no limit. Reads and
// writes are counted apart, so that a small read does not wait for large
// objects that are on their way up.
type Config struct {
	Reads  int // Get, Stat and List at once
	Writes int // Put and Delete at once

	Upload   *Rate // of the bodies of Put, each byte once: for stores that read a body once
	Download *Rate // of what Get returns
}

// Store is a blob.Store with limits.
type Store struct {
	store    blob.Store
	reads    *gate
	writes   *gate
	upload   *Rate
	download *Rate
}

var _ blob.Store = (*Store)(nil)

// New returns store with limits.
func New(store blob.Store, cfg Config) *Store {
	return &Store{
		store: store, reads: newGate(cfg.Reads), writes: newGate(cfg.Writes),
		upload: cfg.Upload, download: cfg.Download,
	}
}

// gate lets so many in at once; nil lets all in.
type gate struct{ *semaphore.Weighted }

func newGate(n int) *gate {
	if n <= 0 {
		return nil
	}
	return &gate{semaphore.NewWeighted(int64(n))}
}

func (g *gate) enter(ctx context.Context) error {
	if g == nil {
		return ctx.Err()
	}
	return g.Acquire(ctx, 1)
}

func (g *gate) leave() {
	if g != nil {
		g.Release(1)
	}
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, name string, body *io.SectionReader) error {
	if err := s.writes.enter(ctx); err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	defer s.writes.leave()
	if s.upload != nil {
		body = io.NewSectionReader(&pacedBody{ctx, body, s.upload}, 0, body.Size())
	}
	return s.store.Put(ctx, name, body)
}

// pacedBody is a body that can be read no faster than its rate.
type pacedBody struct {
	ctx  context.Context
	body io.ReaderAt
	rate *Rate
}

// ReadAt waits before it reads.
func (b *pacedBody) ReadAt(p []byte, off int64) (int, error) {
	if err := b.rate.Wait(b.ctx, len(p)); err != nil {
		return 0, err
	}
	return b.body.ReadAt(p, off)
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := s.reads.enter(ctx); err != nil {
		return 0, fmt.Errorf("get object %s: %w", name, err)
	}
	defer s.reads.leave()
	if err := s.download.Wait(ctx, len(p)); err != nil {
		return 0, fmt.Errorf("get object %s: %w", name, err)
	}
	return s.store.Get(ctx, name, p, off)
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	if err := s.reads.enter(ctx); err != nil {
		return 0, fmt.Errorf("stat object %s: %w", name, err)
	}
	defer s.reads.leave()
	return s.store.Stat(ctx, name)
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := s.writes.enter(ctx); err != nil {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	defer s.writes.leave()
	return s.store.Delete(ctx, name)
}

// List implements blob.Store. While fn runs, which may call the store, the
// listing counts as no request.
func (s *Store) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	if err := s.reads.enter(ctx); err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	inside := true
	defer func() {
		if inside {
			s.reads.leave()
		}
	}()
	return s.store.List(ctx, prefix, func(info blob.Info) error {
		s.reads.leave()
		inside = false
		if err := fn(info); err != nil {
			return err
		}
		if err := s.reads.enter(ctx); err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		inside = true
		return nil
	})
}
