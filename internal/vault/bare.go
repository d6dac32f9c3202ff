package vault

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/zeebo/blake3"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
)

// OpenKeys opens a vault's keys.
type OpenKeys func(ctx context.Context, vault ID) (Keys, error)

// Bare reads the vaults of a store that has lost its catalog. It writes
// nothing, but for TakeOver.
type Bare struct {
	store   blob.Store
	vaults  map[ID]*bareVault
	backups []BareBackup
}

// BareBackup is a backup that a bare store holds.
type BareBackup struct {
	Vault  ID
	Ref    RecordRef // with the hash of what was found
	Record Record
	Size   int64 // of the record's object, in bytes
	Err    error // why no record of it can be read; Record is empty then

	others []format.RecordName // records of other attempts, older ones, or ones that can't be read
}

// BareVault is a vault of a bare store.
type BareVault struct {
	ID      ID
	Backups int   // that have a record
	Err     error // why its keys can't be opened
}

// OpenBare lists what backups a store holds. Of a backup that was begun
// several times it shows the newest record that can be read. That one vault
// can't be opened leaves the others readable.
func OpenBare(ctx context.Context, store blob.Store, open OpenKeys) (*Bare, error) {
	return openBare(ctx, store, open, 1)
}

// OpenBareTwice does what OpenBare does, but trusts no single listing, which
// may be late: the store is listed twice, in all that follows too.
func OpenBareTwice(ctx context.Context, store blob.Store, open OpenKeys) (*Bare, error) {
	return openBare(ctx, store, open, 2)
}

func openBare(ctx context.Context, store blob.Store, open OpenKeys, listings int) (*Bare, error) {
	b := &Bare{store: store, vaults: map[ID]*bareVault{}}
	attempts, err := b.listRecords(ctx, open, listings)
	if err != nil {
		return nil, err
	}
	for _, names := range attempts {
		slices.SortFunc(names, func(x, y format.RecordName) int { // the newest first
			if x.Attempt != y.Attempt {
				return int(max(-1, min(1, y.Attempt-x.Attempt)))
			}
			return compareID(y.Random, x.Random)
		})
		backup, err := b.newest(ctx, slices.Compact(names))
		if err != nil {
			return nil, err
		}
		b.backups = append(b.backups, backup)
	}
	slices.SortFunc(b.backups, compareBare)
	return b, nil
}

func compareBare(x, y BareBackup) int {
	if c := x.Record.Info.DataTime.Compare(y.Record.Info.DataTime); c != 0 {
		return c
	}
	return strings.Compare(x.Ref.Object, y.Ref.Object)
}

// listRecords returns the records' names by vault and backup, and opens the
// vaults that have records or keys.
func (b *Bare) listRecords(ctx context.Context, open OpenKeys, listings int) (map[[2]ID][]format.RecordName, error) {
	attempts := map[[2]ID][]format.RecordName{}
	found := map[ID]bool{}
	for range listings {
		err := b.store.List(ctx, format.Root, func(o blob.Info) error {
			if n, err := format.ParseRecordName(o.Name); err == nil {
				key := [2]ID{n.Vault, n.Backup}
				attempts[key] = append(attempts[key], n)
				found[n.Vault] = true
				return nil
			}
			parts := strings.SplitN(strings.TrimPrefix(o.Name, format.Root), "/", 3)
			if id, ok := format.ParseID(parts[0]); ok && len(parts) == 3 && parts[1] == string(format.Keys) {
				found[id] = true
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list records: %w", err)
		}
	}
	for id := range found {
		b.vaults[id] = openBareVault(ctx, b.store, open, id)
		b.vaults[id].listings = listings
	}
	return attempts, ctx.Err()
}

func openBareVault(ctx context.Context, store blob.Store, open OpenKeys, id ID) *bareVault {
	v := &bareVault{id: id, store: store}
	if v.keys, v.err = open(ctx, id); v.err != nil {
		return v
	}
	if v.keys.ID() != id {
		v.err = fmt.Errorf("the keys are of vault %s", ID(v.keys.ID()))
		return v
	}
	v.names, v.err = naming.New(v.keys)
	return v
}

// newest reads a backup's newest record that can be read; names are sorted.
func (b *Bare) newest(ctx context.Context, names []format.RecordName) (BareBackup, error) {
	var first BareBackup
	for i, n := range names {
		backup, err := b.load(ctx, n)
		if err != nil {
			return backup, err
		}
		backup.others = slices.Delete(slices.Clone(names), i, i+1)
		if backup.Err == nil || b.vaults[n.Vault].err != nil {
			return backup, nil
		}
		if i == 0 {
			first = backup
		}
	}
	return first, nil
}

// load reads one record. Only the context's end, and a store that doesn't
// answer, are errors.
func (b *Bare) load(ctx context.Context, n format.RecordName) (BareBackup, error) {
	backup := BareBackup{Vault: n.Vault, Ref: RecordRef{Object: n.String()}}
	v := b.vaults[n.Vault]
	if v.err != nil {
		backup.Err = v.err
		return backup, nil
	}
	rec, object, err := v.reader().wholeRecord(ctx, backup.Ref)
	switch {
	case err == nil:
		backup.Record, backup.Ref.Hash, backup.Size = rec, blake3.Sum256(object), int64(len(object))
	case errors.Is(err, ErrCorrupt):
		backup.Err = err
	default:
		return backup, err
	}
	return backup, nil
}

// Backups returns the backups, the oldest data first.
func (b *Bare) Backups() []BareBackup { return b.backups }

// Vaults returns the vaults that have keys or records, in the order of their
// ids.
func (b *Bare) Vaults() []BareVault {
	all := make([]BareVault, 0, len(b.vaults))
	for id, v := range b.vaults {
		n := 0
		for i := range b.backups {
			if b.backups[i].Vault == id {
				n++
			}
		}
		all = append(all, BareVault{ID: id, Backups: n, Err: v.err})
	}
	slices.SortFunc(all, func(x, y BareVault) int { return compareID(x.ID, y.ID) })
	return all
}

// Restore does what Vault.Restore does.
func (b *Bare) Restore(ctx context.Context, req RestoreRequest) error {
	n, err := format.ParseRecordName(req.Record.Object)
	if err != nil {
		return err
	}
	v, err := b.opened(n.Vault)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return restore(ctx, v.reader(), min(runtime.GOMAXPROCS(0), maxWorkers), req)
}

// opened returns a vault whose keys are open.
func (b *Bare) opened(id ID) (*bareVault, error) {
	v := b.vaults[id]
	if v == nil {
		return nil, fmt.Errorf("%w: vault %s", blob.ErrNotFound, id)
	}
	return v, v.err
}
