package kit

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"time"

	"holdfast/internal/backup"
)

// Request is what a handler is given: the HTTP request with what the kit
// found out about it.
type Request struct {
	*http.Request
	ID      string        // "req-<uuid>"
	Caller  backup.Caller // of the token; on public routes only RequestID is set
	Version Version       // negotiated; zero where the face has no versions
	Project string        // the path's project segment; empty: it had none
	Client  netip.Addr    // zero: unknown

	names   []string
	values  []string
	query   url.Values
	mediaOK []string
	limit   int64 // of the body, in bytes
}

// Param returns a path parameter, decoded. It may hold any characters,
// slashes among them. A name that the route does not have is a defect.
func (r *Request) Param(name string) string {
	i := slices.Index(r.names, name)
	if i < 0 {
		panic("kit: the route has no parameter " + name)
	}
	return r.values[i]
}

// Query returns the parsed query. It is shared and must not be changed.
func (r *Request) Query() url.Values { return r.query }

// Token returns the token that came with the request.
func (r *Request) Token() string { return r.Header.Get(TokenHeader) }

// TokenHeader carries the caller's token.
const TokenHeader = "X-Auth-Token"

// parseQuery is strict where url.URL.Query is not: what can't be decoded or
// stored is refused instead of dropped.
func parseQuery(raw string) (url.Values, error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badQuery()
	}
	for k, vs := range q {
		if !cleanText(k) || slices.ContainsFunc(vs, func(v string) bool { return !cleanText(v) }) {
			return nil, badQuery()
		}
	}
	return q, nil
}

func badQuery() error {
	return &Fault{Code: http.StatusBadRequest, Message: textWrongURL}
}

// Object reads the request's body as one JSON object. An empty body, one
// that is not strict JSON, and one that is no object are "Malformed request
// body"; another content type than JSON is 415. A missing content type is
// taken for JSON.
func (r *Request) Object() (*Object, error) {
	raw, err := r.body()
	if err != nil {
		return nil, err
	}
	return Decode(raw)
}

// OptionalObject reads the body as Object does; an empty body is an empty
// object.
func (r *Request) OptionalObject() (*Object, error) {
	raw, err := r.body()
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	return Decode(raw)
}

// body reads the whole body within the face's limits. One that is announced
// as too large is not asked for.
func (r *Request) body() ([]byte, error) {
	if r.ContentLength > r.limit {
		return nil, tooLarge()
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyFault(err)
	}
	if ct := r.Header.Get("Content-Type"); ct != "" && len(raw) > 0 {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || !slices.Contains(r.mediaOK, media) {
			return nil, &Fault{Code: http.StatusUnsupportedMediaType, Message: textMediaType}
		}
	}
	return raw, nil
}

func bodyFault(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Fault{Code: http.StatusRequestTimeout, Message: textTimeout, Header: http.Header{"Connection": {"close"}}}
	default:
		// A broken transfer is the client's: it sees nothing of this answer
		// unless only the coding of the body was wrong.
		return &backup.Error{Kind: backup.Invalid, Message: textMalformed, Err: fmt.Errorf("read body: %w", err)}
	}
}

// tooLarge ends the connection too: what is left of the body is not waited for.
func tooLarge() *Fault {
	return &Fault{
		Code: http.StatusRequestEntityTooLarge, Message: textTooLarge, Header: http.Header{"Connection": {"close"}},
	}
}

// limitedBody gives the body a deadline from its first read to its end. The
// deadline must go with the last byte: the server reads ahead on the
// connection to notice a client that leaves, and would take the deadline for
// one.
type limitedBody struct {
	io.ReadCloser
	ctl     *http.ResponseController
	timeout time.Duration
	started bool
	ended   bool
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if !b.started && !b.ended {
		b.started = true
		// Not every writer has a connection (HTTP in tests); those have no slow clients either.
		_ = b.ctl.SetReadDeadline(time.Now().Add(b.timeout))
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && !b.ended {
		b.ended = true
		_ = b.ctl.SetReadDeadline(time.Time{})
	}
	return n, err
}

// finish bounds the time that the server spends on what a handler left
// unread.
func (b *limitedBody) finish() {
	if !b.ended && !b.started {
		_ = b.ctl.SetReadDeadline(time.Now().Add(b.timeout))
	}
}
