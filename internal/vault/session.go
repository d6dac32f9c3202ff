package vault

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/pack"
)

// session is one attempt at writing a backup: what it has put, and what it
// may refer to.
type session struct {
	*writer
	begun Begun

	writable []PackGen // sorted
	index    *hooks.View
	delta    *hooks.Delta
	exists   *recent[ID, bool] // packs whose object was asked for

	bytesRead, bytesNew atomic.Int64
	sealed              atomic.Int64 // bytes of groups in this attempt, put or not

	mu  sync.Mutex
	own map[ID]*[format.PackContainers]*pack.Container // full containers of packs that aren't durable yet
}

// newSession returns a session; fail ends its context.
func newSession(v *Vault, ref SessionRef, begun Begun, fail context.CancelCauseFunc) *session {
	s := &session{
		writer: newWriter(v, ref, begun.Incarnation, fail), begun: begun,
		writable: slices.Clone(begun.Writable),
		index:    v.cfg.Index.hooks.View(v.id),
		delta:    hooks.NewDelta(),
		exists:   newRecent[ID, bool](16 << 10),
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
