// Package retry is the one place where requests of an object store are tried
// again. What can't end otherwise is not tried again: a missing object, a full
// store, a refusal, a body that can't be read, an end of the context.
package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"holdfast/internal/blob"
)

// Config says how often, and for how long, a request is tried. Before the
// n-th repetition it waits a random time, evenly distributed up to First
// times 2^(n-1), at most Longest.
type Config struct {
	Tries   int           // at most, the first included; at least 1
	Within  time.Duration // no wait begins that would end later than this after the first try
	First   time.Duration
	Longest time.Duration
	// Rand returns a random number from 0 to n-1. It may be called
	// concurrently.
	Rand func(n int64) int64
	// Notify hears of each error that is followed by a wait; it may be nil.
	Notify func(err error, wait time.Duration)
}

// Store is a blob.Store that tries again.
type Store struct {
	store blob.Store
	cfg   Config
}

var _ blob.Store = (*Store)(nil)

// New returns store with its requests tried as cfg says. Its List wants a
// store that lists in the order of names.
func New(store blob.Store, cfg Config) *Store {
	if cfg.Notify == nil {
		cfg.Notify = func(error, time.Duration) {}
	}
	return &Store{store, cfg}
}

// jitter is the waits between the tries of one request.
type jitter struct {
	cfg   *Config
	limit time.Duration
}

// Reset begins anew.
func (j *jitter) Reset() { j.limit = min(j.cfg.First, j.cfg.Longest) }

// NextBackOff returns the next wait.
func (j *jitter) NextBackOff() time.Duration {
	wait := time.Duration(j.cfg.Rand(int64(j.limit) + 1))
	j.limit = min(2*j.limit, j.cfg.Longest)
	return wait
}

// do tries until it works, or can't: try says whether another attempt may
// help. The error at the end says how often it was tried.
func (s *Store) do(ctx context.Context, try func() (again bool, err error)) error {
	tries := 0
	var last error
	_, err := backoff.Retry(ctx, func() (none struct{}, err error) {
		tries++
		again, err := try()
		last = err
		if err != nil && (!again || final(ctx, err)) {
			return none, backoff.Permanent(err)
		}
		return none, err
	}, backoff.WithBackOff(&jitter{cfg: &s.cfg}), backoff.WithMaxTries(uint(s.cfg.Tries)),
		backoff.WithMaxElapsedTime(s.cfg.Within), backoff.WithNotify(s.cfg.Notify))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(last, ctx.Err()):
		return fmt.Errorf("%w; tried %s, the last time: %s", ctx.Err(), times(tries), last)
	case tries == 1:
		return last
	}
	return fmt.Errorf("%w (tried %s)", last, times(tries))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// final reports whether a request that ended with err would end so again.
func final(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	for _, kind := range []error{
		blob.ErrNotFound, blob.ErrNoSpace, blob.ErrInvalid, blob.ErrRefused,
		io.ErrUnexpectedEOF, // the object is too short, as Get says, or the body
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// Put implements blob.Store. An attempt that worked, and was answered by an
// error all the same, does no harm: the next one puts the same bytes under the
// same name.
func (s *Store) Put(ctx context.Context, name string, body *io.SectionReader) error {
	watched := &source{body: body}
	return s.do(ctx, func() (bool, error) {
		err := s.store.Put(ctx, name, io.NewSectionReader(watched, 0, body.Size()))
		return !watched.failed.Load(), err
	})
}

// source is a body that remembers that it could not be read.
type source struct {
	body   io.ReaderAt
	failed atomic.Bool
}

// ReadAt reads from the body.
func (b *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.body.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed.Store(true)
	}
	return n, err
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, name string, p []byte, off int64) (n int, err error) {
	err = s.do(ctx, func() (bool, error) {
		n, err = s.store.Get(ctx, name, p, off)
		return true, err
	})
	return n, err
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (size int64, err error) {
	err = s.do(ctx, func() (bool, error) {
		size, err = s.store.Stat(ctx, name)
		return true, err
	})
	return size, err
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.do(ctx, func() (bool, error) { return true, s.store.Delete(ctx, name) })
}

// List implements blob.Store. Another attempt begins from the start and passes
// over what fn has heard of. That works where the store lists in the order of
// names, as S3 does; where it does not, a listing that has begun fails.
func (s *Store) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	l := listing{fn: fn}
	err := s.do(ctx, func() (bool, error) {
		l.heard, l.last = max(l.heard, l.last), ""
		err := s.store.List(ctx, prefix, l.tell)
		return l.stopped == nil && !l.mixed, err
	})
	if l.stopped != nil {
		return l.stopped
	}
	return err
}

// errMixed is why a listing can't go on after an error.
var errMixed = errors.New("the listing was interrupted, and is in no order in which it could go on")

// listing is a listing under way.
type listing struct {
	fn      func(blob.Info) error
	heard   string // when this attempt began, fn had heard of all up to this name
	last    string // that this attempt showed
	mixed   bool   // names are in no order
	stopped error  // of fn
}

func (l *listing) tell(info blob.Info) error {
	l.mixed = l.mixed || info.Name < l.last
	l.last = info.Name
	switch {
	case l.heard == "":
	case l.mixed:
		return errMixed
	case info.Name <= l.heard:
		return nil
	}
	l.stopped = l.fn(info)
	return l.stopped
}
