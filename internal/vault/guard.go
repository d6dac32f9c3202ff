package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

// ErrOldCatalog is wrapped where a vault's store says that its catalog is an
// old one, brought back from a dump or a lagging replica, or that another one
// has taken its place. Nothing may be written by it: what it believes to be
// free may be in use. Recovery makes a catalog that fits the store.
var ErrOldCatalog = errors.New("the catalog is not the newest of this store's vault: recover it from the store")

// sighting is what a store says of the catalogs of a vault.
type sighting struct {
	vault       ID
	epoch       int64 // the newest that was announced there, 0 for none
	incarnation ID    // the newest, if there is one
	taken       bool  // there is one
}

// sight looks at the store. It comes before the catalog is asked what it has
// announced: what the store shows by then, the newest catalog knows.
func (r *reader) sight(ctx context.Context) (sighting, error) {
	s := sighting{vault: r.vault}
	var err error
	if s.epoch, _, err = r.newest(ctx, format.Epochs, format.KindEpoch, sealing.EpochLabel); err != nil {
		return s, err
	}
	number, who, err := r.newest(ctx, format.Incarnations, format.KindIncarnation, sealing.IncarnationLabel)
	s.incarnation, s.taken = who, number > 0
	return s, err
}

// check fails where the store knew of a newer state of the catalog than the
// catalog itself: an epoch that it has not announced, or another incarnation.
func (s sighting) check(announced int64, incarnation ID) error {
	if s.epoch > announced {
		return fmt.Errorf("vault %s: %w (it knows epoch %d, the store %d)", s.vault, ErrOldCatalog, announced, s.epoch)
	}
	if s.taken && s.incarnation != incarnation {
		return fmt.Errorf("vault %s: %w (incarnation %s took over from %s)", s.vault, ErrOldCatalog, s.incarnation, incarnation)
	}
	return nil
}

// newest returns the highest number, and whose it is, of the objects of a room
// of numbered ones; 0 for none. Objects that the vault's keys don't open were
// put by nobody who may: they don't count.
func (r *reader) newest(ctx context.Context, room format.Room, kind format.Kind, label sealing.Label) (int64, ID, error) {
	best, by := int64(0), ID{}
	err := r.store.List(ctx, format.RoomPrefix(r.vault, room), func(o blob.Info) error {
		n, err := format.ParseNumbered(r.vault, room, o.Name)
		if err != nil || n.Number <= best {
			return nil //nolint:nilerr // not one of ours
		}
		_, plain, _, err := r.whole(ctx, o.Name, kind, label)
		if errors.Is(err, ErrCorrupt) {
			return nil // or deleted since, for a newer one
		}
		if err != nil {
			return err
		}
		if len(plain) == numberedSize && int64(binary.LittleEndian.Uint64(plain)) == n.Number && ID(plain[8:]) == n.Who {
			best, by = n.Number, n.Who
		}
		return nil
	})
	if err != nil {
		return 0, ID{}, fmt.Errorf("look for %s of vault %s: %w", room, r.vault, err)
	}
	return best, by, nil
}

// numberedSize is the size of the content: the number and whose it is.
const numberedSize = 8 + 16

// putEpoch puts an epoch that the ledger has announced. It comes before the
// first delete that follows from that epoch.
func (w *writer) putEpoch(ctx context.Context, epoch int64) error {
	return w.putNumbered(ctx, format.Epochs, format.KindEpoch, sealing.EpochLabel, epoch, w.ref.Session)
}

// putIncarnation puts the writer's incarnation as the vault's n-th.
func (w *writer) putIncarnation(ctx context.Context, n int64) error {
	return w.putNumbered(ctx, format.Incarnations, format.KindIncarnation, sealing.IncarnationLabel, n, w.incarnation)
}

func (w *writer) putNumbered(ctx context.Context, room format.Room, kind format.Kind, label sealing.Label, n int64, who ID) error {
	random, err := w.random()
	if err != nil {
		return err
	}
	plain := binary.LittleEndian.AppendUint64(make([]byte, 0, numberedSize), uint64(n))
	_, err = w.putWhole(ctx, whole{
		name: format.Numbered{Vault: w.v.id, Room: room, Number: n, Who: who, Random: random}.String(),
		kind: kind, label: label, plain: append(plain, who[:]...),
	})
	return err
}
