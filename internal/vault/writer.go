package vault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// writer puts the objects of one attempt at a session, of a backup or of a
// collection.
type writer struct {
	v           *Vault
	ref         SessionRef
	incarnation ID
	read        *reader

	chunks  chunks
	uploads uploads

	stored, objects atomic.Int64

	listing  sync.Mutex
	unlisted []dirCopy   // durable packs whose directory has no second copy yet
	placed   []Placement // durable packs since they were last taken
}

// newWriter returns a writer; fail ends its context.
func newWriter(v *Vault, ref SessionRef, incarnation ID, fail context.CancelCauseFunc) *writer {
	return &writer{v: v, ref: ref, incarnation: incarnation, read: v.reader(), uploads: uploads{fail: fail}}
}

// header returns a header with a fresh salt. A zero identity is drawn.
func (w *writer) header(kind format.Kind, identity ID) (format.Header, error) {
	h := format.Header{
		Kind: kind, KeyVersion: w.v.cfg.Keys.Current(), DigestLen: format.DigestSize,
		Vault: w.v.id, Incarnation: w.incarnation, Identity: identity, Session: w.ref.Session,
	}
	if kind == format.KindDataPack || kind == format.KindPagePack {
		h.Generation = 1
	}
	if identity == (ID{}) {
		var err error
		if h.Identity, err = w.random(); err != nil {
			return h, err
		}
	}
	if _, err := io.ReadFull(w.v.cfg.Rand, h.Salt[:]); err != nil {
		return h, fmt.Errorf("draw salt: %w", err)
	}
	return h, nil
}

func (w *writer) random() (ID, error) {
	var id ID
	if _, err := io.ReadFull(w.v.cfg.Rand, id[:]); err != nil {
		return id, fmt.Errorf("draw id: %w", err)
	}
	return id, nil
}

// name returns a new object's name in a room.
func (w *writer) name(room format.Room) (string, error) {
	r, err := w.random()
	if err != nil {
		return "", err
	}
	return format.Name(w.v.id, room, w.ref.Session, w.ref.Token, r), nil
}

// put stores an object. Nothing is put once the context is done.
func (w *writer) put(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if size > blob.MaxSize {
		return fmt.Errorf("write object %s: %d bytes are too many", name, size)
	}
	if err := w.v.cfg.Store.Put(ctx, name, io.NewSectionReader(r, 0, size)); err != nil {
		return fmt.Errorf("write object %s: %w", name, err)
	}
	w.stored.Add(size)
	w.objects.Add(1)
	return nil
}

// putWhole stores an object that is a header and one sealed part, and returns
// its bytes.
func (w *writer) putWhole(ctx context.Context, o whole) ([]byte, error) {
	h, err := w.header(o.kind, o.identity)
	if err != nil {
		return nil, err
	}
	box, err := sealing.New(w.v.cfg.Keys, o.label, &h)
	if err != nil {
		return nil, err
	}
	b := h.Append(make([]byte, 0, format.HeaderSize+len(o.plain)+format.TagSize))
	b = box.Seal(b, o.plain, sealing.WholePart, 0)
	return b, w.put(ctx, o.name, bytes.NewReader(b), int64(len(b)))
}

type whole struct {
	name     string
	kind     format.Kind
	label    sealing.Label
	identity ID // zero: drawn
	plain    []byte
}

// placedPack is what putPlaced needs to know of a pack, whatever its kind.
type placedPack struct {
	header    format.Header
	kind      PackKind
	name      string
	dir       []byte // the sealed directory
	live      int64
	directory *pack.Directory // nil for pages
}

// putPlaced ends a pack's body with its directory and footer and stores it.
func (w *writer) putPlaced(ctx context.Context, b *body, p placedPack) error {
	place := Placement{
		Pack: p.header.Identity, Generation: p.header.Generation, Kind: p.kind, Object: p.name,
		DirOffset: b.size, Length: b.size + int64(len(p.dir)), Live: p.live,
	}
	b.Write(p.dir)
	b.Write(format.AppendFooter(nil, []format.FooterEntry{{
		Pack: place.Pack, Generation: place.Generation, Kind: p.header.Kind,
		Length: place.Length, DirOffset: place.DirOffset,
	}}))
	if err := w.put(ctx, p.name, b, b.size); err != nil {
		return err
	}
	if p.directory != nil {
		w.read.keep(PackGen{Pack: place.Pack, Generation: place.Generation}, p.directory)
	}
	w.read.places.set(place.Pack, place)
	w.listing.Lock()
	defer w.listing.Unlock()
	w.unlisted = append(w.unlisted, dirCopy{place: place, dir: p.dir})
	return nil
}

// uploads runs puts in the background. The first that fails ends the session.
// Its owner calls wait before it goes.
type uploads struct {
	wg   sync.WaitGroup
	fail context.CancelCauseFunc
}

func (u *uploads) run(fn func() error) {
	u.wg.Go(func() {
		if err := fn(); err != nil {
			u.fail(err)
		}
	})
}
