package vault

import (
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/sealing"
)

// locateFunc is Fence.Locate, or what stands in for it over a bare store.
type locateFunc func(ctx context.Context, vault ID, packs []ID) ([]Placement, error)

type readerConfig struct {
	store  blob.Store
	keys   Keys
	names  *naming.Secret
	locate locateFunc
}

// reader reads a vault's objects for one job. It may be used concurrently.
type reader struct {
	readerConfig
	vault  ID
	places *recent[ID, Placement]
	dirs   *recent[PackGen, *dirEntry]
}

// The bounds of a job's caches: placements take about 400 bytes, directories
// up to 200 KiB.
const (
	placesKept = 4096
	dirsKept   = 40 // twice, at most
)

func newReader(cfg readerConfig) *reader {
	return &reader{
		readerConfig: cfg,
		vault:        ID(cfg.keys.ID()),
		places:       newRecent[ID, Placement](placesKept),
		dirs:         newRecent[PackGen, *dirEntry](dirsKept),
	}
}

// placement returns where a pack lies; its Object is empty where nobody knows.
func (r *reader) placement(ctx context.Context, id ID) (Placement, error) {
	places, err := r.placements(ctx, []ID{id})
	if err != nil {
		return Placement{}, err
	}
	return places[0], nil
}

// learn asks for the placements of those packs that are not known yet, in one
// call.
func (r *reader) learn(ctx context.Context, packs []ID) error {
	_, err := r.placements(ctx, packs)
	return err
}

// placements returns where packs lie, and asks for all that are not known yet
// in one call. Each has its Pack; its Object is empty where nobody knows.
func (r *reader) placements(ctx context.Context, packs []ID) ([]Placement, error) {
	out := make([]Placement, len(packs))
	var ask []ID
	var at []int
	for i, id := range packs {
		var ok bool
		if out[i], ok = r.places.get(id); !ok {
			ask, at = append(ask, id), append(at, i)
		}
	}
	if len(ask) == 0 {
		return out, nil
	}
	found, err := r.ask(ctx, ask)
	if err != nil {
		return nil, err
	}
	for i := range found {
		out[at[i]] = found[i]
	}
	return out, nil
}

// ask asks where packs lie, whatever is known.
func (r *reader) ask(ctx context.Context, packs []ID) ([]Placement, error) {
	found, err := r.locate(ctx, r.vault, packs)
	if err != nil {
		return nil, fmt.Errorf("locate packs: %w", err)
	}
	if len(found) != len(packs) {
		return nil, fmt.Errorf("locate packs: %d placements for %d packs", len(found), len(packs))
	}
	for i, id := range packs {
		found[i].Pack = id
		r.places.set(id, found[i])
	}
	return found, nil
}

// maxMoves bounds how often one read follows packs that are moved while it
// goes on.
const maxMoves = 16

// moved asks again for the place of a pack that could not be read there. It
// reports whether the pack lies elsewhere now, as after a switch to a new
// generation; where it doesn't, it is missing or damaged.
func (r *reader) moved(ctx context.Context, old Placement) (Placement, bool, error) {
	found, err := r.ask(ctx, []ID{old.Pack})
	if err != nil {
		return old, false, err
	}
	return found[0], found[0] != old, nil
}

// follow calls read with a pack's place, and again with its new one as long as
// the pack can't be read there and turns out to have been moved.
func (r *reader) follow(ctx context.Context, p Placement, read func(Placement) error) error {
	for range maxMoves {
		err := read(p)
		if !errors.Is(err, ErrCorrupt) || ctx.Err() != nil {
			return err
		}
		now, ok, merr := r.moved(ctx, p)
		if merr != nil {
			return merr
		}
		if !ok {
			return err
		}
		p = now
	}
	return fmt.Errorf("read pack %s: it was moved %d times meanwhile", p.Pack, maxMoves)
}

// get reads exactly len(p) bytes. That the object is too short, or missing, is
// damage.
func (r *reader) get(ctx context.Context, object string, p []byte, off int64) error {
	_, err := r.store.Get(ctx, object, p, off)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &CorruptError{Object: object, What: fmt.Sprintf("it ends before byte %d", off+int64(len(p))), Err: err}
	case errors.Is(err, blob.ErrNotFound):
		return missing(object, err)
	}
	return fmt.Errorf("read object %s: %w", object, err)
}

// whole reads an object of a kind whole and opens its only part.
func (r *reader) whole(ctx context.Context, object string, kind format.Kind, label sealing.Label) (format.Header, []byte, []byte, error) {
	size, err := r.store.Stat(ctx, object)
	if errors.Is(err, blob.ErrNotFound) {
		return format.Header{}, nil, nil, missing(object, err)
	}
	if err != nil {
		return format.Header{}, nil, nil, fmt.Errorf("read object %s: %w", object, err)
	}
	if size < format.HeaderSize+format.TagSize || size > maxWhole(kind) {
		return format.Header{}, nil, nil, &CorruptError{Object: object, What: fmt.Sprintf("it has %d bytes", size)}
	}
	b := make([]byte, size)
	if err := r.get(ctx, object, b, 0); err != nil {
		return format.Header{}, nil, nil, err
	}
	h, plain, err := openWhole(r.keys, b, kind, label)
	if err != nil {
		return h, nil, nil, &CorruptError{Object: object, What: "its content", Err: err}
	}
	return h, plain, b, nil
}

// maxWhole returns the largest size in bytes of an object of a kind that is
// read whole: what is allocated before anything is authenticated.
func maxWhole(kind format.Kind) int64 {
	const frame = format.HeaderSize + format.TagSize
	switch kind {
	case format.KindRecord:
		return maxRecord + frame
	case format.KindEpoch, format.KindIncarnation:
		return numberedSize + frame
	case format.KindPlacement:
		return maxPlacements + frame
	}
	return blob.MaxSize
}

// maxPlacements is the largest content of a placement segment in bytes.
const maxPlacements = 16 << 20

// openWhole opens an object that is a header and one sealed part.
func openWhole(keys Keys, b []byte, kind format.Kind, label sealing.Label) (format.Header, []byte, error) {
	h, err := format.ParseHeader(b, kind)
	if err != nil {
		return h, nil, err
	}
	box, err := sealing.New(keys, label, &h)
	if err != nil {
		return h, nil, err
	}
	plain, err := box.Open(nil, b[format.HeaderSize:], sealing.WholePart, 0)
	return h, plain, err
}
