package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"holdfast/internal/blob"
)

// maxMessage bounds what of a server's own words is repeated.
const maxMessage = 200

// explain turns an error of a request into one line of the kinds that
// blob.Store knows. Ctx is the caller's.
func (s *Store) explain(ctx context.Context, w *watch, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if w.stalled() {
		return fmt.Errorf("%w after %v", errStalled, s.stall.Round(time.Millisecond))
	}
	if status := statusOf(err); status >= 300 {
		return s.answered(status, err)
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("%w: %s", blob.ErrRefused, line(untrusted.Error()))
	}
	var transport *url.Error // repeats the request's whole URL
	if errors.As(err, &transport) {
		return apart(transport.Err)
	}
	var answer *awshttp.ResponseError // a good one that ended early
	if errors.As(err, &answer) && answer.Err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", apart(answer.Err))
	}
	var operation *smithy.OperationError // says what the caller says
	if errors.As(err, &operation) {
		return apart(operation.Err)
	}
	return apart(err)
}

// apart keeps an error's text, on one line, and nothing else of it: an end of
// a connection is no end of an object.
func apart(err error) error { return errors.New(line(err.Error())) }

// statusOf returns the HTTP status of the answer that err is about, 0 where
// there was none.
func statusOf(err error) int {
	var answer *awshttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil && answer.Response.Response != nil {
		return answer.HTTPStatusCode()
	}
	return 0
}

// answered is the error for an answer of the server.
func (s *Store) answered(status int, err error) error {
	code, message := words(err)
	text := fmt.Sprint(status)
	if code != "" {
		text += " " + code
	}
	if message != "" {
		text += ": " + message
	}
	hint, kind := kindOf(status, code)
	if code == "NoSuchBucket" {
		text = "there is no bucket " + s.bucket
	}
	if hint != "" {
		text += " (" + hint + ")"
	}
	if kind == nil {
		return fmt.Errorf("the server answered %s", text)
	}
	return fmt.Errorf("%w: %s", kind, text)
}

// words returns what the server said in its own, on one line and bounded.
func words(err error) (code, message string) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return "", ""
	}
	code, message = line(api.ErrorCode()), line(api.ErrorMessage())
	if code == "UnknownError" {
		code = ""
	}
	if message == "UnknownError" || message == code {
		message = ""
	}
	return code, message
}

// kindOf returns what of blob's an answer means, nil where trying again may
// help, with a hint for the operator.
func kindOf(status int, code string) (hint string, kind error) {
	switch code {
	case "NoSuchKey":
		return "", blob.ErrNotFound
	case "QuotaExceeded", "NoSpaceLeftOnDevice", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage":
		return "", blob.ErrNoSpace
	case "EntityTooLarge", "KeyTooLongError":
		return "", blob.ErrInvalid
	case "RequestTimeTooSkewed":
		return "set this machine's clock", blob.ErrRefused
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect":
		return "is the region right?", blob.ErrRefused
	case "SlowDown", "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "OperationAborted", "RequestLimitExceeded":
		return "", nil
	}
	switch status {
	case http.StatusInsufficientStorage:
		return "", blob.ErrNoSpace
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return "", nil
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return "", blob.ErrRefused
	case http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return "is the endpoint right, and the region?", blob.ErrRefused
	}
	if status >= 500 {
		return "", nil
	}
	return "", blob.ErrRefused
}

// line makes a text one printable line of bounded length.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	text = strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
	if len(text) > maxMessage {
		text = strings.TrimSpace(strings.ToValidUTF8(text[:maxMessage], "")) + "..."
	}
	return text
}
