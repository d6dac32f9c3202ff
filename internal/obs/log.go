package obs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w in the format "text" or "json",
// from the level "debug", "info", "warn" or "error" up. What is logged with a
// context carries its request and job ids; secrets are hidden (see redact).
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
	}
	options := &slog.HandlerOptions{Level: l, ReplaceAttr: redact}
	switch format {
	case "text":
		return slog.New(idHandler{slog.NewTextHandler(w, options)}), nil
	case "json":
		return slog.New(idHandler{slog.NewJSONHandler(w, options)}), nil
	}
	return nil, fmt.Errorf("log format %q is neither text nor json", format)
}

type contextKey int

const (
	requestKey contextKey = iota
	jobKey
)

// WithRequestID returns a context whose log lines carry request_id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey, id)
}

// RequestID returns the id that WithRequestID put there, or nothing.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey).(string)
	return id
}

// WithJobID returns a context whose log lines carry job_id.
func WithJobID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, jobKey, id)
}

// JobID returns the id that WithJobID put there, or nothing.
func JobID(ctx context.Context) string {
	id, _ := ctx.Value(jobKey).(string)
	return id
}

// idHandler adds the context's ids to each record.
type idHandler struct{ slog.Handler }

func (h idHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := RequestID(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("request_id", id))
	}
	if id := JobID(ctx); id != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("job_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h idHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return idHandler{h.Handler.WithAttrs(attrs)}
}

func (h idHandler) WithGroup(name string) slog.Handler {
	return idHandler{h.Handler.WithGroup(name)}
}
