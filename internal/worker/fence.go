package worker

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/vault"
)

// fence orders one job's session by the catalog. The session is the job's,
// its token the attempt.
type fence struct {
	db     *catalog.DB
	run    *jobs.Run // nil for a reader
	backup string    // the backup that the session makes
	parent string    // the backup that it is compared with; empty: the newest of its volume
	commit func(ctx context.Context, tx *catalog.Tx, c vault.Commit) error
}

// sessionOf returns the id of a job's session.
func sessionOf(jobID string) (vault.ID, error) {
	id, err := uuid.Parse(jobID)
	if err != nil {
		return vault.ID{}, fmt.Errorf("job id %q: %w", jobID, err)
	}
	return vault.ID(id), nil
}

// Begin opens or takes over the session. What it may refer to is read after
// that has been committed, so that the vault's row isn't locked meanwhile:
// what is condemned later waits for the session, and what was condemned
// before is not there.
func (f *fence) Begin(ctx context.Context, s vault.SessionRef) (vault.Begun, error) {
	var sess catalog.Session
	err := f.db.Update(ctx, func(tx *catalog.Tx) (err error) {
		sess, err = f.begin(ctx, tx, s)
		return err
	})
	if err != nil {
		return vault.Begun{}, fenced(err)
	}
	var b vault.Begun
	err = f.db.View(ctx, func(tx *catalog.Tx) error {
		b = vault.Begun{}
		return f.describe(ctx, tx, s, sess, &b)
	})
	return b, err
}

// begin takes the session, with the backup that was named as its parent, or
// the newest available one of the same volume.
func (f *fence) begin(ctx context.Context, tx *catalog.Tx, s vault.SessionRef) (catalog.Session, error) {
	if err := f.run.Guard(ctx, tx); err != nil {
		return catalog.Session{}, err
	}
	b, err := tx.AnyBackup(ctx, f.backup)
	if err != nil {
		return catalog.Session{}, err
	}
	if b.Status != backup.Creating {
		return catalog.Session{}, backup.Errorf(backup.Canceled, "backup %s is %s", b.ID, b.Status)
	}
	parent := f.parent
	if parent == "" {
		if parent, err = latest(ctx, tx, b); err != nil {
			return catalog.Session{}, err
		}
	}
	return tx.BeginSession(ctx, catalog.BeginSession{
		ID: s.Session, Vault: s.Vault, JobID: f.run.Job.ID, BackupID: f.backup, Token: s.Token, ParentBackup: parent,
	})
}

// latest returns the id of the backup that b is best compared with, empty
// for none. It is the newest of its volume, whatever b's label says.
func latest(ctx context.Context, tx *catalog.Tx, b backup.Backup) (string, error) {
	parent, ok, err := tx.LatestBackup(ctx, b.ProjectID, b.VolumeID, b.DataTimestamp)
	if err != nil || !ok {
		return "", err
	}
	return parent.ID, nil
}

// describe fills in what the session goes on from.
func (f *fence) describe(ctx context.Context, tx *catalog.Tx, s vault.SessionRef, sess catalog.Session, b *vault.Begun) error {
	row, err := tx.Vault(ctx, s.Vault)
	if err != nil {
		return err
	}
	b.Epoch, b.Announced, b.Incarnation = sess.Epoch, row.Announced, row.Incarnation
	if sess.ParentBackup != "" {
		rec, err := tx.BackupRecord(ctx, sess.ParentBackup)
		if err != nil {
			return err
		}
		b.Parent = &vault.RecordRef{Object: rec.Object, Hash: rec.Hash}
	}
	segments, err := tx.Segments(ctx, s.Vault)
	if err != nil {
		return err
	}
	for _, g := range segments {
		b.Segments = append(b.Segments, vault.SegmentRef{Object: g.Object, Size: g.Size})
	}
	packs, err := tx.SessionPacks(ctx, s.Session)
	if err != nil {
		return err
	}
	for _, p := range packs {
		b.Generations = append(b.Generations, placement(p))
	}
	if c := sess.Checkpoint; c != nil {
		b.Resume = &vault.Checkpoint{SourceState: c.SourceState, Offset: c.Offset, State: c.State}
	}
	return nameable(ctx, tx, s.Vault, b)
}

// nameable reads which packs new references may name.
func nameable(ctx context.Context, tx *catalog.Tx, id vault.ID, b *vault.Begun) error {
	damage, err := tx.Damage(ctx, id)
	if err != nil {
		return err
	}
	damaged := make(map[catalog.ID]bool, len(damage))
	for _, d := range damage {
		if !d.Spare {
			damaged[d.Pack] = true
			b.Damaged = append(b.Damaged, d.Pack)
		}
	}
	return tx.Writable(ctx, id, func(pack catalog.ID, generation uint32) error {
		if !damaged[pack] {
			b.Writable = append(b.Writable, vault.PackGen{Pack: pack, Generation: generation})
		}
		return nil
	})
}

// Checkpoint records how far the session got.
func (f *fence) Checkpoint(ctx context.Context, s vault.SessionRef, c vault.Checkpoint) error {
	return fenced(f.db.Update(ctx, func(tx *catalog.Tx) error {
		if err := f.run.Guard(ctx, tx); err != nil {
			return err
		}
		return tx.CheckpointSession(ctx, sessionRef(s), catalog.Checkpoint{
			SourceState: c.SourceState, Offset: c.Offset, State: c.State, Packs: packs(c.Packs),
		})
	}))
}

// Commit ends the session and the job, and makes the backup available.
func (f *fence) Commit(ctx context.Context, s vault.SessionRef, c vault.Commit) error {
	return fenced(f.db.Update(ctx, func(tx *catalog.Tx) error {
		if err := f.run.Guard(ctx, tx); err != nil {
			return err
		}
		var segment *catalog.Segment
		if c.Segment != nil {
			segment = &catalog.Segment{Object: c.Segment.Object, Size: c.Segment.Size}
		}
		if err := tx.CommitSession(ctx, sessionRef(s), packs(c.Packs), segment); err != nil {
			return err
		}
		if err := f.commit(ctx, tx, c); err != nil {
			return err
		}
		return f.run.Done(ctx, tx)
	}))
}

// Locate returns where packs lie.
func (f *fence) Locate(ctx context.Context, id vault.ID, ids []vault.ID) ([]vault.Placement, error) {
	keys := make([]catalog.ID, len(ids))
	for i, p := range ids {
		keys[i] = p
	}
	out := make([]vault.Placement, len(ids))
	err := f.db.View(ctx, func(tx *catalog.Tx) error {
		rows, err := tx.Packs(ctx, id, keys)
		for i, r := range rows {
			out[i] = placement(r)
		}
		return err
	})
	return out, err
}

// fenced turns the catalog's and the queue's word for a lost session into
// the vault's.
func fenced(err error) error {
	if errors.Is(err, catalog.ErrFenced) || errors.Is(err, jobs.ErrLost) {
		return fmt.Errorf("%w: %w", vault.ErrFenced, err)
	}
	return err
}

func sessionRef(s vault.SessionRef) catalog.SessionRef {
	return catalog.SessionRef{Vault: s.Vault, ID: s.Session, Token: s.Token}
}

func packs(ps []vault.Placement) []catalog.Pack {
	rows := make([]catalog.Pack, len(ps))
	for i, p := range ps {
		rows[i] = catalog.Pack{
			ID: p.Pack, Generation: p.Generation, Kind: uint8(p.Kind), Object: p.Object,
			Offset: p.Offset, Length: p.Length, DirOffset: p.DirOffset,
			DirObject: p.DirObject, DirAt: p.DirAt, Live: p.Live,
		}
	}
	return rows
}

func placement(r catalog.Pack) vault.Placement {
	return vault.Placement{
		Pack: r.ID, Generation: r.Generation, Kind: vault.PackKind(r.Kind), Object: r.Object,
		Offset: r.Offset, Length: r.Length, DirOffset: r.DirOffset,
		DirObject: r.DirObject, DirAt: r.DirAt, Live: r.Live,
	}
}
