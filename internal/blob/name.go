package blob

import (
	"fmt"
	"strings"
)

// The longest name of an object, and the longest segment of one, in bytes.
const (
	MaxName    = 512
	MaxSegment = 255
)

// CheckName returns an error that wraps ErrInvalid where name is not one that
// a Store takes.
func CheckName(name string) error {
	if err := checkLength(name); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." || len(segment) > MaxSegment || !plain(segment) {
			return fmt.Errorf("name %.80q: %w", name, ErrInvalid)
		}
	}
	return nil
}

// CheckPrefix returns an error that wraps ErrInvalid where no name that a
// Store takes can begin with prefix. The empty prefix is that of all names.
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if err := checkLength(prefix); err != nil {
		return err
	}
	dir, last := "", prefix
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		dir, last = prefix[:i], prefix[i+1:]
		if err := CheckName(dir); err != nil {
			return err
		}
	}
	if len(last) > MaxSegment || !plain(last) {
		return fmt.Errorf("prefix %.80q: %w", prefix, ErrInvalid)
	}
	return nil
}

func checkLength(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("name of %d bytes, at most %d are taken: %w", len(name), MaxName, ErrInvalid)
	}
	return nil
}

// plain reports whether s has no bytes but [a-zA-Z0-9._-].
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
