package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/clock"
)

// Authenticator turns a token into who asks. Errors of kind Unauthorized
// refuse the token; Unavailable means that it could not be judged.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (backup.Caller, error)
}

// Metrics counts answered requests.
type Metrics interface {
	Request(face, method string, code int, took time.Duration)
}

// Env is what all faces of a process share. Every field but Metrics and
// Trusted is needed.
type Env struct {
	Log     *slog.Logger
	Clock   clock.Clock
	Rand    io.Reader // for request ids
	Metrics Metrics   // nil: not counted
	Trusted []netip.Prefix

	BodyLimit   int64         // bytes; 0: 1 MiB
	BodyTimeout time.Duration // for a body to arrive; 0: 30 s
}

// Face is one wire protocol.
type Face struct {
	Name   string // in logs and metrics: "block-storage"
	Routes []Route
	Faults Faults

	// Auth judges tokens of routes that are not public, and of unknown paths;
	// nil: nothing needs a token.
	Auth Authenticator
	// IdentityURL is the public address that a 401 names.
	IdentityURL string
	// Scoped refuses tokens without a project with 403.
	Scoped bool

	// Versions are the face's microversions; nil: it has none.
	Versions *Versions
	// Project takes the optional project segment off a path; nil: paths have
	// none. A project that is not the token's is 400 "Malformed request url".
	Project ProjectRule
	// RequestIDHeaders carry the request id beside x-openstack-request-id.
	RequestIDHeaders []string
	// MediaTypes of request bodies; nil: application/json alone.
	MediaTypes []string
}

// ProjectRule splits a path's segments into the project and the path without
// it; project is empty where there is none.
type ProjectRule func(segments []string) (project string, rest []string)

// ProjectAfter returns the rule of services whose paths are
// "<first>[/<project>]/<resource>…": the second segment is a project if it
// consists of hex digits and dashes, and something follows.
func ProjectAfter(first string) ProjectRule {
	return func(segments []string) (string, []string) {
		if len(segments) < 3 || segments[0] != first || !looksLikeProject(segments[1]) {
			return "", segments
		}
		rest := append([]string{first}, segments[2:]...)
		return segments[1], rest
	}
}

func looksLikeProject(s string) bool {
	for _, c := range s {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-' {
			return false
		}
	}
	return s != ""
}

// RequestIDHeader carries the id of a request in its answer.
const RequestIDHeader = "X-Openstack-Request-Id"

const (
	defaultBodyLimit   = 1 << 20
	defaultBodyTimeout = 30 * time.Second
	maxTokenLength     = 8 << 10
)

type handler struct {
	face  Face
	env   Env
	table *table
}

// New returns a face's handler. It fails where the face's table contradicts
// itself.
func New(face Face, env Env) (http.Handler, error) {
	t, err := newTable(face.Routes)
	if err != nil {
		return nil, fmt.Errorf("face %s: %w", face.Name, err)
	}
	if face.Faults.Render == nil {
		return nil, fmt.Errorf("face %s: no fault form", face.Name)
	}
	if env.BodyLimit == 0 {
		env.BodyLimit = defaultBodyLimit
	}
	if env.BodyTimeout == 0 {
		env.BodyTimeout = defaultBodyTimeout
	}
	if face.MediaTypes == nil {
		face.MediaTypes = []string{"application/json"}
	}
	return &handler{face: face, env: env, table: t}, nil
}

// ServeHTTP answers one request and logs it.
func (h *handler) ServeHTTP(w http.ResponseWriter, httpReq *http.Request) {
	start := h.env.Clock.Now()
	rec := &recorder{ResponseWriter: w}
	r := &Request{
		ID:      h.newID(),
		Client:  clientAddr(httpReq, h.env.Trusted),
		mediaOK: h.face.MediaTypes,
		limit:   h.env.BodyLimit,
	}
	r.Caller.RequestID = r.ID
	body := &limitedBody{
		ReadCloser: http.MaxBytesReader(w, httpReq.Body, h.env.BodyLimit),
		ctl:        http.NewResponseController(w),
		timeout:    h.env.BodyTimeout,
		ended:      httpReq.Body == nil || httpReq.Body == http.NoBody,
	}
	r.Request = httpReq.WithContext(httpReq.Context())
	r.Request.Body = body
	h.setHeaders(rec.Header(), r.ID)

	whole := true
	if err := h.call(rec, r); err != nil {
		whole = h.fail(rec, r, err)
	} else if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	body.finish()
	h.log(rec, r, start)
	if !whole {
		// Break the answer off, so that nobody takes what was sent for all.
		panic(http.ErrAbortHandler)
	}
}

// newID returns a request id. Without randomness there is no service at all.
func (h *handler) newID() string {
	id, err := uuid.NewRandomFromReader(h.env.Rand)
	if err != nil {
		panic(fmt.Errorf("make request id: %w", err))
	}
	return "req-" + id.String()
}

func (h *handler) setHeaders(header http.Header, id string) {
	header.Set(RequestIDHeader, id)
	for _, name := range h.face.RequestIDHeaders {
		header.Set(name, id)
	}
	header.Set("X-Content-Type-Options", "nosniff")
}

// call runs the request up to its handler and turns a panic into an error.
func (h *handler) call(w http.ResponseWriter, r *Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			err = &panicked{value: p, stack: stack()}
		}
	}()
	leaf, err := h.admit(w, r)
	if err != nil {
		return err
	}
	return leaf.Handler(w, r)
}

// admit does what comes before every handler, in the order in which
// OpenStack's pipelines do: token, version, path, project, query.
func (h *handler) admit(w http.ResponseWriter, r *Request) (*leaf, error) {
	var versionErr error
	if vs := h.face.Versions; vs != nil {
		r.Version, versionErr = vs.negotiate(r.Header)
		vs.echo(w.Header(), r.Version)
	}
	m, err := h.match(r)
	public := m.leaf != nil && m.leaf.Public
	if !public {
		if authErr := h.authenticate(r); authErr != nil {
			return nil, authErr
		}
		if versionErr != nil {
			return nil, versionErr
		}
	}
	if err == nil && !r.Version.AtLeast(m.leaf.Since) {
		err = &Fault{Code: http.StatusNotFound, Message: textNotFound}
	}
	if err != nil {
		return nil, err
	}
	if !public {
		if err := h.checkProject(r); err != nil {
			return nil, err
		}
	}
	r.names, r.values = m.leaf.params, m.values
	r.query, err = parseQuery(r.URL.RawQuery)
	return m.leaf, err
}

// match finds the route. Reading a path that only has actions is 404 and not
// 405: clients ask for names that way, and names may end like an action.
func (h *handler) match(r *Request) (match, error) {
	segments, ok := splitPath(r.URL.EscapedPath())
	if !ok {
		return match{}, &Fault{Code: http.StatusNotFound, Message: textNotFound}
	}
	if h.face.Project != nil {
		r.Project, segments = h.face.Project(segments)
	}
	m := h.table.find(r.Method, segments)
	switch reading := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case m.leaf != nil:
		return m, nil
	case len(m.allow) == 0 || reading:
		return m, &Fault{Code: http.StatusNotFound, Message: textNotFound}
	default:
		return m, &Fault{Code: http.StatusMethodNotAllowed, Message: textMethod, Header: http.Header{"Allow": {joinComma(m.allow)}}}
	}
}

// errNoToken stands for the answer of a missing or refused token.
var errNoToken = errors.New("no valid token")

func (h *handler) authenticate(r *Request) error {
	if h.face.Auth == nil {
		return nil
	}
	token := r.Token()
	if token == "" || len(token) > maxTokenLength {
		return errNoToken
	}
	caller, err := h.face.Auth.Authenticate(r.Context(), token)
	switch {
	case err == nil:
	case backup.KindOf(err) == backup.Unauthorized:
		return errNoToken
	default:
		return fmt.Errorf("authenticate: %w", err)
	}
	caller.RequestID = r.ID
	r.Caller = caller
	return nil
}

func (h *handler) checkProject(r *Request) error {
	if r.Project != "" && r.Project != r.Caller.ProjectID {
		return &Fault{Code: http.StatusBadRequest, Message: textWrongURL}
	}
	if h.face.Scoped && r.Caller.ProjectID == "" {
		return &Fault{Code: http.StatusForbidden, Message: textNoScope}
	}
	return nil
}
