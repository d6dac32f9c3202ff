package identity

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"holdfast/internal/backup"
)

// The parameters of argon2id (OWASP's second choice: little memory). They are
// the same for all users, those of the configuration included: a login for
// an unknown user could not cost the same as each of several others.
const (
	argonMemory  = 19456 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32
)

// argonPrefix begins every stored password.
var argonPrefix = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemory, argonTime, argonThreads)

// MaxPassword is the longest password, in bytes.
const MaxPassword = 4096

// phc is a parsed password hash.
type phc struct {
	salt, key []byte
}

// parsePHC reads a password hash in PHC form with exactly our parameters.
func parsePHC(text string) (phc, error) {
	rest, ok := strings.CutPrefix(text, argonPrefix)
	if !ok {
		return phc{}, fmt.Errorf("password hash must begin with %s: \"holdfast user hash\" makes one",
			argonPrefix)
	}
	saltText, keyText, _ := strings.Cut(rest, "$")
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(saltText)
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(keyText)
	switch {
	case err1 != nil || err2 != nil:
		return phc{}, errors.New("password hash: salt or hash is not base64 without padding")
	case len(salt) < 8 || len(salt) > 64:
		return phc{}, errors.New("password hash: the salt must have 8 to 64 bytes")
	case len(key) != argonKey:
		return phc{}, fmt.Errorf("password hash: the hash must have %d bytes", argonKey)
	}
	return phc{salt: salt, key: key}, nil
}

// CheckHash reports what is wrong with a password hash of the configuration.
// The error doesn't repeat it.
func CheckHash(text string) error {
	_, err := parsePHC(text)
	return err
}

// HashPassword returns a password's hash as the configuration takes it, with a
// salt read from rand.
func HashPassword(ctx context.Context, rand io.Reader, password string) (string, error) {
	return newHasher(rand).hash(ctx, password)
}

const (
	// hashers is how many passwords are hashed at a time.
	hashers = 2
	// maxWaiting is how many logins wait for that; more are turned away at
	// once, so that a flood can't pile up.
	maxWaiting = 64
)

// hasher hashes passwords, a few at a time.
type hasher struct {
	rand    io.Reader
	slots   chan struct{}
	waiting atomic.Int64
	derive  func(password, salt []byte) []byte
}

func newHasher(rand io.Reader) *hasher {
	return &hasher{rand: rand, slots: make(chan struct{}, hashers), derive: derive}
}

func derive(password, salt []byte) []byte {
	return argon2.IDKey(password, salt, argonTime, argonMemory, argonThreads, argonKey)
}

// enter waits for a slot and returns how to leave it.
func (h *hasher) enter(ctx context.Context) (leave func(), err error) {
	if h.waiting.Add(1) > maxWaiting {
		h.waiting.Add(-1)
		return nil, backup.Errorf(backup.Unavailable, "too many logins at once")
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a login slot: %w", ctx.Err())
	}
}

// matches reports whether a password has a stored hash; an empty hash stands
// for an unknown user, matches nothing, and costs the same. The caller has a
// slot.
func (h *hasher) matches(stored, password string) bool {
	want := phc{salt: make([]byte, argonSalt), key: make([]byte, argonKey)}
	known := false
	if p, err := parsePHC(stored); err == nil {
		want, known = p, true
	}
	same := subtle.ConstantTimeCompare(h.derive([]byte(password), want.salt), want.key) == 1
	return same && known
}

// verify is matches with a slot of its own.
func (h *hasher) verify(ctx context.Context, stored, password string) (bool, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	return h.matches(stored, password), nil
}

// hash returns the PHC form of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	if password == "" || len(password) > MaxPassword {
		return "", backup.Errorf(backup.Invalid, "a password must have 1 to %d bytes", MaxPassword)
	}
	salt, err := random(h.rand, argonSalt)
	if err != nil {
		return "", err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	enc := base64.RawStdEncoding
	return argonPrefix + enc.EncodeToString(salt) + "$" + enc.EncodeToString(h.derive([]byte(password), salt)), nil
}
