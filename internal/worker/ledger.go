package worker

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/vault"
)

// ledger keeps one vault's packs for a job that collects it. The collection's
// session is a step of the job's, its token the attempt.
type ledger struct {
	db     *catalog.DB
	run    *jobs.Run
	oldest int64 // epoch of the oldest open session that a survey has met; 0 before the first
}

// stepOf returns the id of the session of one step of a job.
func stepOf(jobID, step string) (vault.ID, error) {
	id, err := uuid.Parse(jobID)
	if err != nil {
		return vault.ID{}, fmt.Errorf("job id %q: %w", jobID, err)
	}
	return vault.ID(uuid.NewSHA1(id, []byte(step))), nil
}

// Survey opens the collection's session or takes it over, and then reads the
// vault in one snapshot: it need not be of the same moment, since what is
// removed was condemned before and waits for older sessions anyway.
func (l *ledger) Survey(ctx context.Context, s vault.SessionRef, pack func(vault.PackRow) error) (vault.Survey, error) {
	err := l.update(ctx, func(tx *catalog.Tx) error {
		return tx.OpenCollection(ctx, catalog.BeginSession{ID: s.Session, Vault: s.Vault, Token: s.Token, JobID: l.run.Job.ID})
	})
	if err != nil {
		return vault.Survey{}, err
	}
	var v catalog.Survey
	err = l.db.View(ctx, func(tx *catalog.Tx) (err error) {
		if v, err = tx.Survey(ctx, s.Vault); err != nil {
			return err
		}
		return tx.EachPack(ctx, s.Vault, func(r catalog.PackRow) error {
			row, err := packRow(r)
			if err != nil {
				return err
			}
			return pack(row)
		})
	})
	if err != nil {
		return vault.Survey{}, err
	}
	if l.oldest == 0 || v.Oldest < l.oldest {
		l.oldest = v.Oldest
	}
	return survey(v), nil
}

func survey(v catalog.Survey) vault.Survey {
	out := vault.Survey{
		Epoch: v.Vault.Epoch, Announced: v.Vault.Announced, Incarnation: v.Vault.Incarnation, Oldest: v.Oldest,
		Roots:    make([]vault.Root, len(v.Roots)),
		Sessions: make(map[vault.ID]bool, len(v.Sessions)),
		Dead:     v.Dead, Hold: v.Vault.Hold,
	}
	for i, r := range v.Roots {
		out.Roots[i] = vault.Root{Record: vault.RecordRef{Object: r.Object, Hash: r.Hash}, Map: r.Map}
	}
	for _, s := range v.Segments {
		out.Segments = append(out.Segments, vault.SegmentRef{Object: s.Object, Size: s.Size})
	}
	for id, ended := range v.Sessions {
		out.Sessions[id] = ended
	}
	return out
}

func packRow(r catalog.PackRow) (vault.PackRow, error) {
	row := vault.PackRow{Placement: placement(r.Pack), Epoch: r.Epoch, Session: r.Session}
	switch r.State {
	case catalog.Uncommitted:
		row.State = vault.Uncommitted
	case catalog.Writable:
		row.State = vault.Writable
	case catalog.Condemned:
		row.State = vault.Condemned
	default:
		return row, fmt.Errorf("pack %s is in the state %q", row.Pack, r.State)
	}
	return row, nil
}

// Condemn takes generations out of the writable set.
func (l *ledger) Condemn(ctx context.Context, s vault.SessionRef, packs []vault.PackGen) (epoch int64, err error) {
	err = l.update(ctx, func(tx *catalog.Tx) (err error) {
		epoch, err = tx.Condemn(ctx, sessionRef(s), generations(packs))
		return err
	})
	return epoch, err
}

// Switch replaces generations by what the collection has made durable.
func (l *ledger) Switch(ctx context.Context, s vault.SessionRef, w vault.Switch) (epoch int64, err error) {
	c := catalog.Switch{New: packs(w.New), Gone: generations(w.Gone), Merged: w.Merged, Dead: w.Dead}
	if w.Segment != nil {
		c.Segment = &catalog.Segment{Object: w.Segment.Object, Size: w.Segment.Size}
	}
	err = l.update(ctx, func(tx *catalog.Tx) (err error) {
		epoch, err = tx.Switch(ctx, sessionRef(s), c)
		return err
	})
	return epoch, err
}

// Forget drops dead objects that are gone.
func (l *ledger) Forget(ctx context.Context, s vault.SessionRef, objects []string, done bool) error {
	return l.update(ctx, func(tx *catalog.Tx) error { return tx.Forget(ctx, sessionRef(s), objects, done) })
}

// update runs a transaction of the job's attempt.
func (l *ledger) update(ctx context.Context, fn func(*catalog.Tx) error) error {
	return fenced(l.db.Update(ctx, func(tx *catalog.Tx) error {
		if err := l.run.Guard(ctx, tx); err != nil {
			return err
		}
		return fn(tx)
	}))
}

func generations(packs []vault.PackGen) []catalog.PackGen {
	all := make([]catalog.PackGen, len(packs))
	for i, p := range packs {
		all[i] = catalog.PackGen{ID: p.Pack, Generation: p.Generation}
	}
	return all
}
