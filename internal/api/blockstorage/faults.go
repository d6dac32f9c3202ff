package blockstorage

import (
	"fmt"
	"net/http"
	"unicode/utf8"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

// faultNames are the keys that faults stand under, by status. Any other
// status stands under otherFault.
var faultNames = map[int]string{
	http.StatusBadRequest:            "badRequest",
	http.StatusUnauthorized:          "unauthorized",
	http.StatusForbidden:             "forbidden",
	http.StatusNotFound:              "itemNotFound",
	http.StatusMethodNotAllowed:      "badMethod",
	http.StatusConflict:              "conflictingRequest",
	http.StatusRequestEntityTooLarge: "overLimit",
	http.StatusUnsupportedMediaType:  "badMediaType",
	http.StatusNotImplemented:        "notImplemented",
	http.StatusServiceUnavailable:    "serviceUnavailable",
}

const otherFault = "computeFault"

// faults is this face's way of telling errors:
// {"<name>":{"code":…,"message":"…"}}.
func faults() kit.Faults {
	return kit.Faults{
		Render: render,
		Word:   word,
		// What a state forbids is the request's fault in Cinder.
		Codes: map[backup.Kind]int{backup.Conflict: http.StatusBadRequest},
	}
}

func render(f *kit.Fault) []byte {
	type inner struct {
		Code       int    `json:"code"`
		Message    string `json:"message"`
		RetryAfter string `json:"retryAfter,omitempty"`
	}
	told := inner{Code: f.Code, Message: f.Message}
	if f.Code == http.StatusRequestEntityTooLarge {
		told.RetryAfter = f.Header.Get(retryAfter)
	}
	name := faultNames[f.Code]
	if name == "" {
		name = otherFault
	}
	body, err := kit.Encode(map[string]inner{name: told})
	if err != nil {
		panic(err) // strings and numbers can always be encoded
	}
	return body
}

const retryAfter = "Retry-After"

// fault returns a fault of this face. A passed quota may be tried again at
// once, as far as Cinder is concerned.
func fault(code int, message string) *kit.Fault {
	f := &kit.Fault{Code: code, Message: message}
	if code == http.StatusRequestEntityTooLarge {
		f.Header = http.Header{retryAfter: {"0"}}
	}
	return f
}

func badRequest(format string, args ...any) error {
	return fault(http.StatusBadRequest, fmt.Sprintf(format, args...))
}

func notFound(format string, args ...any) error {
	return fault(http.StatusNotFound, fmt.Sprintf(format, args...))
}

// maxEcho bounds what of a request's texts an answer repeats, in bytes.
const maxEcho = 255

// clip shortens a text that an answer repeats.
func clip(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	n := maxEcho
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
