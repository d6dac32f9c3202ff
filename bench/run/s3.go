package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// What the S3 server of scripts/setup is told.
const (
	s3Server = "bin/versitygw-1.8.0"
	s3Bucket = "bench"
	s3Key    = "benchbenchbench"
)

// onS3 is our own binary with a vault in a bucket of a server on loopback,
// or, with a delay, behind a proxy that delays each request and counts them.
type onS3 struct {
	holdfast
	delay time.Duration

	server *exec.Cmd
	proxy  *http.Server
	served chan struct{} // closed at the proxy's end
	count  *counter
}

func (s *onS3) steps(_, small bool) []string {
	if small {
		return nil
	}
	return []string{firstFull, busyDay, restoreGen1, restoreGen2}
}

func (s *onS3) begin(ctx context.Context, p place) error {
	if err := s.holdfast.begin(ctx, p); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(p.store, s3Bucket), 0o700); err != nil {
		return err
	}
	at, err := s.serve(p.store)
	if err != nil {
		return err
	}
	if err := answers(ctx, at); err != nil {
		return err
	}
	s.count = &counter{}
	if s.delay > 0 {
		if at, err = s.listen(at); err != nil {
			return err
		}
	}
	text := fmt.Sprintf("data: %q\nstore:\n  s3:\n    endpoint: http://%s\n    bucket: %s\n", filepath.Join(p.dir, "data"), at, s3Bucket)
	return os.WriteFile(s.config(), []byte(text), 0o600)
}

// serve starts the server and returns its address.
func (s *onS3) serve(dir string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", err
	}
	s.server = exec.Command(s3Server, "--port", at, "--quiet", "--keep-alive", "--region", "us-east-1", "posix", dir)
	s.server.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s3Key, "ROOT_SECRET_KEY="+s3Key)
	if err := s.server.Start(); err != nil {
		s.server = nil
		return "", fmt.Errorf("start the S3 server (make setup builds it): %w", err)
	}
	return at, nil
}

// answers waits until a server accepts connections.
func answers(ctx context.Context, at string) error {
	for range 500 {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("the S3 server doesn't answer on %s", at)
}

// listen puts the proxy before the server, and returns its address.
func (s *onS3) listen(at string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	through := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: at})
	through.Transport = &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	delay := s.delay
	s.proxy = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
		if r.Method == http.MethodGet {
			s.count.gets.Add(1)
			w = &counted{w, s.count}
		}
		through.ServeHTTP(w, r)
	})}
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.proxy.Serve(l) // until end closes it
	}()
	return l.Addr().String(), nil
}

// end stops proxy and server.
func (s *onS3) end() error {
	var errs []error
	if s.proxy != nil {
		errs = append(errs, s.proxy.Close())
		<-s.served
	}
	if s.server != nil {
		_ = s.server.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = s.server.Wait()                          // by the signal
	}
	s.proxy, s.server = nil, nil
	return errors.Join(errs...)
}

func (s *onS3) do(ctx context.Context, step string) (usage, error) {
	s.env = []string{"HOLDFAST_S3_ACCESS_KEY=" + s3Key, "HOLDFAST_S3_SECRET_KEY=" + s3Key}
	s.count.gets.Store(0)
	s.count.bytes.Store(0)
	u, err := s.holdfast.do(ctx, step)
	u.gets = float64(s.count.gets.Load())
	if isRestore(step) {
		u.read = mib(s.count.bytes.Load())
	}
	return u, err
}

// counter counts GETs and what they answer.
type counter struct {
	gets, bytes atomic.Int64
}

// counted is the answer to a GET.
type counted struct {
	http.ResponseWriter
	count *counter
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.count.bytes.Add(int64(n))
	return n, err
}

// Unwrap lets the proxy flush.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
