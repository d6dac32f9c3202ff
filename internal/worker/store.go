package worker

import (
	"context"
	"errors"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/volume"
)

// Progress is what a running job says of itself, in bytes.
type Progress struct {
	Done    int64 `json:"done"`
	Size    int64 `json:"size"`
	Read    int64 `json:"read,omitempty"`
	New     int64 `json:"new,omitempty"`
	Stored  int64 `json:"stored,omitempty"`
	Reached int64 `json:"reached,omitempty"` // of a restore: durable below this offset
}

// source is an open source of bytes and the name of the instant it shows.
type source struct {
	*volume.FileSource
	state string // empty: the source may change; a restarted job reads it anew
}

// store reads a backup's source into the project's vault.
func (w *Worker) store(ctx context.Context, r *jobs.Run, p service.BackupWork) error {
	b, err := w.backup(ctx, p.BackupID)
	if err != nil {
		return err
	}
	src, held, err := w.openPath(b, p)
	if err != nil {
		return err
	}
	if !held {
		defer src.Close()
	}
	b.Bytes = src.Size()

	id, err := w.Vaults.For(ctx, b.ProjectID)
	if err != nil {
		return err
	}
	session, err := sessionOf(r.Job.ID)
	if err != nil {
		return err
	}
	ref := vault.SessionRef{Vault: id, Session: session, Token: r.Job.Attempt}
	f := &fence{db: w.DB, run: r, backup: b.ID, parent: p.ParentID, commit: w.committer(r.Job, p, b, id, src.state)}
	v, err := w.Vaults.Open(ctx, id, f)
	if err != nil {
		return err
	}
	changes, err := w.changes(ctx, f, ref, b, src)
	if err != nil {
		return err
	}
	attended := w.attends(b.ID)
	if attended.Changes != nil {
		changes = attended.Changes
	}
	info, err := w.recordInfo(ctx, b)
	if err != nil {
		return err
	}
	res, err := v.Backup(ctx, vault.BackupRequest{
		Session: ref, Info: info, Source: src, SourceState: src.state, Changes: changes, Compression: w.Compression,
		Progress: func(p vault.Progress) {
			w.tell(r, Progress{Done: p.Done, Size: p.Size, Read: p.Read, New: p.New, Stored: p.Stored})
		},
	})
	if err != nil {
		return err
	}
	attended.Result = &res
	w.Metrics.Bytes(res.Read, res.New, res.Stored)
	if res.MapLied {
		w.Log.WarnContext(ctx, "the change map left out a change; everything was read", "backup_id", b.ID)
	}
	return nil
}

// openSource opens what a backup is made of.
func (w *Worker) openSource(b backup.Backup, path string) (*source, error) {
	src := &source{}
	var err error
	if path == "" {
		src.state = stateOf(b)
		path, err = w.instantPath(b.VolumeID, src.state)
	}
	if err != nil {
		return nil, err
	}
	if src.FileSource, err = volume.OpenFileSource(path); err != nil {
		return nil, err
	}
	if size := src.Size(); src.state != "" && size < b.SizeGiB*backup.GiB {
		return nil, errors.Join(&volume.SourceError{Path: path, Offset: size, Err: errShort}, src.Close())
	}
	return src, nil
}

// errShort says that somebody else has cut a volume's file.
var errShort = errors.New("its file is shorter than the volume")

// committer returns what the session's commit does to the backup.
func (w *Worker) committer(
	job jobs.Job, p service.BackupWork, b backup.Backup, id vault.ID, state string,
) func(context.Context, *catalog.Tx, vault.Commit) error {
	return func(ctx context.Context, tx *catalog.Tx, c vault.Commit) error {
		b := b
		b.Stats = backup.Stats{Read: c.Result.Read, New: c.Result.New, Stored: c.Result.Stored}
		b.ObjectCount = c.Result.Objects
		err := w.Service.BackupStored(ctx, tx, job, p, b, catalog.Record{
			Vault: id, Object: c.Record.Object, Hash: c.Record.Hash, Map: c.Map, SourceState: state,
		})
		if err != nil {
			return err
		}
		if err := w.releaseParent(ctx, tx, b.ID); err != nil {
			return err
		}
		return w.afterCommit(ctx, tx, job)
	}
}

// afterCommit starts what a session's commit makes possible: the end of a
// collection that waited for it, and healing with what the backup has read.
func (w *Worker) afterCommit(ctx context.Context, tx *catalog.Tx, job jobs.Job) error {
	session, err := sessionOf(job.ID)
	if err != nil {
		return err
	}
	ended, known, err := tx.Session(ctx, session)
	if err != nil || !known {
		return err
	}
	if err := w.Service.SessionEnded(ctx, tx, ended, true); err != nil {
		return err
	}
	return w.Service.HealSoon(ctx, tx, job.ProjectID, ended.Vault)
}

// releaseParent starts what waited for a session's pin of its parent to end.
func (w *Worker) releaseParent(ctx context.Context, tx *catalog.Tx, backupID string) error {
	parents, err := tx.SessionParents(ctx, backupID)
	if err != nil {
		return err
	}
	for _, p := range parents {
		if err := w.Service.BackupReleased(ctx, tx, p); err != nil {
			return err
		}
	}
	return nil
}

// changes asks the file system what differs between the parent's instant and
// this one; nil where it can't say or where a full backup was asked for.
func (w *Worker) changes(ctx context.Context, f *fence, ref vault.SessionRef, b backup.Backup, src *source) (*vault.ChangeMap, error) {
	if !b.Incremental || src.state == "" {
		return nil, nil
	}
	var parent catalog.Record
	err := w.DB.Update(ctx, func(tx *catalog.Tx) error {
		parent = catalog.Record{}
		sess, err := f.begin(ctx, tx, ref)
		if err != nil || sess.ParentBackup == "" {
			return err
		}
		parent, err = tx.BackupRecord(ctx, sess.ParentBackup)
		return err
	})
	if err != nil || parent.SourceState == "" {
		return nil, fenced(err)
	}
	extents, ok := w.changed(ctx, b.VolumeID, parent.SourceState, src.state)
	if !ok {
		return nil, ctx.Err() // reading everything is always right
	}
	m := &vault.ChangeMap{Since: parent.SourceState, Extents: make([]vault.Extent, len(extents))}
	for i, e := range extents {
		m.Extents[i] = vault.Extent{Offset: e.Offset, Length: e.Length}
	}
	return m, nil
}

// changed returns what differs between two instants of a volume, and false
// where the file system can't say.
func (w *Worker) changed(ctx context.Context, volumeID, before, after string) ([]volume.Extent, bool) {
	older, err := w.instantPath(volumeID, before)
	if err != nil {
		return nil, false
	}
	newer, err := w.instantPath(volumeID, after)
	if err != nil {
		return nil, false
	}
	extents, ok, err := volume.Changes(ctx, older, newer)
	if err != nil {
		w.Log.WarnContext(ctx, "the file system's account of changes is not usable", "volume_id", volumeID, "error", err)
	}
	return extents, ok && err == nil
}

// storeFailed gives the backup's session up for good.
func (w *Worker) storeFailed(ctx context.Context, tx *catalog.Tx, job jobs.Job, p service.BackupWork, cause error) error {
	session, err := sessionOf(job.ID)
	if err != nil {
		return err
	}
	ended, known, err := tx.EndingSession(ctx, session)
	if err != nil {
		return err
	}
	if err := tx.AbandonSession(ctx, session); err != nil {
		return err
	}
	if err := w.releaseParent(ctx, tx, p.BackupID); err != nil {
		return err
	}
	if err := w.Service.BackupFailed(ctx, tx, job, p, reason(cause)); err != nil || !known {
		return err
	}
	if err := w.Service.SessionEnded(ctx, tx, ended, false); err != nil {
		return err
	}
	return w.damaged(ctx, tx, ended.Vault, cause, func(marks []catalog.Damage) error {
		return w.Service.DamageFound(ctx, tx, job.ProjectID, ended.Vault, marks, service.VaultWork{})
	})
}
