package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

const (
	deletesAtOnce = 16
	forgetAtOnce  = 1 << 10
)

// bury deletes objects that a committed Switch called dead, and has the ledger
// forget them.
func (c *collection) bury(ctx context.Context, dead []string) error {
	for part := range slices.Chunk(dead, forgetAtOnce) {
		if err := c.remove(ctx, part); err != nil {
			return err
		}
		c.res.Deleted += len(part)
		if err := c.req.Ledger.Forget(ctx, c.req.Session, part, false); err != nil {
			return fmt.Errorf("forget dead objects: %w", err)
		}
	}
	return nil
}

// remove deletes objects. Before the first that follows from an epoch, this
// epoch is put: a catalog of before it must not write any more.
func (c *collection) remove(ctx context.Context, names []string) error {
	if err := c.announce(ctx); err != nil {
		return err
	}
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(deletesAtOnce)
	for _, name := range names {
		if running.Err() != nil {
			break
		}
		if i := c.objects.find(name); i >= 0 {
			c.res.Freed += int64(c.objects.all[i].size)
		}
		group.Go(func() error { return c.v.cfg.Store.Delete(running, name) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("delete objects: %w", err)
	}
	return context.Cause(ctx)
}

// announce puts the newest epoch that the ledger has told of, where the store
// hasn't got it, makes sure that no other catalog has put one, and removes
// older ones.
func (c *collection) announce(ctx context.Context) error {
	if c.put == c.announced {
		return nil
	}
	older, there, err := c.epochs(ctx)
	if err != nil {
		return err
	}
	if !there {
		if err := c.w.putEpoch(ctx, c.announced); err != nil {
			return err
		}
		// Another catalog may have done the same in the same moment.
		if older, _, err = c.epochs(ctx); err != nil {
			return err
		}
	}
	c.put = c.announced
	for _, name := range older {
		if err := c.v.cfg.Store.Delete(ctx, name); err != nil {
			return fmt.Errorf("delete older epochs: %w", err)
		}
	}
	return nil
}

// epochs returns the names of epoch objects that are older than the newest
// that the ledger has told of, and whether this one is there. One that this
// catalog has not put, and that is not older, is another catalog's.
func (c *collection) epochs(ctx context.Context) (older []string, there bool, err error) {
	err = c.v.cfg.Store.List(ctx, format.RoomPrefix(c.v.id, format.Epochs), func(o blob.Info) error {
		n, err := format.ParseNumbered(c.v.id, format.Epochs, o.Name)
		switch {
		case err != nil:
			return nil //nolint:nilerr // not one of ours
		case n.Number < c.announced:
			if len(older) < forgetAtOnce {
				older = append(older, o.Name)
			}
			return nil
		}
		ours := n.Number == c.announced && c.knows(n.Who)
		_, plain, _, err := c.w.read.whole(ctx, o.Name, format.KindEpoch, sealing.EpochLabel)
		if errors.Is(err, ErrCorrupt) {
			return nil // put by nobody who may
		}
		if err != nil {
			return err
		}
		if len(plain) != numberedSize || int64(binary.LittleEndian.Uint64(plain)) != n.Number || ID(plain[8:]) != n.Who {
			return nil
		}
		if !ours {
			return c.foreign(ctx, n)
		}
		there = true
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("look for epochs of vault %s: %w", c.v.id, err)
	}
	return older, there, nil
}

// knows reports whether the last survey told of a session, or it is the
// collection's own.
func (c *collection) knows(session ID) bool {
	_, ok := c.sessions[session]
	return ok || session == c.req.Session.Session
}

// foreign looks again at an epoch that this catalog doesn't seem to have put:
// another collection of its own may have since.
func (c *collection) foreign(ctx context.Context, n format.Numbered) error {
	v, err := c.req.Ledger.Survey(ctx, c.req.Session, func(PackRow) error { return nil })
	if err != nil {
		return fmt.Errorf("survey vault %s: %w", c.v.id, err)
	}
	if _, ok := v.Sessions[n.Who]; ok && n.Number <= v.Announced {
		return nil
	}
	return fmt.Errorf("vault %s: %w (epoch %d was put by another catalog)", c.v.id, ErrOldCatalog, n.Number)
}

// checkRecords fails where the store has a record of which the catalog knows
// neither the backup nor the session: then the catalog is older than that
// backup, and would take its packs for nobody's.
func (c *collection) checkRecords(ctx context.Context, v *inventory) error {
	known := make(map[ID]bool, len(v.Roots))
	for i := range v.Roots {
		if n, err := format.ParseRecordName(v.Roots[i].Record.Object); err == nil {
			known[n.Backup] = true
		}
	}
	unknown := map[string]ID{}
	err := c.v.cfg.Store.List(ctx, format.RoomPrefix(c.v.id, format.Records), func(o blob.Info) error {
		n, err := format.ParseRecordName(o.Name)
		if err != nil || known[n.Backup] {
			return nil //nolint:nilerr // not one of ours
		}
		session, ok, err := c.recordSession(ctx, o.Name)
		if err != nil || !ok {
			return err
		}
		if _, ok := v.Sessions[session]; !ok {
			unknown[o.Name] = session
			if len(unknown) > forgetAtOnce {
				return fmt.Errorf("%w (it knows neither the backup nor the session of record %s)", ErrOldCatalog, o.Name)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check records of vault %s: %w", c.v.id, err)
	}
	if len(unknown) == 0 {
		return nil
	}
	// A session may have begun since the survey.
	again, err := c.req.Ledger.Survey(ctx, c.req.Session, func(PackRow) error { return nil })
	if err != nil {
		return fmt.Errorf("survey vault %s: %w", c.v.id, err)
	}
	for name, session := range unknown {
		if _, ok := again.Sessions[session]; !ok {
			return fmt.Errorf("vault %s: %w (it knows neither the backup nor the session of record %s)", c.v.id, ErrOldCatalog, name)
		}
	}
	return nil
}

// recordSession returns the session that wrote a record, and whether there is
// such a record. One that the vault's keys don't open is nobody's backup: it was
// put by nobody who may, or is lost already.
func (c *collection) recordSession(ctx context.Context, name string) (ID, bool, error) {
	rec, err := c.w.read.record(ctx, RecordRef{Object: name})
	if errors.Is(err, ErrCorrupt) {
		c.v.cfg.Log.WarnContext(ctx, "a record of an unknown backup can't be read", "object", name, "error", err)
		return ID{}, false, nil
	}
	return rec.Session, err == nil, err
}
