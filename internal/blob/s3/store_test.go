package s3_test

import (
	"fmt"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/s3"
	"holdfast/internal/s3test"
)

// TestStore runs the conformance suite against a real server.
func TestStore(t *testing.T) {
	next := stores(t)
	blobtest.Run(t, func(t *testing.T) blob.Store { return next(t) })
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
		Endpoint: server.URL(), Region: s3test.Region, Bucket: "bucket", PathStyle: true,
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
