package kit

import (
	"context"
	"errors"
	"net/http"

	"holdfast/internal/backup"
)

// Fault is an error as a client sees it. A handler may return one directly
// where its face prescribes code and text; otherwise it returns a
// *backup.Error and the face's [Faults] make the fault.
type Fault struct {
	Code    int         // HTTP status
	Message string      // for people; holds no secret
	Title   string      // empty: the status text
	Header  http.Header // further headers of the answer, such as Retry-After; may be nil
}

// Error returns the message.
func (f *Fault) Error() string { return f.Message }

// title returns the fault's short name.
func (f *Fault) title() string {
	if f.Title != "" {
		return f.Title
	}
	return http.StatusText(f.Code)
}

// Faults is a face's way of telling errors.
type Faults struct {
	// Render returns the body of a fault's answer, as JSON. The fault has
	// all its fields set.
	Render func(f *Fault) []byte
	// Word returns the face's own fault for an error, or nil where code by
	// kind and the error's message will do. A zero Code is filled in by kind,
	// an empty Message from the error. Optional.
	Word func(e *backup.Error) *Fault
	// Codes overrides the code of a kind. Optional.
	Codes map[backup.Kind]int
}

// defaultCodes map a kind where a face has no code of its own for it. Kinds
// that are absent are our failures: nothing of them is told.
var defaultCodes = map[backup.Kind]int{
	backup.Invalid:      http.StatusBadRequest,
	backup.Unauthorized: http.StatusUnauthorized,
	backup.Forbidden:    http.StatusForbidden,
	backup.NotFound:     http.StatusNotFound,
	backup.Conflict:     http.StatusConflict,
	backup.OverQuota:    http.StatusRequestEntityTooLarge,
	backup.Unavailable:  http.StatusServiceUnavailable,
	backup.Canceled:     http.StatusConflict,
}

// Texts of faults that the kit itself finds, as OpenStack's services word them.
const (
	textInternal    = "The server has either erred or is incapable of performing the requested operation."
	textUnavailable = "The service is temporarily unavailable. Please try again later."
	textNotFound    = "The resource could not be found."
	textMethod      = "The method specified is not allowed for this resource."
	textTooLarge    = "Request is too large."
	textTimeout     = "The request body took too long to arrive."
	textMediaType   = "Unsupported Content-Type"
	textMalformed   = "Malformed request body"
	textWrongURL    = "Malformed request url"
	textNoScope     = "The token is not scoped to a project."
	textAuth        = "The request you have made requires authentication."
)

// fault returns what the client is told of err. Of errors that are not the
// caller's it is told the request id and nothing else.
func (fs *Faults) fault(err error, requestID string) *Fault {
	var f *Fault
	if errors.As(err, &f) {
		full := *f
		full.Title = f.title()
		return &full
	}
	var e *backup.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e = &backup.Error{Kind: backup.Unavailable, Err: err}
	default:
		e = &backup.Error{Kind: backup.Internal, Err: err}
	}
	out := fs.worded(e)
	if out.Code == 0 {
		out.Code = fs.code(e.Kind)
	}
	if out.Message == "" {
		out.Message = tell(e, requestID)
	}
	if e.Kind == backup.Unavailable && out.Header.Get("Retry-After") == "" {
		out.Header = out.Header.Clone()
		if out.Header == nil {
			out.Header = http.Header{}
		}
		out.Header.Set("Retry-After", retryAfter)
	}
	out.Title = out.title()
	return out
}

// retryAfter is how long, in seconds, a client is asked to wait for
// something that is out of reach.
const retryAfter = "5"

func (fs *Faults) worded(e *backup.Error) *Fault {
	if fs.Word != nil {
		if f := fs.Word(e); f != nil {
			own := *f
			return &own
		}
	}
	return &Fault{}
}

func (fs *Faults) code(kind backup.Kind) int {
	if code, ok := fs.Codes[kind]; ok {
		return code
	}
	if code, ok := defaultCodes[kind]; ok {
		return code
	}
	return http.StatusInternalServerError
}

// tell returns the text for an error that the face has no words for.
func tell(e *backup.Error, requestID string) string {
	switch e.Kind {
	case backup.Unavailable:
		return textUnavailable
	case backup.Internal, backup.Corrupt:
		return textInternal + " Request id: " + requestID
	default:
		return e.Error()
	}
}

// theirs reports whether an error is the client's, so that the access log
// says enough about it.
func theirs(err error) bool {
	var f *Fault
	if errors.As(err, &f) {
		return f.Code < http.StatusInternalServerError
	}
	switch backup.KindOf(err) {
	case backup.Internal, backup.Corrupt, backup.Unavailable:
		return false
	default:
		return true
	}
}
