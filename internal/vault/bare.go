package vault

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/sealing"
)

// OpenKeys opens a vault's keys.
type OpenKeys func(ctx context.Context, vault ID) (Keys, error)

// Bare reads the vaults of a store that has lost its catalog. It writes
// nothing.
type Bare struct {
	store   blob.Store
	vaults  map[ID]*bareVault
	backups []BareBackup
}

// BareBackup is a backup that a bare store holds.
type BareBackup struct {
	Vault  ID
	Ref    RecordRef // without a hash: nobody knows it
	Record Record
	Err    error // why the record can't be read; Record is empty then
}

// bareVault is one vault of a bare store.
type bareVault struct {
	id    ID
	store blob.Store
	keys  Keys
	err   error // of opening the keys
	names *naming.Secret

	mu      sync.Mutex
	places  map[ID]Placement // nil: not read yet
	scanned bool             // footers were read
}

// OpenBare lists what backups a store holds. Of a backup that was begun
// several times it shows the newest record. That one vault can't be opened
// leaves the others readable.
func OpenBare(ctx context.Context, store blob.Store, open OpenKeys) (*Bare, error) {
	b := &Bare{store: store, vaults: map[ID]*bareVault{}}
	newest := map[[2]ID]format.RecordName{}
	err := store.List(ctx, format.Root, func(o blob.Info) error {
		n, err := format.ParseRecordName(o.Name)
		if err != nil {
			return nil //nolint:nilerr // other kinds of objects
		}
		key := [2]ID{n.Vault, n.Backup}
		if old, ok := newest[key]; !ok || n.Attempt > old.Attempt {
			newest[key] = n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	for _, n := range newest {
		if b.vaults[n.Vault] == nil {
			b.vaults[n.Vault] = openBareVault(ctx, store, open, n.Vault)
		}
		backup, err := b.load(ctx, n)
		if err != nil {
			return nil, err
		}
		b.backups = append(b.backups, backup)
	}
	slices.SortFunc(b.backups, func(x, y BareBackup) int {
		if c := x.Record.Info.DataTime.Compare(y.Record.Info.DataTime); c != 0 {
			return c
		}
		return strings.Compare(x.Ref.Object, y.Ref.Object)
	})
	return b, nil
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

// load reads one record. Only the context's end, and a store that doesn't
// answer, are errors.
func (b *Bare) load(ctx context.Context, n format.RecordName) (BareBackup, error) {
	backup := BareBackup{Vault: n.Vault, Ref: RecordRef{Object: n.String()}}
	v := b.vaults[n.Vault]
	if v.err != nil {
		backup.Err = v.err
		return backup, nil
	}
	backup.Record, backup.Err = v.reader().record(ctx, backup.Ref)
	if backup.Err != nil && !errors.Is(backup.Err, ErrCorrupt) {
		return backup, backup.Err
	}
	return backup, nil
}

// Backups returns the backups, the oldest data first.
func (b *Bare) Backups() []BareBackup { return b.backups }

// Restore does what Vault.Restore does.
func (b *Bare) Restore(ctx context.Context, req RestoreRequest) error {
	n, err := format.ParseRecordName(req.Record.Object)
	if err != nil {
		return err
	}
	v := b.vaults[n.Vault]
	if v == nil {
		return fmt.Errorf("restore: %w: vault %s", blob.ErrNotFound, n.Vault)
	}
	if v.err != nil {
		return v.err
	}
	return restore(ctx, v.reader(), min(runtime.GOMAXPROCS(0), maxWorkers), req)
}

func (v *bareVault) reader() *reader {
	asked := map[ID]bool{}
	return newReader(readerConfig{
		store: v.store, keys: v.keys, names: v.names,
		locate: func(ctx context.Context, _ ID, packs []ID) ([]Placement, error) {
			return v.locate(ctx, packs, asked)
		},
	})
}

// locate finds packs by the placement segments, and by objects' footers where
// these don't help. A pack that is asked for again was not where it should be.
func (v *bareVault) locate(ctx context.Context, packs []ID, asked map[ID]bool) ([]Placement, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.places == nil {
		if err := v.readSegments(ctx); err != nil {
			return nil, err
		}
	}
	lost := slices.ContainsFunc(packs, func(id ID) bool { return v.places[id].Object == "" || asked[id] })
	if lost && !v.scanned {
		if err := v.readFooters(ctx); err != nil {
			return nil, err
		}
	}
	out := make([]Placement, len(packs))
	for i, id := range packs {
		asked[id] = true
		out[i] = v.places[id]
	}
	return out, nil
}

func (v *bareVault) readSegments(ctx context.Context) error {
	found := map[ID]Placement{}
	err := v.store.List(ctx, format.RoomPrefix(v.id, format.Placements), func(o blob.Info) error {
		_, plain, _, err := v.reader().whole(ctx, o.Name, format.KindPlacement, sealing.PlacementLabel)
		if err != nil {
			return ignoreDamage(err)
		}
		places, err := parsePlacements(plain)
		for _, p := range places {
			if old := found[p.Pack]; p.Generation > old.Generation {
				found[p.Pack] = p
			}
		}
		return ignoreDamage(err)
	})
	if err != nil {
		return fmt.Errorf("read placement segments: %w", err)
	}
	v.places = found
	return nil
}

// ignoreDamage drops the errors of hints that can't be read.
func ignoreDamage(err error) error {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, format.ErrFormat) {
		return nil
	}
	return err
}

// readFooters finds packs by the footers of all objects. What it finds takes
// the place of what placement segments say, generation by generation.
func (v *bareVault) readFooters(ctx context.Context) error {
	found := map[ID]Placement{}
	for _, room := range []format.Room{format.Packs, format.Pages} {
		err := v.store.List(ctx, format.RoomPrefix(v.id, room), func(o blob.Info) error {
			entries, err := v.footer(ctx, o)
			for _, e := range entries {
				kind := DataPack
				if e.Kind == format.KindPagePack {
					kind = PagePack
				}
				if old := found[e.Pack]; e.Generation > old.Generation {
					found[e.Pack] = Placement{
						Pack: e.Pack, Generation: e.Generation, Kind: kind, Object: o.Name,
						Offset: e.Offset, Length: e.Length, DirOffset: e.DirOffset,
					}
				}
			}
			return ignoreDamage(err)
		})
		if err != nil {
			return fmt.Errorf("read footers: %w", err)
		}
	}
	for id, p := range found {
		v.places[id] = p
	}
	v.scanned = true
	return nil
}

func (v *bareVault) footer(ctx context.Context, o blob.Info) ([]format.FooterEntry, error) {
	if o.Size < format.TrailerSize || o.Size > blob.MaxSize {
		return nil, nil
	}
	r := v.reader()
	tail := make([]byte, format.TrailerSize)
	if err := r.get(ctx, o.Name, tail, o.Size-format.TrailerSize); err != nil {
		return nil, err
	}
	n, err := format.ParseTrailer(tail)
	if err != nil || int64(n) > o.Size {
		return nil, err
	}
	b := make([]byte, n)
	if err := r.get(ctx, o.Name, b, o.Size-int64(n)); err != nil {
		return nil, err
	}
	return format.ParseFooter(b, o.Size)
}
