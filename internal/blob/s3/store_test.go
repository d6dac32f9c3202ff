package s3_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/limit"
	"holdfast/internal/blob/retry"
	"holdfast/internal/blob/s3"
	"holdfast/internal/s3test"
)

// TestStore runs the conformance suite against a real server. It is asked
// again where it fails, as it does now and then for a put into a folder that a
// deletion is just removing.
func TestStore(t *testing.T) {
	t.Parallel()
	next := stores(t)
	blobtest.Run(t, func(t *testing.T) blob.Store { return patient(next(t)) })
}

// patient tries often, with short waits.
func patient(store blob.Store) blob.Store {
	return retry.New(store, retry.Config{Tries: 50, First: time.Millisecond, Longest: 20 * time.Millisecond, Rand: rand.Int64N})
}

// TestStoreAsInstalled runs it as an installation has it: retries over limits,
// here over a store that fails often.
func TestStoreAsInstalled(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite runs against the store itself")
	}
	t.Parallel()
	next, seed := stores(t), uint64(0)
	blobtest.Run(t, func(t *testing.T) blob.Store {
		seed++
		flaky := fault.New(next(t), fault.Flaky(seed, 4, errors.New("fault"))...)
		return patient(limit.New(flaky, limit.Config{Reads: 4, Writes: 4}))
	})
}

// TestBucketAndKeys tells a missing bucket, and keys that are not known, from
// a missing object.
func TestBucketAndKeys(t *testing.T) {
	server := s3test.Start(t)
	server.Bucket("bucket")
	for want, change := range map[string]func(*s3.Config){
		"there is no bucket nowhere": func(c *s3.Config) { c.Bucket = "nowhere" },
		"403":                        func(c *s3.Config) { c.SecretKey = "hunter2" },
		"40":                         func(c *s3.Config) { c.AccessKey = "nobody" },
	} {
		cfg := config(server)
		change(&cfg)
		s := open(t, cfg)
		_, stat := s.Stat(t.Context(), "a")
		_, get := s.Get(t.Context(), "a", make([]byte, 1), 0)
		for op, err := range map[string]error{
			"put": s.Put(t.Context(), "a", blobtest.Body([]byte("x"))), "get": get, "stat": stat,
			"list": s.List(t.Context(), "", func(blob.Info) error { return nil }), "probe": s.Probe(t.Context()),
		} {
			if !errors.Is(err, blob.ErrRefused) || errors.Is(err, blob.ErrNotFound) || !strings.Contains(err.Error(), want) ||
				strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: error %v, want %q", op, err, want)
			}
		}
	}
}

// stores returns what makes empty stores on one server.
func stores(t *testing.T) func(testing.TB) *s3.Store {
	server := s3test.Start(t)
	server.Bucket("bucket")
	n := 0
	return func(t testing.TB) *s3.Store {
		n++
		cfg := config(server)
		cfg.Prefix = fmt.Sprintf("stores/%d", n)
		return open(t, cfg)
	}
}

func config(server *s3test.Server) s3.Config {
	return s3.Config{
		Endpoint: server.URL() + "/", Region: s3test.Region, Bucket: "bucket", PathStyle: true,
		AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey,
	}
}

func open(t testing.TB, cfg s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
