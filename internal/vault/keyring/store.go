package keyring

import (
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

func openVault(ctx context.Context, store blob.Store, key Opener, vault format.ID) (*Vault, error) {
	s, err := findSet(ctx, store, vault)
	if err != nil {
		return nil, err
	}
	if !s.complete() {
		return nil, fmt.Errorf("%w: the store has %d of its objects, and no set is complete", ErrMissing, s.total)
	}
	v := &Vault{id: vault, secrets: make(map[uint32]secret)}
	for _, version := range slices.Sorted(maps.Keys(s.copies)) {
		plain, err := openCopy(ctx, store, key, s.copies[version])
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
	names, err := listNames(ctx, store, vault)
	if err != nil {
		return set{}, err
	}
	found := set{total: len(names)}
	for start, end := 0, 0; start < len(names); start = end {
		s := set{id: names[start].set, copies: make(map[uint32][]name), total: len(names)}
		for end = start; end < len(names) && names[end].set == s.id; end++ {
			s.copies[names[end].version] = append(s.copies[names[end].version], names[end])
		}
		if s.complete() {
			return s, nil
		}
		if s.named() && !found.named() {
			found = s
		}
	}
	return found, nil
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

// openCopy returns what the first copy that opens keeps. All copies keep the
// same.
func openCopy(ctx context.Context, store blob.Store, key Opener, copies []name) ([]byte, error) {
	var failed []error
	wrong := 0
	for _, n := range copies {
		o, err := readObject(ctx, store, n)
		if err == nil {
			var plain []byte
			if plain, err = o.open(key); err == nil {
				return plain, nil
			}
		}
		if errors.Is(err, ErrWrongKey) {
			wrong++
		}
		failed = append(failed, fmt.Errorf("key object %s: %w", n, err))
	}
	if wrong == len(failed) && wrong > 1 {
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
