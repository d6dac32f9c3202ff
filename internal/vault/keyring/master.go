package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"

	"holdfast/internal/vault/format"
)

// What the master key is used for.
const (
	masterIDLabel = "holdfast/1 master key id"
	wrapLabel     = "holdfast/1 wrap"
)

// Master is a master key. It is immutable. However it is printed or logged,
// only its id shows.
type Master struct {
	id  format.ID
	key secret
}

// NewMaster makes a master key from random bytes.
func NewMaster(rand io.Reader) (*Master, error) {
	var key [keySize]byte
	if _, err := io.ReadFull(rand, key[:]); err != nil {
		return nil, fmt.Errorf("make master key: %w", err)
	}
	return masterOf(key)
}

func masterOf(key [keySize]byte) (*Master, error) {
	id, err := hkdf.Key(sha256.New, key[:], nil, masterIDLabel, len(format.ID{}))
	if err != nil {
		return nil, fmt.Errorf("derive id of master key: %w", err)
	}
	return &Master{id: format.ID(id), key: hide(key)}, nil
}

// ID tells master keys apart. It is derived from the key and says nothing
// about it.
func (m Master) ID() [16]byte { return m.id }

// String returns the words "master key" and its id.
func (m Master) String() string { return "master key " + m.id.String() }

// Format writes String whatever the verb.
func (m Master) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// LogValue returns String.
func (m Master) LogValue() slog.Value { return slog.StringValue(m.String()) }

// wrap seals what a key object keeps, with the object's beginning as
// associated data.
func (m Master) wrap(plain []byte, o *object) ([]byte, error) {
	aead, err := m.aead(o)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, make([]byte, aead.NonceSize()), plain, o.bound()), nil
}

func (m Master) addressee() (recipient, format.ID) { return toMaster, m.id }

// unwrap opens a wrap of an object.
func (m Master) unwrap(wrapped []byte, o *object) ([]byte, error) {
	aead, err := m.aead(o)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), wrapped, o.bound())
	if err != nil {
		return nil, fmt.Errorf("%w: wrapped for %s, but does not open with it", ErrWrongKey, m)
	}
	return plain, nil
}

// aead returns the cipher that wraps for one object, and nothing but once.
func (m Master) aead(o *object) (cipher.AEAD, error) {
	key := m.key()
	wrapping, err := hkdf.Key(sha256.New, key[:], o.header.Salt[:], wrapLabel, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive wrapping key: %w", err)
	}
	return gcm(wrapping)
}

// gcm returns AES-256-GCM under a key.
func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return aead, nil
}
