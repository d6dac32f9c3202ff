// Package sealing encrypts the parts of a vault's objects. Every object, and
// every generation of a pack, has a key of its own, derived from a fresh salt;
// so a part's number is its nonce, and no key ever sees a nonce twice.
package sealing

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"holdfast/internal/vault/format"
)

// Keys derives a vault's keys. Version 0 is the naming secret, which never
// changes; others are vault keys, of which Current seals what is new. Derive
// returns nil for a version that it doesn't have.
type Keys interface {
	ID() [16]byte
	Current() uint32
	Derive(version uint32, label string, context []byte, size int) []byte
}

// Label separates the keys of one header by purpose.
type Label string

// The labels.
const (
	PackLabel      Label = "holdfast/1 pack"
	DirectoryLabel Label = "holdfast/1 directory"
	PageLabel      Label = "holdfast/1 pages"
	PlacementLabel Label = "holdfast/1 placement"
	IndexLabel     Label = "holdfast/1 index"
	RecordLabel    Label = "holdfast/1 record"

	EpochLabel       Label = "holdfast/1 epoch"
	IncarnationLabel Label = "holdfast/1 incarnation"
)

// Part says what a sealed part holds; it is the first byte of the nonce.
type Part byte

// The parts.
const (
	GroupPart   Part = 1 // number: container × 32 + group
	SummaryPart Part = 2 // number: 0
	DigestsPart Part = 3 // number: the container
	PagePart    Part = 4 // number: the page
	WholePart   Part = 5 // number: 0; a segment's or record's only part
	LostPart    Part = 6 // number: 0; the lost blocks of a directory
)

// ErrSeal is returned for a part that doesn't open: it was changed, moved, or
// sealed under another key.
var ErrSeal = errors.New("seal is broken")

// ErrKeyVersion is wrapped where a header names a key that the vault doesn't
// have.
var ErrKeyVersion = errors.New("no such key version")

// Box seals and opens the parts that follow one header. It may be used
// concurrently.
type Box struct {
	aead   cipher.AEAD
	header []byte
}

// New derives the key of a header's parts for a purpose.
func New(keys Keys, label Label, h *format.Header) (*Box, error) {
	if h.Vault != format.ID(keys.ID()) {
		return nil, fmt.Errorf("%w: header of vault %s", ErrSeal, h.Vault)
	}
	if h.KeyVersion == 0 {
		return nil, fmt.Errorf("%w: 0", ErrKeyVersion)
	}
	context := make([]byte, 0, 68)
	context = append(context, h.Vault[:]...)
	context = append(context, h.Identity[:]...)
	context = binary.LittleEndian.AppendUint32(context, h.Generation)
	context = append(context, h.Salt[:]...)
	key := keys.Derive(h.KeyVersion, string(label), context, 32)
	if len(key) != 32 {
		return nil, fmt.Errorf("%w: %d", ErrKeyVersion, h.KeyVersion)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return &Box{aead: aead, header: h.Append(nil)}, nil
}

// Seal appends the sealed part to dst: len(plain) + format.TagSize bytes. A
// part's number is sealed once.
func (b *Box) Seal(dst, plain []byte, part Part, number uint64) []byte {
	n := nonce(part, number)
	return b.aead.Seal(dst, n[:], plain, b.header)
}

// Open appends the content of a sealed part to dst.
func (b *Box) Open(dst, sealed []byte, part Part, number uint64) ([]byte, error) {
	n := nonce(part, number)
	plain, err := b.aead.Open(dst, n[:], sealed, b.header)
	if err != nil {
		return nil, ErrSeal
	}
	return plain, nil
}

func nonce(part Part, number uint64) [12]byte {
	var n [12]byte
	n[0] = byte(part)
	binary.LittleEndian.PutUint64(n[4:], number)
	return n
}
