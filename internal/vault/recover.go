package vault

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/sealing"
)

// RecoverRequest says how a vault is recovered.
type RecoverRequest struct {
	ReadData bool // all groups of the packs that backups need are read too
	Progress func(RecoverProgress)
}

// RecoverProgress is how far a recovery got.
type RecoverProgress struct {
	Step RecoverStep
	Done int64 // of Size, where that isn't 0: packs or backups
	Size int64
}

// RecoverStep is a part of a recovery.
type RecoverStep string

// The steps, in their order.
const (
	RecoverScan  RecoverStep = "reading where packs lie"
	RecoverProve RecoverStep = "checking packs"
	RecoverCheck RecoverStep = "checking backups"
)

// Recovered is what a store holds of a vault: all that a new catalog needs to
// know of it.
type Recovered struct {
	Vault    ID
	Epoch    int64             // the newest that a catalog announced there, 0 for none
	Backups  []RecoveredBackup // the oldest data first
	Segments []SegmentRef      // of the index; hints
	Packs    int64             // whose directory opens
	Bytes    int64             // of these, as stored
	Report   VerifyReport      // of the backups whose record can be read

	v        *bareVault
	sessions map[ID]bool
}

// RecoveredBackup is a backup as it was found.
type RecoveredBackup struct {
	BareBackup
	Map    []byte         // see Root; empty where no record can be read
	Damage *DamagedBackup // nil: every page and block of it is there
}

// RecoveredPack is a pack as it was found.
type RecoveredPack struct {
	Placement
	Session ID // that wrote it; zero where the object's name doesn't say
	// Retired says that new references must not name it: either a later
	// generation is named somewhere and can't be read, so that blocks which only
	// this one has were no longer needed once; or its object is missing or
	// damaged, and what it held is known by the copy of its directory alone.
	Retired bool
}

// Recover reads all that a new catalog needs to know of a vault, and checks
// what its backups need. Of a pack the highest generation counts whose
// directory opens; of a backup the newest attempt, but an older one where that
// is whole and newer ones are not. Damage is no error: the result names it.
//
// Its memory grows with the numbers of packs, of pages and of backups, and not
// with their sizes: some 300 bytes for each pack.
func (b *Bare) Recover(ctx context.Context, id ID, req RecoverRequest) (*Recovered, error) {
	v, err := b.opened(id)
	if err != nil {
		return nil, fmt.Errorf("recover: %w", err)
	}
	if req.Progress == nil {
		req.Progress = func(RecoverProgress) {}
	}
	r := &recovery{
		Recovered: &Recovered{Vault: id, v: v, sessions: map[ID]bool{}}, b: b, req: req,
	}
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("recover vault %s: %w", id, err)
	}
	return r.Recovered, nil
}

// recovery is a recovery of one vault that runs.
type recovery struct {
	*Recovered
	b   *Bare
	req RecoverRequest
}

func (r *recovery) run(ctx context.Context) error {
	var err error
	if r.Epoch, _, err = r.v.reader().newest(ctx, format.Epochs, format.KindEpoch, sealing.EpochLabel); err != nil {
		return err
	}
	r.req.Progress(RecoverProgress{Step: RecoverScan})
	if err := r.places(ctx); err != nil {
		return err
	}
	if err := r.segments(ctx); err != nil {
		return err
	}
	return r.backups(ctx)
}

// places reads all hints of where packs lie, and then finds out of each pack
// which of them is right.
func (r *recovery) places(ctx context.Context) error {
	r.v.mu.Lock()
	defer r.v.mu.Unlock()
	t := newPlaceTable(r.v.id)
	if err := r.v.readSegments(ctx, t); err != nil {
		return err
	}
	r.v.places = t
	if err := r.v.scan(ctx); err != nil {
		return err
	}
	if err := r.proveAll(ctx, t); err != nil {
		return err
	}
	for first := 0; first < len(t.rows); {
		rows := t.pack(first)
		first += len(rows)
		c := bestOf(rows)
		if c == nil {
			continue
		}
		if c.proof == authentic {
			r.Packs++
			r.Bytes += int64(c.length)
		}
		for _, at := range []int32{c.object, c.copied} {
			if at < 0 {
				continue
			}
			if session, ok := t.writer(at); ok {
				r.sessions[session] = true
			}
		}
	}
	return nil
}

// proveAll finds of each pack the highest generation that authenticates.
func (r *recovery) proveAll(ctx context.Context, t *placeTable) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(footersAtOnce)
	reader := r.v.reader()
	var done atomic.Int64
	for first := 0; first < len(t.rows) && running.Err() == nil; {
		rows := t.pack(first)
		first += len(rows)
		if at := done.Load(); at%64 == 0 {
			r.req.Progress(RecoverProgress{Step: RecoverProve, Done: at, Size: int64(len(t.rows))})
		}
		group.Go(func() error {
			_, err := r.v.prove(running, reader, rows)
			done.Add(int64(len(rows)))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// segments finds the index segments that open.
func (r *recovery) segments(ctx context.Context) error {
	var found []SegmentRef
	err := r.v.each(ctx, format.Index, 1, func(ctx context.Context, o blob.Info) error {
		session, ok := format.ParseSession(r.v.id, format.Index, o.Name)
		if !ok || len(found) == maxSegments {
			return nil
		}
		if _, _, _, err := r.v.reader().whole(ctx, o.Name, format.KindIndex, sealing.IndexLabel); err != nil {
			return ignoreDamage(err)
		}
		r.sessions[session] = true
		found = append(found, SegmentRef{Object: o.Name, Size: o.Size})
		return nil
	})
	slices.SortFunc(found, func(a, b SegmentRef) int { return strings.Compare(a.Object, b.Object) })
	r.Segments = found
	return err
}

// maxSegments bounds the segments that are taken over; collections keep them
// few.
const maxSegments = 1 << 16

// backups checks the vault's backups.
func (r *recovery) backups(ctx context.Context) error {
	for i := range r.b.backups {
		if r.b.backups[i].Vault == r.Vault {
			r.Backups = append(r.Backups, RecoveredBackup{BareBackup: r.b.backups[i]})
		}
	}
	if err := r.verify(ctx); err != nil {
		return err
	}
	if older, err := r.older(ctx); err != nil {
		return err
	} else if older {
		slices.SortFunc(r.Backups, func(x, y RecoveredBackup) int { return compareBare(x.BareBackup, y.BareBackup) })
		if err := r.verify(ctx); err != nil {
			return err
		}
	}
	for i := range r.Backups {
		k := &r.Backups[i]
		if k.Err == nil {
			k.Map = maps.AppendRoot(nil, k.Record.Root, k.Record.Height)
			r.sessions[k.Record.Session] = true
		}
	}
	return nil
}

// verify checks what the backups need whose record can be read.
func (r *recovery) verify(ctx context.Context) error {
	var refs []RecordRef
	at := map[string]*RecoveredBackup{}
	for i := range r.Backups {
		k := &r.Backups[i]
		k.Damage = nil
		if k.Err != nil {
			name, err := format.ParseRecordName(k.Ref.Object)
			if err != nil {
				return err
			}
			k.Damage = &DamagedBackup{Backup: format.UUID(name.Backup), Record: k.Ref.Object, What: k.Err.Error(), Whole: true}
			continue
		}
		refs = append(refs, k.Ref)
		at[k.Ref.Object] = k
	}
	var err error
	if r.Report, err = r.check(ctx, refs); err != nil {
		return err
	}
	for i := range r.Report.DamagedBackups {
		d := &r.Report.DamagedBackups[i]
		at[d.Record].Damage = d
	}
	return nil
}

func (r *recovery) check(ctx context.Context, refs []RecordRef) (VerifyReport, error) {
	cfg := verifyConfig{r.v.reader(), r.v.peek, min(runtime.GOMAXPROCS(0), maxWorkers), rand.Reader}
	return verify(ctx, cfg, VerifyRequest{
		Backups: refs, ReadData: r.req.ReadData,
		Progress: func(p VerifyProgress) {
			r.req.Progress(RecoverProgress{Step: RecoverCheck, Done: p.Done, Size: p.Size})
		},
	})
}

// older takes another attempt at a damaged backup where that is whole, and
// reports whether there is one.
func (r *recovery) older(ctx context.Context) (bool, error) {
	found := false
	for i := range r.Backups {
		k := &r.Backups[i]
		if k.Damage == nil {
			continue
		}
		for _, name := range k.others {
			other, err := r.b.load(ctx, name)
			if err != nil {
				return false, err
			}
			if other.Err != nil {
				continue
			}
			report, err := r.check(ctx, []RecordRef{other.Ref})
			if err != nil {
				return false, err
			}
			if len(report.DamagedBackups) == 0 {
				k.BareBackup, found = other, true
				break
			}
		}
	}
	return found, nil
}

// EachPack calls fn with each pack that was found, in the order of their ids.
func (r *Recovered) EachPack(fn func(RecoveredPack) error) error {
	r.v.mu.Lock()
	defer r.v.mu.Unlock()
	t := r.v.places
	for first := 0; t != nil && first < len(t.rows); {
		rows := t.pack(first)
		first += len(rows)
		c := bestOf(rows)
		if c == nil {
			continue
		}
		p := RecoveredPack{Placement: t.placement(c)}
		p.Session, _ = t.writer(c.object)
		p.Retired = p.Kind == DataPack && (c.proof != authentic || rows[0].generation > c.generation)
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

// Sessions returns the sessions that wrote what was found, in order.
func (r *Recovered) Sessions() []ID {
	all := make([]ID, 0, len(r.sessions))
	for id := range r.sessions {
		all = append(all, id)
	}
	slices.SortFunc(all, compareID)
	return all
}

// TakeOver puts a new incarnation of a vault, after which the catalogs of all
// earlier ones write nothing more. It must be durable before a catalog of the
// new one writes anything. Random is where salts and names come from.
func (b *Bare) TakeOver(ctx context.Context, id, incarnation ID, random io.Reader) error {
	v, err := b.opened(id)
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	r := v.reader()
	n, _, err := r.newest(ctx, format.Incarnations, format.KindIncarnation, sealing.IncarnationLabel)
	if err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	w := &writer{
		v:           &Vault{cfg: Config{Store: v.store, Keys: v.keys, Rand: random}, id: id, names: v.names},
		ref:         SessionRef{Vault: id},
		incarnation: incarnation, read: r,
	}
	if err := w.putIncarnation(ctx, n+1); err != nil {
		return fmt.Errorf("take over vault %s: %w", id, err)
	}
	return nil
}

// Release gives the memory back that places of packs take; EachPack has none
// to tell of then.
func (r *Recovered) Release() {
	r.v.mu.Lock()
	defer r.v.mu.Unlock()
	r.v.places, r.v.scanned = nil, false
}
