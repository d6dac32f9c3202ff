package vault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// session is one attempt at writing a backup: what it has put, and what it
// may refer to.
type session struct {
	v     *Vault
	ref   SessionRef
	begun Begun
	read  *reader

	writable []PackGen // sorted
	index    *hooks.View
	delta    *hooks.Delta
	exists   *recent[ID, bool] // packs whose object was asked for

	chunks  chunks
	uploads uploads

	bytesRead, bytesNew, stored, objects atomic.Int64
	sealed                               atomic.Int64 // bytes of groups in this attempt, put or not

	mu       sync.Mutex
	own      map[ID]*[format.PackContainers]*pack.Container // full containers of packs that aren't durable yet
	unlisted []dirCopy                                      // durable packs whose directory has no second copy yet
	placed   []Placement                                    // durable packs since the last checkpoint
}

// newSession returns a session; fail ends its context.
func newSession(v *Vault, ref SessionRef, begun Begun, fail context.CancelCauseFunc) *session {
	s := &session{
		v: v, ref: ref, begun: begun, read: v.reader(),
		writable: slices.Clone(begun.Writable),
		index:    v.cfg.Index.hooks.View(v.id),
		delta:    hooks.NewDelta(),
		exists:   newRecent[ID, bool](16 << 10),
		uploads:  uploads{fail: fail},
		own:      map[ID]*[format.PackContainers]*pack.Container{},
	}
	slices.SortFunc(s.writable, comparePackGen)
	return s
}

func comparePackGen(a, b PackGen) int {
	if c := bytes.Compare(a.Pack[:], b.Pack[:]); c != 0 {
		return c
	}
	return int(int64(a.Generation) - int64(b.Generation))
}

// mayName reports whether new references may name a pack generation that the
// vault had before this session.
func (s *session) mayName(p PackGen) bool {
	_, ok := slices.BinarySearchFunc(s.writable, p, comparePackGen)
	return ok
}

// header returns a header with a fresh salt. A zero identity is drawn.
func (s *session) header(kind format.Kind, identity ID) (format.Header, error) {
	h := format.Header{
		Kind: kind, KeyVersion: s.v.cfg.Keys.Current(), DigestLen: format.DigestSize,
		Vault: s.v.id, Incarnation: s.begun.Incarnation, Identity: identity, Session: s.ref.Session,
	}
	if kind == format.KindDataPack || kind == format.KindPagePack {
		h.Generation = 1
	}
	if identity == (ID{}) {
		var err error
		if h.Identity, err = s.random(); err != nil {
			return h, err
		}
	}
	if _, err := io.ReadFull(s.v.cfg.Rand, h.Salt[:]); err != nil {
		return h, fmt.Errorf("draw salt: %w", err)
	}
	return h, nil
}

func (s *session) random() (ID, error) {
	var id ID
	if _, err := io.ReadFull(s.v.cfg.Rand, id[:]); err != nil {
		return id, fmt.Errorf("draw id: %w", err)
	}
	return id, nil
}

// name returns a new object's name in a room.
func (s *session) name(room format.Room) (string, error) {
	r, err := s.random()
	if err != nil {
		return "", err
	}
	return format.Name(s.v.id, room, s.ref.Session, s.ref.Token, r), nil
}

// put stores an object. Nothing is put once the context is done.
func (s *session) put(ctx context.Context, name string, r io.ReaderAt, size int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if size > blob.MaxSize {
		return fmt.Errorf("write object %s: %d bytes are too many", name, size)
	}
	if err := s.v.cfg.Store.Put(ctx, name, io.NewSectionReader(r, 0, size)); err != nil {
		return fmt.Errorf("write object %s: %w", name, err)
	}
	s.stored.Add(size)
	s.objects.Add(1)
	return nil
}

// putWhole stores an object that is a header and one sealed part, and returns
// its bytes.
func (s *session) putWhole(ctx context.Context, w whole) ([]byte, error) {
	h, err := s.header(w.kind, w.identity)
	if err != nil {
		return nil, err
	}
	box, err := sealing.New(s.v.cfg.Keys, w.label, &h)
	if err != nil {
		return nil, err
	}
	b := h.Append(make([]byte, 0, format.HeaderSize+len(w.plain)+format.TagSize))
	b = box.Seal(b, w.plain, sealing.WholePart, 0)
	return b, s.put(ctx, w.name, bytes.NewReader(b), int64(len(b)))
}

type whole struct {
	name     string
	kind     format.Kind
	label    sealing.Label
	identity ID // zero: drawn
	plain    []byte
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
