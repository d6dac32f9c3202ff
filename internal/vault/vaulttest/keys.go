package vaulttest

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"holdfast/internal/vault"
)

// Keys are a vault's keys, made from its id: version 0 and as many vault keys
// as Versions says. They satisfy vault.Keys and are good for tests alone.
type Keys struct {
	Vault    vault.ID
	Versions uint32 // 0: one
}

// ID implements vault.Keys.
func (k Keys) ID() [16]byte { return k.Vault }

// Current implements vault.Keys.
func (k Keys) Current() uint32 { return max(1, k.Versions) }

// Derive implements vault.Keys.
func (k Keys) Derive(version uint32, label string, context []byte, size int) []byte {
	if version > k.Current() {
		return nil
	}
	secret := fmt.Appendf(nil, "test key %s %d", k.Vault, version)
	key, err := hkdf.Key(sha256.New, secret, context, label, size)
	if err != nil {
		return nil
	}
	return key
}
