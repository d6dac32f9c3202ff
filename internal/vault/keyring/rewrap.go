package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
)

// MaxRecovery is how many recovery recipients keys can be wrapped for.
const MaxRecovery = 16

// Rewrap makes new copies of vaults' key objects, as when the master key or
// the recovery recipients change. All but Recovery and All is needed.
type Rewrap struct {
	Store    blob.Store
	Key      Opener       // opens the copies that are there
	Master   *Master      // what new copies are for,
	Recovery []*Recipient // and for whom besides
	Rand     io.Reader
	// All replaces every other copy. Without it, copies that are not for
	// Master are left alone.
	All bool
}

// Replaced names the copies that Rewrap has put others in the place of.
type Replaced struct {
	Objects int // how many were put
	store   blob.Store
	puts    []name
	names   []name // what they replace
}

// Remove removes the copies that were replaced.
func (r Replaced) Remove(ctx context.Context) error {
	for _, n := range r.names {
		if err := r.store.Delete(ctx, n.String()); err != nil {
			return fmt.Errorf("remove key object %s: %w", n, err)
		}
	}
	return nil
}

// Vault puts a copy of each of a vault's keys, unless the only one there is
// right already, and reads it back. When it returns, the keys open with Key,
// Master and Recovery.
//
// Several may do so at once, for other recipients even: whoever removes a copy
// has listed it before putting his own, so the last that was put is removed by
// nobody. That is why more than one copy is always replaced by a new one, and
// never by one of them.
func (r Rewrap) Vault(ctx context.Context, vault [16]byte) (Replaced, error) {
	var done Replaced
	err := again(func() (err error) {
		done, err = r.vault(ctx, vault)
		return err
	})
	if err != nil {
		return done, fmt.Errorf("rewrap keys of vault %s: %w", format.ID(vault), err)
	}
	return done, nil
}

func (r Rewrap) vault(ctx context.Context, vault format.ID) (Replaced, error) {
	done := Replaced{store: r.Store}
	if len(r.Recovery) > MaxRecovery {
		return done, fmt.Errorf("%d recovery recipients, and at most %d are taken", len(r.Recovery), MaxRecovery)
	}
	counts, err := r.counts(ctx, vault)
	if err != nil {
		return done, err
	}
	names, err := listNames(ctx, r.Store, vault)
	if err != nil {
		return done, err
	}
	var unopened error
	opened := 0
	for len(names) > 0 {
		n := copiesOf(names)
		err := r.copies(ctx, names[:n], &done)
		switch {
		case err == nil:
			opened++
		case unfit(err) && (counts == nil || *counts != names[0].set): // it was never used
			unopened = err
		default:
			return done, err
		}
		names = names[n:]
	}
	if opened == 0 {
		return done, unopened
	}
	return done, r.listed(ctx, vault, done)
}

// counts returns the set that counts, or nil where none is complete. After a
// change of the master key that was broken off, only Master may open it.
func (r Rewrap) counts(ctx context.Context, vault format.ID) (*format.ID, error) {
	v, err := openVault(ctx, r.Store, r.Key, vault)
	if err != nil && unfit(err) {
		if again, merr := openVault(ctx, r.Store, r.Master, vault); merr == nil {
			v, err = again, nil
		}
	}
	if errors.Is(err, ErrMissing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &v.set, nil
}

// copiesOf returns how many copies of one key names begins with.
func copiesOf(names []name) int {
	n := slices.IndexFunc(names, func(o name) bool { return o.set != names[0].set || o.version != names[0].version })
	if n < 0 {
		return len(names)
	}
	return n
}

// copies puts a new copy of one key, where that is needed, and notes which
// ones it replaces.
func (r Rewrap) copies(ctx context.Context, names []name, done *Replaced) error {
	own, right, err := r.look(ctx, names)
	if err != nil {
		return err
	}
	if len(own) == 1 && right && (!r.All || len(names) == 1) {
		return nil
	}
	plain, err := r.open(ctx, names)
	if err != nil {
		return err
	}
	n, err := r.put(ctx, names[0], plain)
	if err != nil {
		return err
	}
	done.puts = append(done.puts, n)
	done.Objects++
	if r.All {
		own = names
	}
	done.names = append(done.names, own...)
	return nil
}

// open returns what copies keep.
func (r Rewrap) open(ctx context.Context, names []name) ([]byte, error) {
	plain, err := openCopy(ctx, r.Store, r.Key, names)
	if err == nil {
		return plain, nil
	}
	if plain, merr := openCopy(ctx, r.Store, r.Master, names); merr == nil {
		return plain, nil
	}
	return nil, err
}

// look returns the copies that are for Master, and whether one of them is for
// exactly those that it should be for and opens.
func (r Rewrap) look(ctx context.Context, names []name) (own []name, right bool, err error) {
	kind, id := r.Master.addressee()
	for _, n := range names {
		o, err := readObject(ctx, r.Store, n)
		if errors.Is(err, blob.ErrNotFound) || unfit(err) { // listings may show what is gone
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if !slices.ContainsFunc(o.wraps, func(w wrap) bool { return w.recipient == kind && w.id == id }) {
			continue
		}
		own = append(own, n)
		_, failed := o.open(r.Master)
		right = failed == nil && o.isFor(wrappers(r.Master, r.Recovery))
	}
	return own, right, nil
}

// put puts a new copy of a key, and makes sure that it can be read. It returns
// the copy's name.
func (r Rewrap) put(ctx context.Context, n name, plain []byte) (name, error) {
	h := format.Header{Kind: format.KindKeys, KeyVersion: n.version, Vault: n.vault, Identity: n.set}
	for _, b := range [][]byte{n.copy[:], h.Salt[:]} {
		if _, err := io.ReadFull(r.Rand, b); err != nil {
			return n, fmt.Errorf("read random bytes: %w", err)
		}
	}
	b, err := seal(wrappers(r.Master, r.Recovery), h, n.purpose, plain)
	if err != nil {
		return n, err
	}
	if err := putObject(ctx, r.Store, n, b); err != nil {
		return n, err
	}
	back, err := readObject(ctx, r.Store, n)
	if err != nil {
		return n, fmt.Errorf("read back key object %s: %w", n, err)
	}
	again, err := back.open(r.Master)
	if err != nil || !bytes.Equal(again, plain) || !bytes.Equal(back.encode(), b) {
		return n, fmt.Errorf("read back key object %s: %w", n, errors.Join(ErrCorrupt, err))
	}
	return n, nil
}

// listed makes sure that others find what was put before anything goes.
func (r Rewrap) listed(ctx context.Context, vault format.ID, done Replaced) error {
	if done.Objects == 0 {
		return nil
	}
	names, err := listNames(ctx, r.Store, vault)
	if err != nil {
		return err
	}
	for _, n := range done.puts {
		if slices.Contains(names, n) {
			continue
		}
		_, err := r.Store.Stat(ctx, n.String())
		switch {
		case err == nil:
			return errUnlisted
		case !errors.Is(err, blob.ErrNotFound): // gone is what somebody has replaced
			return err
		}
	}
	return nil
}
