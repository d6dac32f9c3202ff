package s3_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/retry"
	"holdfast/internal/blob/s3"
)

// kinds are those that are not to be tried again.
var kinds = []error{
	blob.ErrNotFound, blob.ErrNoSpace, blob.ErrInvalid, blob.ErrRefused, io.ErrUnexpectedEOF, context.Canceled, context.DeadlineExceeded,
}

// TestAnswers has every answer turned into its kind and one line.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("words ", 100)
	for _, tt := range []struct {
		status        int
		code, message string
		want          error // nil: may be tried again
		text          string
	}{
		{404, "NoSuchKey", "The specified key does not exist.", blob.ErrNotFound, "object not found: 404 NoSuchKey: The specified key does not exist"},
		{404, "NoSuchBucket", "x", blob.ErrRefused, "refused by the object store: there is no bucket bucket"},
		{403, "AccessDenied", "Access Denied.", blob.ErrRefused, "refused by the object store: 403 AccessDenied: Access Denied"},
		{403, "SignatureDoesNotMatch", "Check your key.", blob.ErrRefused, "refused by the object store: 403 SignatureDoesNotMatch: Check your key"},
		{403, "RequestTimeTooSkewed", "Too large.", blob.ErrRefused, "refused by the object store: 403 RequestTimeTooSkewed: Too large (set this machine's clock)"},
		{400, "AuthorizationHeaderMalformed", "expecting 'eu-1'", blob.ErrRefused, "refused by the object store: 400 AuthorizationHeaderMalformed: expecting 'eu-1' (is the region right?)"},
		{403, "QuotaExceeded", "", blob.ErrNoSpace, "store is full: 403 QuotaExceeded"},
		{507, "InsufficientStorage", "No space left on device.", blob.ErrNoSpace, "store is full: 507 InsufficientStorage: No space left on device"},
		{400, "EntityTooLarge", "Too large.", blob.ErrInvalid, "not allowed by the object store: 400 EntityTooLarge: Too large"},
		{400, "XAmzContentSHA256Mismatch", "It differs.", nil, "the server answered 400 XAmzContentSHA256Mismatch: It differs"},
		{400, "RequestTimeout", "Idle.", nil, "the server answered 400 RequestTimeout: Idle"},
		{409, "OperationAborted", "Again.", nil, "the server answered 409 OperationAborted: Again"},
		{429, "TooManyRequests", "Slower.", nil, "the server answered 429 TooManyRequests: Slower"},
		{503, "SlowDown", "Please reduce your request rate.", nil, "the server answered 503 SlowDown: Please reduce your request rate"},
		{500, "InternalError", "no\x00XML\x1b[31mc", nil, "the server answered 500"},
		{500, "InternalError", long, nil, "the server answered 500 InternalError: " + strings.TrimSuffix(long[:200], " ") + "..."},
		{501, "NotImplemented", "No.", blob.ErrRefused, "refused by the object store: 501 NotImplemented: No"},
		{301, "PermanentRedirect", "Elsewhere.", blob.ErrRefused, "refused by the object store: 301 PermanentRedirect: Elsewhere (is the region right?)"},
		{502, "", "<html>Bad gateway", nil, "the server answered 502"},
		{302, "", "", blob.ErrRefused, "refused by the object store: 302 Found (is the endpoint right, and the region?)"},
	} {
		f, cfg := newFake(t)
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			if tt.status/100 == 3 {
				w.Header().Set("Location", "http://example.org/")
			}
			if tt.code == "" {
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.message)
				return true
			}
			fail(w, tt.status, tt.code, tt.message)
			return true
		}
		s := open(t, cfg)
		_, get := s.Get(t.Context(), "a/b", make([]byte, 10), 0)
		for op, err := range map[string]error{"put": s.Put(t.Context(), "a/b", blobtest.Body([]byte("x"))), "get": get} {
			checkKind(t, err, tt.want)
			if want := op + " object a/b: " + tt.text; err != nil && !strings.HasPrefix(err.Error(), want) {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
		}
	}
}

// checkKind checks which kind an error is, and that it is one line without
// what only programmers know.
func checkKind(t *testing.T, err, want error) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) != (kind == want) {
			t.Errorf("%v: is %v, want %v", err, kind, want)
		}
	}
	text := err.Error()
	for _, bad := range []string{"hunter2", "AKIA", "operation error", "RequestID", "HostID", "<", "\n", "\x00", "\x1b", "X-Amz-", "x-id"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in %q", bad, text)
		}
	}
	if len(text) > 400 {
		t.Errorf("a line of %d bytes: %s", len(text), text)
	}
}

// hijack takes the connection over.
func hijack(w http.ResponseWriter, do func(*bufio.ReadWriter)) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	do(rw)
	rw.Flush()
}

// breaks are the ways in which a connection fails.
var breaks = map[string]func(http.ResponseWriter, *http.Request){
	"closed": func(w http.ResponseWriter, _ *http.Request) { hijack(w, func(*bufio.ReadWriter) {}) },
	"no HTTP": func(w http.ResponseWriter, _ *http.Request) {
		hijack(w, func(b *bufio.ReadWriter) { b.WriteString("huh\r\n\r\n") })
	},
	"cut answer":     cut("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/10\r\nContent-Length: 10\r\n\r\n01234"),
	"cut headers":    cut("HTTP/1.1 200 OK\r\nContent-Le"),
	"cut error":      cut("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 500\r\n\r\n<Error><Code>Inter"),
	"stalled":        stall,
	"stalled answer": stallAfter("01234"),
}

// stall answers nothing until the client is gone, which a server sees only
// once it has read the request.
func stall(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func cut(answer string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		hijack(w, func(b *bufio.ReadWriter) { b.WriteString(answer) })
	}
}

func stallAfter(begin string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-9/10")
		w.Header().Set("Content-Length", "10")
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, begin)
		w.(http.Flusher).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}
}

// TestBrokenConnections end in errors that may be tried again, and never hang
// or pass for an object that is too short; a second attempt on a good
// connection then works.
func TestBrokenConnections(t *testing.T) {
	for name, how := range breaks {
		t.Run(name, func(t *testing.T) {
			f, cfg := newFake(t)
			cfg.Stall = 200 * time.Millisecond
			broken := true
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				f.mu.Lock()
				now := broken
				f.mu.Unlock()
				if now {
					how(w, r)
				}
				return now
			}
			s := open(t, cfg)
			_, get := s.Get(t.Context(), "a", make([]byte, 10), 0)
			checkKind(t, get, nil)
			checkKind(t, s.List(t.Context(), "", func(blob.Info) error { return nil }), nil)
			if name != "cut answer" && name != "stalled answer" { // whose status says that it was put
				checkKind(t, s.Put(t.Context(), "a", blobtest.Body(make([]byte, 1<<20))), nil)
			}

			again := retry.New(s, retry.Config{Tries: 20, Rand: func(int64) int64 { return 0 }, Notify: func(error, time.Duration) {
				f.mu.Lock()
				defer f.mu.Unlock()
				broken = false
			}})
			if name == "cut answer" || name == "stalled answer" {
				f.mu.Lock()
				f.objects["a"] = []byte("0123456789")
				f.mu.Unlock()
			} else {
				blobtest.Put(t, again, "a", []byte("0123456789"))
			}
			p := make([]byte, 10)
			if _, err := again.Get(t.Context(), "a", p, 0); err != nil || string(p) != "0123456789" {
				t.Errorf("another attempt: %q, %v", p, err)
			}
		})
	}
}

// TestStalledUpload is given up.
func TestStalledUpload(t *testing.T) {
	f, cfg := newFake(t)
	cfg.Stall = 100 * time.Millisecond
	given := make(chan struct{})
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.ReadFull(r.Body, make([]byte, 1000))
		<-given // and takes no more of the body
		return true
	}
	err := open(t, cfg).Put(t.Context(), "a", blobtest.Body(make([]byte, blob.MaxSize)))
	close(given)
	checkKind(t, err, nil)
	if want := "put object a: no progress, given up after 100ms"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestUnreachable names the address, and nothing of the request.
func TestUnreachable(t *testing.T) {
	f, cfg := newFake(t)
	_ = f
	cfg.Endpoint = "http://127.0.0.1:1"
	_, err := open(t, cfg).Stat(t.Context(), "a")
	checkKind(t, err, nil)
	if want := "stat object a: dial tcp 127.0.0.1:1: connect: connection refused"; fmt.Sprint(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestCancelledInTheMiddle ends with the context's error.
func TestCancelledInTheMiddle(t *testing.T) {
	f, cfg := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		time.AfterFunc(time.Millisecond, cancel)
		stallAfter("0")(w, r)
		return true
	}
	_, err := open(t, cfg).Get(ctx, "a", make([]byte, 10), 0)
	checkKind(t, err, context.Canceled)
}

// TestLyingAnswers to a Get are refused, whatever they hold.
func TestLyingAnswers(t *testing.T) {
	for _, tt := range []struct {
		status int
		header string // Content-Range
		body   string
		off    int64
	}{
		{206, "bytes 1-10/20", "0123456789", 0},
		{206, "bytes 0-9/20", "0123456789", 5},
		{206, "bytes 0-8/20", "0123456789", 0},
		{206, "bytes 0-4/20", "01234", 0},
		{206, "bytes 0-9/5", "0123456789", 0},
		{206, "bytes 0-9/*", "0123456789", 0},
		{206, "bytes -1-9/20", "0123456789", 0},
		{206, "octets 0-9/20", "0123456789", 0},
		{206, "bytes 0-9/99999999999999999999", "0123456789", 0},
		{200, "", "0123456789abcdef", 0},
		{200, "", "0123456789", 3},
		{206, "bytes 0-9/20", "0123456789", -10},
	} {
		f, cfg := newFake(t)
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			if tt.header != "" {
				w.Header().Set("Content-Range", tt.header)
			}
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
			return true
		}
		n, err := open(t, cfg).Get(t.Context(), "a", make([]byte, 10), tt.off)
		if n != 0 || !errors.Is(err, blob.ErrRefused) {
			t.Errorf("%d %q from %d: %d bytes, error %v", tt.status, tt.header, tt.off, n, err)
		}
	}
}

// TestListingsThatGoRound are refused.
func TestListingsThatGoRound(t *testing.T) {
	page := func(next string, keys ...string) string {
		var b strings.Builder
		b.WriteString("<ListBucketResult><IsTruncated>true</IsTruncated>" + next)
		for _, key := range keys {
			fmt.Fprintf(&b, "<Contents><Key>%s</Key><Size>1</Size></Contents>", key)
		}
		return b.String() + "</ListBucketResult>"
	}
	const next = "<NextContinuationToken>x</NextContinuationToken>"
	for name, answer := range map[string]string{
		"the same page":     page(next, "a", "b"),
		"out of order":      page(next, "b", "a"),
		"nothing, and more": page(next),
		"no token":          page("", "a"),
		"another prefix":    page(next, "b/c"),
		"no XML":            "huh",
		"no listing":        "<html><p>Welcome</p></html>",
		"endless":           "<ListBucketResult>" + strings.Repeat("<Contents><Key>a</Key></Contents>", 300_000),
	} {
		f, cfg := newFake(t)
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			io.WriteString(w, answer)
			return true
		}
		calls := 0
		err := open(t, cfg).List(t.Context(), "a", func(blob.Info) error { calls++; return nil })
		if err == nil || calls > 2 || len(err.Error()) > 400 {
			t.Errorf("%s: %d entries, error %v", name, calls, err)
		}
	}
}

// TestForeignKeys are passed over.
func TestForeignKeys(t *testing.T) {
	f, cfg := newFake(t)
	for _, key := range []string{"a/b", "a b", "a//b", "a/", "ä", "x/../y"} {
		f.objects[key] = []byte("x")
	}
	if got := blobtest.List(t, open(t, cfg), ""); len(got) != 1 || got["a/b"] != 1 {
		t.Errorf("listed %v", got)
	}
}

// TestConnectionsAreReused, also after short reads and errors.
func TestConnectionsAreReused(t *testing.T) {
	f, cfg := newFake(t)
	s := open(t, cfg)
	data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	for i := range 10 {
		name := fmt.Sprint("a/", i)
		blobtest.Put(t, s, name, data)
		p := make([]byte, 100<<10)
		for _, off := range []int64{0, 5000, -100 << 10, -200 << 10, -900 << 10, int64(len(data)) - 10} {
			_, _ = s.Get(t.Context(), name, p, off)
		}
		_, _ = s.Get(t.Context(), "none", p, 0)
		_, _ = s.Stat(t.Context(), "none")
		blobtest.List(t, s, "a/")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns > 5 { // for some 110 requests
		t.Errorf("%d connections for one client", f.conns)
	}
}

func TestNewRefuses(t *testing.T) {
	good := s3.Config{Endpoint: "https://s3.example.org", Bucket: "b", AccessKey: "a", SecretKey: "hunter2"}
	open(t, good)
	for want, change := range map[string]func(*s3.Config){
		"no bucket is named":                   func(c *s3.Config) { c.Bucket = "" },
		"access key and secret key are needed": func(c *s3.Config) { c.AccessKey = "" },
		`the endpoint "s3.example.org" is not a URL of scheme, host and port alone`:                func(c *s3.Config) { c.Endpoint = "s3.example.org" },
		`the endpoint "ftp://s3.example.org" is not a URL of scheme, host and port alone`:          func(c *s3.Config) { c.Endpoint = "ftp://s3.example.org" },
		`the endpoint "https://s3.example.org/bucket" is not a URL of scheme, host and port alone`: func(c *s3.Config) { c.Endpoint += "/bucket" },
		"the endpoint is not a URL of scheme, host and port alone":                                 func(c *s3.Config) { c.Endpoint = "https://a:hunter2@s3.example.org" },
		`prefix: name "a//b": not allowed by the object store`:                                     func(c *s3.Config) { c.Prefix = "a//b" },
		"the prefix has 300 bytes, at most 256 are taken":                                          func(c *s3.Config) { c.Prefix = strings.Repeat("a", 300) },
	} {
		cfg := good
		change(&cfg)
		if _, err := s3.New(cfg); err == nil || err.Error() != "object store on S3: "+want {
			t.Errorf("\n got %v\nwant %s", err, want)
		}
	}
}
