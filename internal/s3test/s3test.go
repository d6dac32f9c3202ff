// Package s3test gives tests a real S3 server of their own: versitygw, which
// scripts/setup builds at a pinned version.
package s3test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Version of versitygw, as in scripts/setup.
const Version = "1.8.0"

// What opens every server. Region is what it wants requests signed for.
const (
	AccessKey = "holdfast-tests"
	SecretKey = "a secret of tests alone"
	Region    = "us-east-1"
)

// readyTimeout bounds a server's start, which takes a fraction of a second.
const readyTimeout = 30 * time.Second

var errMissing = errors.New("no versitygw here: make setup builds it")

// Server is a versitygw process, and those that follow it on the same port
// and folder.
type Server struct {
	t    testing.TB
	port int
	dir  string // of buckets
	bin  string
	run  *process // nil after Kill
}

// Start starts a server, which ends with the test, or with the test's process,
// however that ends. Where versitygw is missing the test is skipped, or fails
// if the environment says CI=true.
func Start(t testing.TB) *Server {
	t.Helper()
	bin, err := program()
	if errors.Is(err, errMissing) && os.Getenv("CI") != "true" {
		t.Skipf("%v: not tested on S3", err)
	}
	if err != nil {
		t.Fatalf("S3 for tests: %v", err)
	}
	s := &Server{t: t, dir: t.TempDir(), bin: bin}
	// Another process may take the port that was free a moment ago.
	for range 3 {
		if s.port, err = freePort(); err != nil {
			break
		}
		if err = s.start(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("S3 for tests: %v", err)
	}
	t.Cleanup(s.Kill)
	return s
}

// program returns the path of versitygw, in the module's bin folder.
func program() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the tests run outside the module")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "bin", "versitygw-"+Version)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", errMissing
	} else if err != nil {
		return "", err
	}
	return path, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// URL returns the server's endpoint.
func (s *Server) URL() string { return "http://127.0.0.1:" + strconv.Itoa(s.port) }

// Bucket makes an empty bucket.
func (s *Server) Bucket(name string) {
	s.t.Helper()
	if err := os.Mkdir(s.Path(name), 0o755); err != nil {
		s.t.Fatalf("S3 for tests: %v", err)
	}
}

// Path returns the file of an object, or the folder of a bucket.
func (s *Server) Path(bucket string, key ...string) string {
	return filepath.Join(append([]string{s.dir, bucket}, key...)...)
}

// Kill ends the server at once.
func (s *Server) Kill() {
	s.t.Helper()
	if s.run == nil {
		return
	}
	if err := s.run.kill(); err != nil {
		s.t.Errorf("S3 for tests: %v", err)
	}
	s.run = nil
}

// Restart starts the server again after Kill.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("S3 for tests: %v", err)
	}
}

// start starts the process and waits until it answers.
func (s *Server) start() error {
	run, err := launch(s.bin, s.dir, s.port)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !s.answers() {
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("no answer from versitygw within %v: %s", readyTimeout, run.log()), run.kill())
		case <-run.ended:
			return errors.Join(fmt.Errorf("versitygw ended: %s", run.log()), run.kill())
		case <-tick.C:
		}
	}
	s.run = run
	return nil
}

// answers reports whether an S3 server is there: it refuses who has no key.
func (s *Server) answers() bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(s.URL())
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusForbidden
}
