package s3

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"holdfast/internal/blob"
)

// errRange is wrapped where a server answers with another part of an object
// than it was asked for.
var errRange = fmt.Errorf("%w: it does not keep to ranges", blob.ErrRefused)

// rangeHeader asks for n bytes from off, or for the last -off bytes.
func rangeHeader(off int64, n int) string {
	if off < 0 {
		return "bytes=" + strconv.FormatInt(off, 10)
	}
	return fmt.Sprintf("bytes=%d-%d", off, off+int64(n)-1)
}

// part is which bytes of an object an answer holds: those from first up to,
// and without, end, of size.
type part struct{ first, end, size int64 }

// answeredRange returns which part of an object an answer to a ranged request
// holds. An answer that does not say so holds the whole object: that will do
// where it is no more than was asked for.
func answeredRange(out *s3.GetObjectOutput, off int64, n int) (part, error) {
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return part{}, errors.New("the server does not say how long its answer is")
	}
	length := *out.ContentLength
	if out.ContentRange == nil {
		if off > 0 || length > max(int64(n), -off) {
			return part{}, fmt.Errorf("%w: the whole object came as the answer", errRange)
		}
		return part{0, length, length}, nil
	}
	p, ok := parseRange(*out.ContentRange)
	if !ok || p.end-p.first != length {
		return part{}, fmt.Errorf("%w: its answer of %d bytes says %q", errRange, length, line(*out.ContentRange))
	}
	return p, nil
}

// parseRange parses the header Content-Range of an answer with a body.
func parseRange(s string) (part, bool) {
	s, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return part{}, false
	}
	span, size, ok := strings.Cut(s, "/")
	if !ok {
		return part{}, false
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return part{}, false
	}
	f, ok1 := parseSize(first)
	l, ok2 := parseSize(last)
	n, ok3 := parseSize(size)
	if !ok1 || !ok2 || !ok3 || f > l || l >= n {
		return part{}, false
	}
	return part{f, l + 1, n}, true
}

// parseSize parses digits and nothing else.
func parseSize(s string) (int64, bool) {
	if s == "" || len(s) > 18 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
