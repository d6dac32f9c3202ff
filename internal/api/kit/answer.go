package kit

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// panicked is an error that a handler did not see coming.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

func stack() []byte { return debug.Stack() }

// fail answers with the face's fault, and logs the cause of what is not the
// client's doing. It reports false if the handler had begun an answer of its
// own, which can't be taken back.
func (h *handler) fail(w *recorder, r *Request, err error) bool {
	gone := r.Context().Err() != nil
	if !gone && !errors.Is(err, errNoToken) && !theirs(err) {
		h.logFailure(r, err)
	}
	if w.status != 0 {
		return false
	}
	if errors.Is(err, errNoToken) {
		h.challenge(w.Header())
		f := &Fault{Code: http.StatusUnauthorized, Message: textAuth, Title: http.StatusText(http.StatusUnauthorized)}
		writeFault(w, f, RenderError(f))
		return true
	}
	f := h.face.Faults.fault(err, r.ID)
	for name, values := range f.Header {
		for _, v := range values {
			w.Header().Set(name, v)
		}
	}
	if f.Code == http.StatusUnauthorized {
		h.challenge(w.Header())
	}
	writeFault(w, f, h.face.Faults.Render(f))
	return true
}

// challenge says where a token can be had.
func (h *handler) challenge(header http.Header) {
	header.Set("WWW-Authenticate", `Keystone uri="`+h.face.IdentityURL+`"`)
}

func writeFault(w http.ResponseWriter, f *Fault, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.Code)
	_, _ = w.Write(body)
}

func (h *handler) logFailure(r *Request, err error) {
	attrs := []slog.Attr{slog.String("face", h.face.Name), slog.String("request_id", r.ID), slog.String("error", err.Error())}
	var p *panicked
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	h.env.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", attrs...)
}

// log writes the access log's line. The query stays out of it: filters and
// names are the tenants'.
func (h *handler) log(w *recorder, r *Request, start time.Time) {
	took := h.env.Clock.Now().Sub(start)
	if h.env.Metrics != nil {
		h.env.Metrics.Request(h.face.Name, metricMethod(r.Method), w.status, took)
	}
	h.env.Log.LogAttrs(r.Context(), slog.LevelInfo, "request",
		slog.String("face", h.face.Name),
		slog.String("method", clip(r.Method, 16)),
		slog.String("path", loggedPath(r.RequestURI)),
		slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes),
		slog.Duration("took", took),
		slog.String("request_id", r.ID),
		slog.String("project", r.Caller.ProjectID),
		slog.String("user", r.Caller.UserID),
		slog.String("client", r.Client.String()),
	)
}

// longestID is more than any id has characters; what is longer in a path may
// be a token, which clients of Keystone's old API put there.
const longestID = 40

// loggedPath returns a path without its query and without what may be secret.
func loggedPath(uri string) string {
	path, _, _ := strings.Cut(uri, "?")
	segments := strings.Split(clip(path, 512), "/")
	for i, s := range segments {
		if len(s) > longestID && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=") == "" {
			segments[i] = "REDACTED"
		}
	}
	return strings.Join(segments, "/")
}

// metricMethod keeps made-up methods from making time series.
func metricMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return m
	default:
		return "other"
	}
}

func joinComma(list []string) string { return strings.Join(list, ", ") }
