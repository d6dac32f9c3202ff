package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"holdfast/internal/blob/limit"
)

const (
	defaultRequests = 32
	dialTimeout     = 10 * time.Second
	idleTimeout     = 50 * time.Second // shorter than what servers and balancers commonly allow
	bufferSize      = 64 << 10         // of a connection, each way
	headerBytes     = 64 << 10
	maxAnswer       = 8 << 20 // of an answer that is not an object
)

// errStalled is why a request without progress is given up.
var errStalled = errors.New("no progress, given up")

// client is an HTTP client for one store. Its connections speak HTTP/1.1: one
// connection shared by large bodies is slower than several.
type client struct{ http *http.Client }

func newClient(c Config) *client {
	requests := c.Requests
	if requests <= 0 {
		requests = defaultRequests
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &client{&http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dialer.DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return limit.Conn(conn, c.Upload, c.Download), nil
			},
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialTimeout,
			MaxIdleConns:           2 * requests,
			MaxIdleConnsPerHost:    2 * requests,
			IdleConnTimeout:        idleTimeout,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: headerBytes,
			WriteBufferSize:        bufferSize,
			ReadBufferSize:         bufferSize,
			DisableCompression:     true,
		},
		// A redirect would be signed for another host: it is an answer like any.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Do sends a request. Answers that are no object are bounded.
func (c *client) Do(req *http.Request) (*http.Response, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 || req.URL.Query().Has("list-type") {
		res.Body = bounded{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, nil
}

type bounded struct {
	io.Reader
	io.Closer
}

// watch gives a request up when it makes no progress.
type watch struct {
	ctx   context.Context // what the request runs in
	stall time.Duration
	timer *time.Timer
	end   context.CancelCauseFunc
}

func newWatch(ctx context.Context, stall time.Duration) *watch {
	ctx, end := context.WithCancelCause(ctx)
	return &watch{ctx: ctx, stall: stall, end: end, timer: time.AfterFunc(stall, func() { end(errStalled) })}
}

// progress begins the wait anew.
func (w *watch) progress() { w.timer.Reset(w.stall) }

// stop ends the watch and releases what it holds.
func (w *watch) stop() {
	w.timer.Stop()
	w.end(context.Canceled)
}

// stalled reports whether the watch has given the request up.
func (w *watch) stalled() bool { return errors.Is(context.Cause(w.ctx), errStalled) }

// upload is the body of a Put on its way: it can be rewound, and tells of
// progress and of a body that could not be read.
type upload struct {
	*io.SectionReader
	watch *watch

	mu   sync.Mutex
	done bool
	err  error // of the body, once it failed
}

// Read reads on and fails where the body is shorter than it says.
func (u *upload) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done {
		return 0, net.ErrClosed
	}
	n, err := u.SectionReader.Read(p)
	if errors.Is(err, io.EOF) {
		if at, serr := u.Seek(0, io.SeekCurrent); serr == nil && at < u.Size() {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		u.err = err
	}
	u.watch.progress()
	return n, err
}

// finish ends all reading, which a connection that was given up may still be
// at, and returns the body's own error.
func (u *upload) finish() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.done = true
	return u.err
}
