package main

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/sealing"
)

// keys derives as a vault's keys do, from a secret that is none.
type keys struct{}

func (keys) ID() [16]byte    { return [16]byte{1} }
func (keys) Current() uint32 { return 1 }

func (keys) Derive(version uint32, label string, context []byte, size int) []byte {
	secret := binary.LittleEndian.AppendUint32([]byte("no secret"), version)
	key, err := hkdf.Expand(sha256.New, secret, label+string(context), size)
	if err != nil {
		return nil
	}
	return key
}

// box returns what seals pack number n.
func box(n uint32) (*sealing.Box, error) {
	h := format.Header{
		Kind: format.KindDataPack, KeyVersion: 1, Generation: 1, DigestLen: format.DigestSize, Vault: keys{}.ID(),
	}
	binary.LittleEndian.PutUint32(h.Salt[:], n)
	return sealing.New(keys{}, sealing.PackLabel, &h)
}

func newHasher() (*naming.Hasher, error) {
	names, err := naming.New(keys{})
	if err != nil {
		return nil, err
	}
	return names.Hasher(), nil
}

func packName(folder string, n uint32) string { return fmt.Sprintf("%s/pack-%04d", folder, n) }
