package vault

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

// orphansAtOnce bounds the orphans that one sweep removes; the next one goes
// on.
const orphansAtOnce = 64 << 10

// sweep lists rooms: it notes how large objects are, deletes those that a
// Switch called dead, and then orphans, which ended sessions left and nothing
// names. An object of a session that is open, or that the catalog doesn't know,
// is left alone, whatever it is.
//
// A session that has ended neither puts anything into the catalog any more nor
// refers to what it has put; so what the survey, which tells of the end, has no
// row for, never gets one.
func (c *collection) sweep(ctx context.Context, v *inventory, rooms ...format.Room) error {
	var orphans []string
	size := int64(0)
	for _, room := range rooms {
		err := c.v.cfg.Store.List(ctx, format.RoomPrefix(c.v.id, room), func(o blob.Info) error {
			if i := c.objects.find(o.Name); i >= 0 && c.objects.all[i].rows > 0 {
				c.objects.all[i].size = uint32(min(o.Size, blob.MaxSize))
				return nil
			}
			if len(orphans) == orphansAtOnce {
				return nil
			}
			orphan, err := c.orphan(ctx, v, room, o.Name)
			if err != nil || !orphan {
				return err
			}
			orphans = append(orphans, o.Name)
			size += o.Size
			return nil
		})
		if err != nil {
			return fmt.Errorf("list %s of vault %s: %w", room, c.v.id, err)
		}
	}
	if err := c.bury(ctx, v.Dead); err != nil {
		return err
	}
	if len(orphans) == 0 {
		return nil
	}
	// A catalog of before the sessions' end would go on with them: it must
	// not write any more.
	epoch, err := c.req.Ledger.Condemn(ctx, c.req.Session, nil)
	if err != nil {
		return fmt.Errorf("announce an epoch: %w", err)
	}
	c.announced = max(c.announced, epoch)
	if err := c.remove(ctx, orphans); err != nil {
		return err
	}
	c.res.Orphans += len(orphans)
	c.res.Freed += size
	return nil
}

// orphan reports whether an object that nothing names can go.
func (c *collection) orphan(ctx context.Context, v *inventory, room format.Room, name string) (bool, error) {
	if room == format.Records {
		return c.orphanRecord(ctx, v, name)
	}
	session, ok := format.ParseSession(c.v.id, room, name)
	if !ok || !v.ended(session) {
		return false, nil
	}
	// Nothing names placement segments: they are of use as long as a
	// generation of their session is there.
	return room != format.Placements || !v.writers[session], nil
}

// orphanRecord reports whether a record that no backup has can go. Only an
// authentic one tells whose it is.
func (c *collection) orphanRecord(ctx context.Context, v *inventory, name string) (bool, error) {
	n, err := format.ParseRecordName(name)
	if err != nil || n.Vault != c.v.id {
		return false, nil //nolint:nilerr // not one of ours
	}
	h, _, _, err := c.w.read.whole(ctx, name, format.KindRecord, sealing.RecordLabel)
	if errors.Is(err, ErrCorrupt) {
		return false, nil // or deleted since
	}
	return err == nil && h.Identity == n.Backup && v.ended(h.Session), err
}
