package app

import (
	"context"
	"errors"
	"log/slog"
	"path"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/config"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
	"holdfast/internal/volume"
)

// Store is the vault commands' way into a bare store: objects and a master key
// or recovery identity, and no catalog. It only reads.
type Store struct {
	bare  *vault.Bare
	store blob.Store
}

// OpenStore reads what backups a store holds: that in a folder, or in a bucket
// (s3://bucket/prefix?endpoint=https://host, with its keys in the environment).
func OpenStore(ctx context.Context, place string, key KeyFile, log *slog.Logger) (*Store, error) {
	opener, err := key.open()
	if err != nil {
		return nil, err
	}
	cfg, err := config.ParseStore(place)
	if err != nil {
		return nil, startErrorf("store: %w", err)
	}
	store, err := findStore(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	bare, err := vault.OpenBare(ctx, store, func(ctx context.Context, id vault.ID) (vault.Keys, error) {
		return keyring.OpenVault(ctx, store, opener, id)
	})
	if err != nil {
		return nil, err
	}
	if foreign(bare.Backups()) {
		return nil, startErrorf("%s holds another key than the vaults in %s need", key.Path, cfg)
	}
	for _, b := range bare.Backups() {
		if b.Err != nil {
			log.WarnContext(ctx, "a record can't be read", "object", b.Ref.Object, "error", b.Err)
		}
	}
	return &Store{bare, store}, nil
}

// foreign reports whether the master key opens none of the vaults.
func foreign(all []vault.BareBackup) bool {
	for _, b := range all {
		if !errors.Is(b.Err, keyring.ErrWrongKey) {
			return false
		}
	}
	return len(all) > 0
}

// Close does nothing: there is nothing to release.
func (s *Store) Close() error { return nil }

// List returns the backups, oldest first: a project's by its id, or all. One
// whose record can't be read has the status error.
func (s *Store) List(_ context.Context, project string) ([]Item, error) {
	var all []Item
	for _, b := range s.bare.Backups() {
		it := bareItem(b)
		if project == "" || project == it.Project {
			all = append(all, it)
		}
	}
	return all, nil
}

// Show returns one backup.
func (s *Store) Show(_ context.Context, project, id string) (Item, error) {
	b, err := s.find(project, id)
	if err != nil {
		return Item{}, err
	}
	return bareItem(b), nil
}

func (s *Store) find(project, id string) (vault.BareBackup, error) {
	for _, b := range s.bare.Backups() {
		if b.Err == nil && b.Record.Info.Backup == id && (project == "" || project == b.Record.Info.Project) {
			return b, nil
		}
	}
	return vault.BareBackup{}, backup.Errorf(backup.NotFound, "backup %s could not be found in the store", id)
}

// Restore writes a backup to a path.
func (s *Store) Restore(ctx context.Context, p PathRestore) error {
	b, err := s.find(p.Project, p.ID)
	if err != nil {
		return err
	}
	target, err := volume.OpenFileTarget(p.Path)
	if err != nil {
		return err
	}
	part := vault.Range{Length: b.Record.Size}
	if p.Length > 0 {
		part = vault.Range{Offset: p.Offset, Length: p.Length}
	}
	err = s.bare.Restore(ctx, vault.RestoreRequest{
		Record: b.Ref, Target: target, Range: &part,
		Progress: func(now vault.Progress) {
			if p.Progress != nil {
				p.Progress(Progress{Done: now.Done, Size: now.Size})
			}
		},
	})
	if cerr := target.Close(); err == nil {
		err = cerr
	}
	return err
}

// bareItem shows what a record says.
func bareItem(b vault.BareBackup) Item {
	if b.Err != nil {
		id := path.Base(b.Ref.Object)[:len(uuid.Nil.String())] // a record's name begins with it
		return Item{ID: id, Status: string(backup.Errored), FailReason: b.Err.Error()}
	}
	info, res := b.Record.Info, b.Record.Result
	return Item{
		ID: info.Backup, Project: info.Project, VolumeID: info.Volume, Volume: info.VolumeName, Name: info.Name,
		Status: string(backup.Available), Size: b.Record.Size, Read: res.Read, New: res.New, Stored: res.Stored,
		Incremental: info.Incremental, Parent: info.Parent, CreatedAt: info.Created, DataTimestamp: info.DataTime,
	}
}
