package keyring

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
)

// What the first vault key, and the object that keeps it, are derived for.
const (
	firstKeyLabel  = "holdfast/1 first vault key"
	firstSaltLabel = "holdfast/1 first vault key salt"
	firstCopyLabel = "holdfast/1 first vault key copy"
)

// CreateVault makes a vault's keys, a naming secret and vault key version 1,
// and returns them as OpenVault does. It is called until it succeeds, by one
// caller at a time, before anything is written with the keys; where an earlier
// call made them, or a part, it goes on from there.
//
// A store may carry out a Put after having failed it. So that such a latecomer
// can't change which keys count, the naming object is written first and keeps
// a seed that all of the second object comes from: whoever completes a set
// writes the same bytes under the same name.
func CreateVault(ctx context.Context, store blob.Store, m *Master, vault [16]byte, rand io.Reader) (*Vault, error) {
	if err := create(ctx, store, m, vault, rand); err != nil {
		return nil, fmt.Errorf("create keys of vault %s: %w", format.ID(vault), err)
	}
	return OpenVault(ctx, store, m, vault)
}

func create(ctx context.Context, store blob.Store, m *Master, vault format.ID, rand io.Reader) error {
	s, err := findSet(ctx, store, vault)
	if err != nil || s.complete() {
		return err
	}
	if s.total > 0 && !s.named() {
		return fmt.Errorf("%w: the store has vault keys, but no naming secret", ErrMissing)
	}
	var secrets []byte
	if s.named() {
		secrets, err = openCopy(ctx, store, m, s.copies[0])
	} else {
		s.id, secrets, err = createNaming(ctx, store, m, vault, rand)
	}
	if err != nil {
		return err
	}
	first := name{vault: vault, purpose: vaultKey, version: 1, set: s.id}
	if err := createFirst(ctx, store, m, first, secrets[keySize:]); err != nil {
		return err
	}
	if s, err = findSet(ctx, store, vault); err != nil {
		return err
	}
	if !s.complete() {
		return errors.New("the store does not list the key objects yet")
	}
	return nil
}

// createNaming makes a set and puts its naming object. It returns the set's id
// and what the object keeps.
func createNaming(ctx context.Context, store blob.Store, m *Master, vault format.ID, rand io.Reader) (format.ID, []byte, error) {
	n := name{vault: vault, purpose: naming}
	var salt [32]byte
	secrets := make([]byte, naming.size())
	for _, b := range [][]byte{n.set[:], n.copy[:], salt[:], secrets} {
		if _, err := io.ReadFull(rand, b); err != nil {
			return n.set, nil, fmt.Errorf("read random bytes: %w", err)
		}
	}
	return n.set, secrets, putKey(ctx, store, m, n, salt, secrets)
}

// createFirst puts the object of vault key version 1, all of which comes from
// the seed and the master key.
func createFirst(ctx context.Context, store blob.Store, m *Master, n name, seed []byte) error {
	key, err := hkdf.Key(sha256.New, seed, nil, firstKeyLabel, keySize)
	if err != nil {
		return fmt.Errorf("derive first vault key: %w", err)
	}
	salt, err := hkdf.Key(sha256.New, seed, m.id[:], firstSaltLabel, 32)
	if err != nil {
		return fmt.Errorf("derive first vault key: %w", err)
	}
	random, err := hkdf.Key(sha256.New, seed, m.id[:], firstCopyLabel, len(n.copy))
	if err != nil {
		return fmt.Errorf("derive first vault key: %w", err)
	}
	n.copy = format.ID(random)
	return putKey(ctx, store, m, n, [32]byte(salt), key)
}

func putKey(ctx context.Context, store blob.Store, m *Master, n name, salt [32]byte, plain []byte) error {
	header := format.Header{
		Kind: format.KindKeys, KeyVersion: n.version, Vault: n.vault, Identity: n.set, Salt: salt,
	}
	b, err := seal(m, header, n.purpose, plain)
	if err != nil {
		return err
	}
	return store.Put(ctx, n.String(), io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))))
}
