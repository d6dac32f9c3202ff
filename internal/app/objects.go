package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/blob/limit"
	"holdfast/internal/blob/local"
	"holdfast/internal/blob/retry"
	"holdfast/internal/blob/s3"
	"holdfast/internal/config"
)

// How requests to a bucket are tried again: for a minute, most often. A job
// whose store stays away for longer is tried again itself, after a pause.
const (
	storeTries   = 12
	storeWithin  = 3 * time.Minute
	storeFirst   = 100 * time.Millisecond
	storeLongest = 15 * time.Second
)

// makeStore opens a store that holds nothing yet, and makes what it needs. A
// bucket has to be there, and to do all that is asked of it.
func makeStore(ctx context.Context, cfg config.Store, log *slog.Logger) (blob.Store, error) {
	if !cfg.S3.Enabled() {
		store, err := local.Create(cfg.Local.Path)
		return limitLocal(store, cfg.Local), startStore(err)
	}
	bucket, err := newBucket(cfg.S3)
	if err == nil {
		err = bucket.Probe(ctx)
	}
	return limitBucket(bucket, cfg.S3, log), startStore(err)
}

// findStore opens a store that holds something: one that does not is another
// one, or lost. Where the store can't be reached, the error is an *awayError,
// and what is returned with it will work once it can be.
func findStore(ctx context.Context, cfg config.Store, log *slog.Logger) (blob.Store, error) {
	if !cfg.S3.Enabled() {
		store, err := local.Open(cfg.Local.Path)
		return limitLocal(store, cfg.Local), startStore(err)
	}
	bucket, err := newBucket(cfg.S3)
	if err != nil {
		return nil, startStore(err)
	}
	store := limitBucket(bucket, cfg.S3, log)
	err = bucket.Check(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, s3.ErrEmpty) && !errors.Is(err, blob.ErrRefused) {
		return store, &awayError{startStore(err)}
	}
	return store, startStore(err)
}

// awayError is about a store that can't be reached now.
type awayError struct{ error }

// Unwrap returns the cause.
func (e *awayError) Unwrap() error { return e.error }

// probeStore finds out at a service's start whether a bucket still does all
// that is asked of it: rights may have been taken away.
func (c *core) probeStore(ctx context.Context) error {
	if !c.cfg.Store.S3.Enabled() {
		return nil
	}
	bucket, err := newBucket(c.cfg.Store.S3)
	if err == nil {
		err = bucket.Probe(ctx)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, blob.ErrRefused) {
		c.log.WarnContext(ctx, "the store could not be probed", "error", err)
		return nil
	}
	return startStore(err)
}

func startStore(err error) error {
	if err == nil {
		return nil
	}
	return startErrorf("store: %w", err)
}

func newBucket(cfg config.S3Store) (*s3.Store, error) {
	roots, err := cfg.Roots()
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	return s3.New(s3.Config{
		Endpoint: cfg.Endpoint, Region: cfg.Region, Bucket: cfg.Bucket, Prefix: cfg.Prefix, PathStyle: cfg.PathStyle,
		AccessKey: cfg.AccessKey.Reveal(), SecretKey: cfg.SecretKey.Reveal(), Roots: roots, Requests: cfg.Requests,
		Upload: rateOf(cfg.UploadMiBPerS), Download: rateOf(cfg.DownloadMiBPerS),
	})
}

func rateOf(mibPerSecond int) *limit.Rate { return limit.NewRate(int64(mibPerSecond) << 20) }

// limitBucket has requests take turns, and tried again where that may help.
func limitBucket(bucket *s3.Store, cfg config.S3Store, log *slog.Logger) blob.Store {
	return retry.New(limit.New(bucket, limit.Config{Reads: cfg.Requests, Writes: cfg.Requests}), retry.Config{
		Tries: storeTries, Within: storeWithin, First: storeFirst, Longest: storeLongest, Rand: rand.Int64N,
		Notify: func(err error, wait time.Duration) {
			log.Info("a request to the store failed and is tried again", "error", err, "wait", wait)
		},
	})
}

func limitLocal(store *local.Store, cfg config.LocalStore) blob.Store {
	if cfg.UploadMiBPerS == 0 && cfg.DownloadMiBPerS == 0 {
		return store
	}
	return limit.New(store, limit.Config{Upload: rateOf(cfg.UploadMiBPerS), Download: rateOf(cfg.DownloadMiBPerS)})
}
