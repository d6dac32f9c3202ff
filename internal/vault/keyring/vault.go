package keyring

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"

	"holdfast/internal/vault/format"
)

// Vault holds the opened keys of one vault. It is immutable. However it is
// printed or logged, only the vault's id shows.
type Vault struct {
	id      format.ID
	set     format.ID
	current uint32
	secrets map[uint32]secret // by version; 0 is the naming secret
}

// ID returns the vault's id.
func (v Vault) ID() [16]byte { return v.id }

// Current returns the version of the vault key that seals what is new, at
// least 1.
func (v Vault) Current() uint32 { return v.current }

// Derive returns size bytes, from 1 to 8160, that depend on a version of the
// vault's keys, on the label and on the context. Version 0 is the naming
// secret. A version that the vault does not have, and a size or label (at most
// 255 bytes) that is out of range, give nil.
//
// It is HKDF-SHA256 without salt; its info is the label's length in one byte,
// the label, and the context.
func (v Vault) Derive(version uint32, label string, context []byte, size int) []byte {
	hidden := v.secrets[version]
	if hidden == nil || size <= 0 || len(label) > 255 {
		return nil
	}
	secret := hidden()
	key, err := hkdf.Key(sha256.New, secret[:], nil, info(label, context), size)
	if err != nil {
		return nil
	}
	return key
}

// info joins a label and a context so that no other two give the same.
func info(label string, context []byte) string {
	return string(byte(len(label))) + label + string(context)
}

// String returns the words "keys of vault" and its id.
func (v Vault) String() string { return "keys of vault " + v.id.String() }

// Format writes String whatever the verb.
func (v Vault) Format(f fmt.State, _ rune) { io.WriteString(f, v.String()) }

// LogValue returns String.
func (v Vault) LogValue() slog.Value { return slog.StringValue(v.String()) }

// Set returns the id of the set of keys that opened.
func (v Vault) Set() [16]byte { return v.set }
