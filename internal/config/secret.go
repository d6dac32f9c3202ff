package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
)

// maxSecret bounds a secret file in bytes; a key with its chain fits.
const maxSecret = 64 << 10

// Secret is a string that prints as "[redacted]" in every form.
type Secret string

const redacted = "[redacted]"

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format hides the secret from every verb of fmt.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue hides the secret from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// readPrivate reads a file of at most maxSecret bytes that none of the classes
// in forbidden may read (0o077: its owner only; 0o007: its group too).
func readPrivate(path string, forbidden fs.FileMode) ([]byte, error) {
	// Not blocking: opening a pipe that nobody writes to would never return.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Mode().Perm()&forbidden != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): make it 0600", path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSecret {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxSecret)
	}
	return b, nil
}

// ReadSecret reads a secret of one line from a file that only its owner can
// read. The line's end is not part of it. The error names the file and never
// holds any of its content.
func ReadSecret(path string) (Secret, error) {
	b, err := readPrivate(path, 0o077)
	if err != nil {
		return "", err
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if err := checkSecret(string(b)); err != nil {
		return "", fmt.Errorf("%s %w", path, err)
	}
	return Secret(b), nil
}

func checkSecret(s string) error {
	if s == "" {
		return errors.New("is empty")
	}
	for _, c := range []byte(s) {
		if c == '\n' || c == '\r' || c == 0 {
			return errors.New("holds more than one line")
		}
	}
	return nil
}
