package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
)

// maxObjects is how many key objects of one vault are looked at.
const maxObjects = 10000

// ListVaults returns the ids of all vaults that have key objects in the store,
// in their order. It lists every object of all vaults.
func ListVaults(ctx context.Context, store blob.Store) ([][16]byte, error) {
	vaults := make(map[format.ID]struct{})
	err := store.List(ctx, format.Root, func(info blob.Info) error {
		if n, ok := parseName(info.Name); ok {
			vaults[n.vault] = struct{}{}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list vaults: %w", err)
	}
	ids := slices.SortedFunc(maps.Keys(vaults), func(a, b format.ID) int { return slices.Compare(a[:], b[:]) })
	out := make([][16]byte, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out, nil
}

// OpenVault reads the keys of a vault from the store. Its errors wrap
// ErrMissing, ErrWrongKey, ErrCorrupt, or what the store returned.
func OpenVault(ctx context.Context, store blob.Store, key Opener, vault [16]byte) (*Vault, error) {
	var v *Vault
	err := again(func() (err error) {
		v, err = openVault(ctx, store, key, vault)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open keys of vault %s: %w", format.ID(vault), err)
	}
	return v, nil
}

// listings is how often a listing is made where an object that it names is
// gone: another copy took its place in between.
const listings = 3

// again calls f until it gets at what it lists.
func again(f func() error) error {
	err := f()
	for n := 1; n < listings && errors.Is(err, blob.ErrNotFound); n++ {
		err = f()
	}
	return err
}

// openVault opens the one set that is complete and opens. Objects that nobody
// could have wrapped for the key are passed over with their set.
func openVault(ctx context.Context, store blob.Store, key Opener, vault format.ID) (*Vault, error) {
	sets, total, err := listSets(ctx, store, vault)
	if err != nil {
		return nil, err
	}
	var found *Vault
	failed := fmt.Errorf("%w: the store has %d of its objects, and no set is complete", ErrMissing, total)
	complete := 0
	for _, s := range sets {
		if !s.complete() {
			continue
		}
		v, err := openSet(ctx, store, key, s)
		switch {
		case err == nil && found != nil:
			return nil, fmt.Errorf("%w: two sets open with the %s: %s and %s", ErrCorrupt, key, found.set, s.id)
		case err == nil:
			found = v
		case !unfit(err):
			return nil, err
		case complete == 0:
			failed = err
		}
		complete++
	}
	if found == nil {
		return nil, failed
	}
	return found, nil
}

// unfit reports whether an error says that objects are no keys, or not for the
// key that was tried.
func unfit(err error) bool {
	return errors.Is(err, ErrWrongKey) || errors.Is(err, ErrCorrupt) || errors.Is(err, blob.ErrInvalid)
}

func openSet(ctx context.Context, store blob.Store, key Opener, s set) (*Vault, error) {
	v := &Vault{set: s.id, secrets: make(map[uint32]secret)}
	for _, version := range slices.Sorted(maps.Keys(s.copies)) {
		copies := s.copies[version]
		v.id = copies[0].vault
		plain, err := openCopy(ctx, store, key, copies)
		if err != nil {
			return nil, err
		}
		v.secrets[version] = hide([keySize]byte(plain)) // the naming object's seed is left out
		v.current = max(v.current, version)
	}
	return v, nil
}

// set is one naming secret with its vault keys, as far as they are listed.
type set struct {
	id     format.ID
	copies map[uint32][]name // by version, each in the order of names
	total  int               // of the vault's key objects, in all sets
}

func (s set) complete() bool { return s.named() && len(s.copies) > 1 }

func (s set) named() bool { return len(s.copies[0]) > 0 }

// findSet returns the set of a vault's keys that counts: the first complete
// one, else the first with a naming secret, else one that is empty. More than
// one are there if an attempt to make them ended in the middle, or several
// were made at once; no two become complete.
func findSet(ctx context.Context, store blob.Store, vault format.ID) (set, error) {
	sets, total, err := listSets(ctx, store, vault)
	if err != nil {
		return set{}, err
	}
	found := set{total: total}
	for _, s := range sets {
		if s.complete() {
			return s, nil
		}
		if s.named() && !found.named() {
			found = s
		}
	}
	return found, nil
}

// listSets returns a vault's sets in the order of their ids, and how many key
// objects there are.
func listSets(ctx context.Context, store blob.Store, vault format.ID) ([]set, int, error) {
	names, err := listNames(ctx, store, vault)
	if err != nil {
		return nil, 0, err
	}
	var sets []set
	for _, n := range names {
		if len(sets) == 0 || sets[len(sets)-1].id != n.set {
			sets = append(sets, set{id: n.set, copies: make(map[uint32][]name), total: len(names)})
		}
		s := sets[len(sets)-1]
		s.copies[n.version] = append(s.copies[n.version], n)
	}
	return sets, len(names), nil
}

func listNames(ctx context.Context, store blob.Store, vault format.ID) ([]name, error) {
	var names []name
	err := store.List(ctx, format.RoomPrefix(vault, format.Keys), func(info blob.Info) error {
		if n, ok := parseName(info.Name); ok {
			names = append(names, n)
		}
		if len(names) > maxObjects {
			return fmt.Errorf("%w: there are more than %d", ErrCorrupt, maxObjects)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list key objects: %w", err)
	}
	slices.SortFunc(names, compareNames)
	return names, nil
}

// openCopy returns what copies of a key keep. All keep the same: anybody who
// knows a recovery recipient can make something else for it, and must not get
// it taken for the key.
func openCopy(ctx context.Context, store blob.Store, key Opener, copies []name) ([]byte, error) {
	var found []byte
	var failed []error
	wrong := 0
	for _, n := range copies {
		o, err := readObject(ctx, store, n)
		var plain []byte
		if err == nil {
			plain, err = o.open(key)
		}
		if errors.Is(err, ErrWrongKey) {
			wrong++
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("key object %s: %w", n, err))
			continue
		}
		if found != nil && !bytes.Equal(found, plain) {
			return nil, fmt.Errorf("%w: copies of one key keep different ones, key object %s and another", ErrCorrupt, n)
		}
		found = plain
	}
	switch {
	case found != nil:
		return found, nil
	case wrong == len(failed) && wrong > 1:
		return nil, fmt.Errorf("%w: none of %d copies of key object %s opens with the %s", ErrWrongKey, wrong, copies[0], key)
	}
	return nil, errors.Join(failed...)
}

// readObject reads the object of a name, and nothing that belongs under
// another one.
func readObject(ctx context.Context, store blob.Store, n name) (*object, error) {
	b, err := blob.ReadAll(ctx, store, n.String(), maxObject)
	if err != nil {
		return nil, err
	}
	o, err := parseObject(b)
	if err != nil {
		return nil, err
	}
	h := o.header
	if h.Vault != n.vault || h.Identity != n.set || h.KeyVersion != n.version || o.purpose != n.purpose {
		return nil, fmt.Errorf("%w: it belongs under another name", ErrCorrupt)
	}
	return o, nil
}
