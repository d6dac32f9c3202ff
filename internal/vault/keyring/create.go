package keyring

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
)

// What the first vault key, and the object that keeps it, are derived for.
const (
	firstKeyLabel  = "holdfast/1 first vault key"
	firstSaltLabel = "holdfast/1 first vault key salt"
	firstCopyLabel = "holdfast/1 first vault key copy"
)

// NewVault is what CreateVault makes a vault's keys of. All but Recovery is
// needed.
type NewVault struct {
	Store  blob.Store
	Master *Master
	Vault  [16]byte
	Rand   io.Reader
	// Recovery says for whom the keys are wrapped besides the master key; at
	// most MaxRecovery. It may be empty.
	Recovery []*Recipient
	// Choose returns the set of keys that counts: the one that it was first
	// called with, by whomever. It has remembered that durably when it
	// returns.
	Choose func(ctx context.Context, set [16]byte) ([16]byte, error)
}

// CreateVault makes a vault's keys, a naming secret and vault key version 1,
// and returns them as OpenVault does. It is called until it succeeds, before
// anything is written with the keys, and may be called by several at once;
// where an earlier call made the keys, or a part, it goes on from there.
//
// Callers that know nothing of each other each make a naming object, and a
// store may carry out a Put after having failed it. So a set counts only once
// it also has a vault key; only the chosen set gets one, and that comes from a
// seed in the naming object: whoever completes the set writes the same bytes
// under the same name.
func CreateVault(ctx context.Context, n NewVault) (*Vault, error) {
	if err := again(func() error { return n.create(ctx) }); err != nil {
		return nil, fmt.Errorf("create keys of vault %s: %w", format.ID(n.Vault), err)
	}
	if err := n.wrapForRecovery(ctx); err != nil {
		return nil, err
	}
	return OpenVault(ctx, n.Store, n.Master, n.Vault)
}

func (n *NewVault) create(ctx context.Context) error {
	s, err := findSet(ctx, n.Store, n.Vault)
	if err != nil || s.complete() {
		return err
	}
	if s.total > 0 && !s.named() {
		return fmt.Errorf("%w: the store has vault keys, but no naming secret", ErrMissing)
	}
	if !s.named() {
		if s.id, err = n.createNaming(ctx); err != nil {
			return err
		}
	}
	chosen, err := n.Choose(ctx, s.id)
	if err != nil {
		return fmt.Errorf("choose a set: %w", err)
	}
	seed, err := n.seed(ctx, chosen)
	if err != nil {
		return err
	}
	if err := n.createFirst(ctx, chosen, seed); err != nil {
		return err
	}
	if s, err = findSet(ctx, n.Store, n.Vault); err != nil {
		return err
	}
	if !s.complete() {
		return errUnlisted
	}
	return nil
}

// wrapForRecovery comes second, since all that create puts must be the same
// bytes whoever puts it, and no two wraps for recovery are.
func (n *NewVault) wrapForRecovery(ctx context.Context) error {
	if len(n.Recovery) == 0 {
		return nil
	}
	r := Rewrap{Store: n.Store, Key: n.Master, Master: n.Master, Recovery: n.Recovery, Rand: n.Rand}
	replaced, err := r.Vault(ctx, n.Vault)
	if err != nil {
		return err
	}
	return replaced.Remove(ctx)
}

var errUnlisted = errors.New("the store does not list the key objects yet")

// createNaming makes a set, puts its naming object, and returns its id.
func (n *NewVault) createNaming(ctx context.Context) (format.ID, error) {
	object := name{vault: n.Vault, purpose: naming}
	var salt [32]byte
	secrets := make([]byte, naming.size())
	for _, b := range [][]byte{object.set[:], object.copy[:], salt[:], secrets} {
		if _, err := io.ReadFull(n.Rand, b); err != nil {
			return object.set, fmt.Errorf("read random bytes: %w", err)
		}
	}
	return object.set, n.put(ctx, object, salt, secrets)
}

// seed returns what the first vault key of a set comes from.
func (n *NewVault) seed(ctx context.Context, set format.ID) ([]byte, error) {
	names, err := listNames(ctx, n.Store, n.Vault)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(o name) bool { return o.set != set || o.purpose != naming })
	if len(names) == 0 {
		return nil, errUnlisted
	}
	secrets, err := openCopy(ctx, n.Store, n.Master, names)
	if err != nil {
		return nil, err
	}
	return secrets[keySize:], nil
}

// createFirst puts the object of vault key version 1, all of which comes from
// the seed and the master key.
func (n *NewVault) createFirst(ctx context.Context, set format.ID, seed []byte) error {
	object := name{vault: n.Vault, purpose: vaultKey, version: 1, set: set}
	key, err := hkdf.Key(sha256.New, seed, nil, firstKeyLabel, keySize)
	if err != nil {
		return fmt.Errorf("derive first vault key: %w", err)
	}
	salt, err := hkdf.Key(sha256.New, seed, n.Master.id[:], firstSaltLabel, 32)
	if err != nil {
		return fmt.Errorf("derive first vault key: %w", err)
	}
	random, err := hkdf.Key(sha256.New, seed, n.Master.id[:], firstCopyLabel, len(object.copy))
	if err != nil {
		return fmt.Errorf("derive first vault key: %w", err)
	}
	object.copy = format.ID(random)
	return n.put(ctx, object, [32]byte(salt), key)
}

func (n *NewVault) put(ctx context.Context, object name, salt [32]byte, plain []byte) error {
	header := format.Header{
		Kind: format.KindKeys, KeyVersion: object.version, Vault: n.Vault, Identity: object.set, Salt: salt,
	}
	b, err := seal(wrappers(n.Master, nil), header, object.purpose, plain)
	if err != nil {
		return err
	}
	return putObject(ctx, n.Store, object, b)
}

func putObject(ctx context.Context, store blob.Store, n name, b []byte) error {
	return store.Put(ctx, n.String(), io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))))
}
