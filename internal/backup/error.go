package backup

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is. Faces map a kind to their own
// status code and body in one table; nothing else of an error decides a code.
type Kind uint8

// The kinds. The zero kind is Internal, so that an unclassified error is
// never mistaken for the caller's fault.
const (
	Internal     Kind = iota // a defect or an unforeseen failure of ours
	Invalid                  // the request can't be carried out as it stands
	NotFound                 // no such thing, or not the caller's
	Conflict                 // the thing's state forbids it now
	Forbidden                // the caller's roles don't allow it
	Unauthorized             // no valid token
	OverQuota                // a limit of the project would be passed
	Unavailable              // database, store or identity are out of reach; trying again may help
	Canceled                 // given up on request
	Corrupt                  // stored bytes are not what was written; never retried, always reported
)

var kindNames = [...]string{
	"internal", "invalid", "not found", "conflict", "forbidden",
	"unauthorized", "over quota", "unavailable", "canceled", "corrupt",
}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error is a failure that a caller can be told about. Message is written for
// people and holds no secret; a face that has a wording of its own picks it
// by Reason and fills it from Args.
type Error struct {
	Kind    Kind
	Reason  Reason            // which rule was broken; empty where Kind says it all
	Args    map[string]string // what the rule was about; the keys are listed at each Reason
	Message string
	Err     error // the cause, for logs
}

// Error returns the message.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Kind.String()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an error of a kind; %w wraps a cause as fmt.Errorf does.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the outermost *Error in err's chain, Internal
// where there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// ReasonOf returns the reason of the outermost *Error in err's chain.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}
