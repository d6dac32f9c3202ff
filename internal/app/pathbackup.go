package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"holdfast/internal/backup"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/vault/changemap"
	"holdfast/internal/volume"
	"holdfast/internal/worker"
)

// PathBackup asks for a backup of a file or device of this host, or of a
// stream.
type PathBackup struct {
	Project string // name or id; empty: the admin's
	Volume  string // a volume's id or name, or any name
	Path    string // with a Stream without effect
	// Stream is read to its end first, into the data folder; nil: Path is read.
	Stream io.Reader
	// Parent is the id of the project's backup to compare with; empty: the newest
	// of the volume.
	Parent string
	// ChangeMap is the path of a change map: what it leaves out is taken from the
	// parent. Empty: all is read. A bare list of extents needs Parent.
	ChangeMap string
	Progress  func(Progress) // may be nil
}

// PathResult is a finished backup and what it took.
type PathResult struct {
	Item
	Objects   int64   `json:"objects"` // put into the store
	ChangeMap bool    `json:"change_map"`
	MapLied   bool    `json:"map_lied"` // it left out a change, so that all was read
	Seconds   float64 `json:"seconds"`
}

// Backup backs a path or a stream up and returns the finished backup.
func (v *Vault) Backup(ctx context.Context, p PathBackup) (PathResult, error) {
	began := v.clock.Now()
	c, err := v.caller(ctx, p.Project)
	if err != nil {
		return PathResult{}, err
	}
	given, err := readChangeMap(p.ChangeMap)
	if err != nil {
		return PathResult{}, err
	}
	src, err := v.openPath(ctx, &p)
	if err != nil {
		return PathResult{}, err
	}
	size := src.Size()
	attended := &worker.Attended{Watch: watcher(p.Progress)}
	if p.Stream != nil {
		attended.Stream = src
		defer src.Close() // it is gone then
	} else if err := src.Close(); err != nil {
		return PathResult{}, err
	}
	if attended.Changes, err = v.changes(ctx, c, p, given, size); err != nil {
		return PathResult{}, err
	}
	b, err := v.backUp(ctx, c, service.PathBackup{
		Volume: p.Volume, Path: p.Path, Bytes: size, Parent: p.Parent, Since: given.Since,
	}, attended)
	res := PathResult{Item: item(b), Objects: b.ObjectCount, Seconds: v.clock.Now().Sub(began).Seconds()}
	if r := attended.Result; r != nil {
		res.ChangeMap, res.MapLied = r.ChangeMap, r.MapLied
	}
	return res, err
}

func (v *Vault) backUp(ctx context.Context, c backup.Caller, p service.PathBackup, a *worker.Attended) (backup.Backup, error) {
	b, job, err := v.service.CreatePathBackup(ctx, c, p)
	if err != nil {
		return b, err
	}
	a.Backup = b.ID
	if err := v.runWith(ctx, job, v.worker.Attend(a)); err != nil {
		if now, serr := v.service.Backup(ctx, c, b.ID); serr == nil && now.FailReason != "" {
			err = fmt.Errorf("%s (%w)", now.FailReason, err)
		}
		return b, err
	}
	return v.service.Backup(ctx, c, b.ID)
}

// openPath opens what is backed up, and makes the path the one that the job
// knows it by.
func (v *Vault) openPath(ctx context.Context, p *PathBackup) (*volume.FileSource, error) {
	if p.Stream == nil {
		var err error
		if p.Path, err = filepath.Abs(p.Path); err != nil {
			return nil, err
		}
		return volume.OpenFileSource(p.Path)
	}
	p.Path = "-"
	src, err := volume.Spool(ctx, v.cfg.Data, p.Stream)
	if err == nil && ctx.Err() != nil { // whoever wrote it was interrupted too: it may be cut off
		err = errors.Join(fmt.Errorf("given up: %w", context.Cause(ctx)), src.Close())
	}
	return src, err
}

func readChangeMap(path string) (m changemap.Map, err error) {
	if path == "" {
		return m, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return m, fmt.Errorf("change map: %w", err)
	}
	if m, err = changemap.Parse(f); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return m, errors.Join(err, f.Close())
}

// changes returns the change map for a volume of size bytes; nil for none.
func (v *Vault) changes(
	ctx context.Context, c backup.Caller, p PathBackup, given changemap.Map, size int64,
) (*vault.ChangeMap, error) {
	if p.ChangeMap == "" {
		return nil, nil
	}
	id, err := v.service.PathVolume(ctx, c, p.Volume)
	if err != nil {
		return nil, err
	}
	m, err := given.For(id, size, p.Parent)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.ChangeMap, err)
	}
	return m, nil
}
