package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// bareVault is one vault of a bare store.
type bareVault struct {
	id       ID
	store    blob.Store
	keys     Keys
	err      error // of opening the keys
	names    *naming.Secret
	listings int // how often the store is listed: one listing may be late

	mu      sync.Mutex
	places  *placeTable // nil: not read yet
	scanned bool        // footers were read
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
// these don't help. A pack that is asked for again could not be read where it
// was said to be.
func (v *bareVault) locate(ctx context.Context, packs []ID, asked map[ID]bool) ([]Placement, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.places == nil {
		t := newPlaceTable(v.id)
		if err := v.readSegments(ctx, t); err != nil {
			return nil, err
		}
		t.sort()
		v.places = t
	}
	out := make([]Placement, len(packs))
	for i, id := range packs {
		p, err := v.place(ctx, id, asked[id])
		if err != nil {
			return nil, err
		}
		asked[id] = true
		out[i] = p
	}
	return out, nil
}

// place returns where a pack lies: the highest generation that authenticates.
// The only place that anything names is not proved until it has been asked for
// again. Where nothing authenticates it is where the highest should be.
func (v *bareVault) place(ctx context.Context, id ID, again bool) (Placement, error) {
	rows := v.places.of(id)
	if len(rows) == 1 && !again && rows[0].proof == unproven {
		return v.places.placement(&rows[0]), nil
	}
	best, err := v.prove(ctx, v.reader(), rows)
	if err == nil && (best == nil || best.proof == outlined) && !v.scanned {
		if err = v.scan(ctx); err == nil {
			rows = v.places.of(id)
			best, err = v.prove(ctx, v.reader(), rows)
		}
	}
	switch {
	case err != nil:
		return Placement{}, err
	case best != nil:
		return v.places.placement(best), nil
	}
	for i := range rows {
		if rows[i].proof == refuted {
			return v.places.placement(&rows[i]), nil
		}
	}
	if len(rows) > 0 {
		return v.places.placement(&rows[0]), nil
	}
	return Placement{}, nil
}

// scan adds what the footers of all objects say to the places.
func (v *bareVault) scan(ctx context.Context) error {
	if err := v.readFooters(ctx, v.places); err != nil {
		return err
	}
	v.places.sort()
	v.scanned = true
	return nil
}

// The bounds of what is read at once in a scan.
const (
	segmentsAtOnce = 2
	footersAtOnce  = 16
)

// each calls fn with each object of a room, once, up to n at a time.
func (v *bareVault) each(ctx context.Context, room format.Room, n int, fn func(context.Context, blob.Info) error) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(n)
	seen := map[uint64]struct{}{}
	var err error
	for range max(1, v.listings) {
		err = v.store.List(ctx, format.RoomPrefix(v.id, room), func(o blob.Info) error {
			if v.listings > 1 {
				hash := hashName(o.Name)
				if _, ok := seen[hash]; ok {
					return nil
				}
				seen[hash] = struct{}{}
			}
			group.Go(func() error { return fn(running, o) })
			return context.Cause(running)
		})
		if err != nil {
			break
		}
	}
	if werr := group.Wait(); werr != nil {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("read %s of vault %s: %w", room, v.id, err)
	}
	return nil
}

func (v *bareVault) readSegments(ctx context.Context, t *placeTable) error {
	return v.each(ctx, format.Placements, segmentsAtOnce, func(ctx context.Context, o blob.Info) error {
		_, plain, _, err := v.reader().whole(ctx, o.Name, format.KindPlacement, sealing.PlacementLabel)
		if err != nil {
			return ignoreDamage(err)
		}
		places, err := parsePlacements(plain)
		if err != nil {
			return ignoreDamage(err)
		}
		return t.add(places)
	})
}

// ignoreDamage drops the errors of hints that can't be read.
func ignoreDamage(err error) error {
	if errors.Is(err, ErrCorrupt) || errors.Is(err, format.ErrFormat) {
		return nil
	}
	return err
}

// readFooters finds packs by the footers of all objects.
func (v *bareVault) readFooters(ctx context.Context, t *placeTable) error {
	r := v.reader()
	for _, room := range placeRooms {
		err := v.each(ctx, room, footersAtOnce, func(ctx context.Context, o blob.Info) error {
			entries, err := readFooter(ctx, r, o)
			if err != nil {
				return ignoreDamage(err)
			}
			return t.addFooter(room, o.Name, entries)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func readFooter(ctx context.Context, r *reader, o blob.Info) ([]format.FooterEntry, error) {
	if o.Size < format.TrailerSize || o.Size > blob.MaxSize {
		return nil, nil
	}
	tail := make([]byte, min(o.Size, int64(format.FooterSize(40))))
	if err := r.get(ctx, o.Name, tail, o.Size-int64(len(tail))); err != nil {
		return nil, err
	}
	n, err := format.ParseTrailer(tail[len(tail)-format.TrailerSize:])
	if err != nil || int64(n) > o.Size {
		return nil, err
	}
	if n > len(tail) {
		tail = make([]byte, n)
		if err := r.get(ctx, o.Name, tail, o.Size-int64(n)); err != nil {
			return nil, err
		}
	}
	return format.ParseFooter(tail[len(tail)-n:], o.Size)
}

// prove looks at the candidates of a pack, the highest generation first, until
// one authenticates, and returns the one that counts, nil for none. Of one
// generation it looks at all.
func (v *bareVault) prove(ctx context.Context, r *reader, rows []candidate) (*candidate, error) {
	for i := range rows {
		c := &rows[i]
		if best := bestOf(rows[:i]); best != nil && best.proof == authentic && best.generation > c.generation {
			break
		}
		if c.proof == unproven {
			if err := v.examine(ctx, r, c); err != nil {
				return nil, err
			}
		}
	}
	return bestOf(rows), nil
}

// bestOf returns the candidate that counts of those of a pack, as far as they
// have been looked at, nil for none: of a generation that was made twice the
// one that holds more.
func bestOf(rows []candidate) *candidate {
	var best *candidate
	for _, want := range []proof{authentic, outlined} {
		for i := range rows {
			c := &rows[i]
			if c.proof == want && (best == nil || c.generation == best.generation && c.live > best.live) {
				best = c
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// examine finds out whether a candidate is what it is said to be: its directory
// opens, or the copy of it does, and the generation's header is that of it.
func (v *bareVault) examine(ctx context.Context, r *reader, c *candidate) error {
	p := v.places.placement(c)
	_, live, err := openEither(ctx, r, p, p.Object, p.Offset+p.DirOffset)
	switch {
	case err == nil:
		c.live, c.proof = uint32(live), authentic
		return nil
	case errors.Is(err, blob.ErrNotFound):
		c.proof = vanished
	case !errors.Is(err, ErrCorrupt):
		return err
	default:
		c.proof = refuted
	}
	if p.DirObject == "" {
		return nil
	}
	dir, live, err := openEither(ctx, r, p, p.DirObject, p.DirAt)
	if err != nil {
		return ignoreDamage(err)
	}
	header := make([]byte, format.HeaderSize)
	err = r.get(ctx, p.Object, header, p.Offset)
	switch {
	case err == nil && bytes.Equal(header, dir[:format.HeaderSize]):
		c.live, c.proof = uint32(live), authentic
	case c.kind == DataPack:
		c.live, c.proof = uint32(live), outlined
	}
	return ignoreDamage(err)
}

// openEither opens the directory of a pack of either kind at one of its two
// places, and returns it as it is sealed, and how many blocks or pages it has.
func openEither(ctx context.Context, r *reader, p Placement, object string, at int64) (dir []byte, live int, err error) {
	n := p.Length - p.DirOffset
	limit := int64(pack.MaxDirectory)
	if p.Kind == PagePack {
		limit = maxPageDir
	}
	if n < format.HeaderSize || n > limit {
		return nil, 0, &CorruptError{Object: object, What: fmt.Sprintf("directory of %d bytes", n)}
	}
	dir = make([]byte, n)
	if err := r.get(ctx, object, dir, at); err != nil {
		return nil, 0, err
	}
	if p.Kind == PagePack {
		d, err := pack.OpenPages(r.keys, expected(p), dir)
		if err != nil {
			return nil, 0, &CorruptError{Object: object, What: "page directory", Err: err}
		}
		for i := range len(d.Offsets) - 1 {
			if d.Present(uint32(i)) {
				live++
			}
		}
		return dir, live, nil
	}
	d, err := pack.Open(r.keys, expected(p), dir)
	if err != nil {
		return nil, 0, &CorruptError{Object: object, What: "directory of pack " + p.Pack.String(), Err: err}
	}
	for _, c := range d.Containers {
		live += format.CountBlocks(c.Groups)
	}
	return dir, live + len(d.Lost), nil
}
