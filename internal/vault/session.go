package vault

import (
	"bytes"
	"cmp"
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
	damaged  []ID      // sorted
	index    *hooks.View
	delta    *hooks.Delta
	exists   *recent[ID, bool] // packs whose object was asked for

	bytesRead, bytesNew atomic.Int64
	sealed              atomic.Int64 // bytes of groups in this attempt, put or not
	groups              [format.Zstd + 1]atomic.Int64

	mu  sync.Mutex
	own map[ID]*[format.PackContainers]*pack.Container // full containers of packs that aren't durable yet
}

// newSession returns a session; fail ends its context.
func newSession(v *Vault, ref SessionRef, begun Begun, fail context.CancelCauseFunc) *session {
	s := &session{
		writer: newWriter(v, ref, begun.Incarnation, fail), begun: begun,
		writable: begun.Writable, damaged: begun.Damaged,
		index:  v.cfg.Index.hooks.View(v.id),
		delta:  hooks.NewDelta(),
		exists: newRecent[ID, bool](16 << 10),
		own:    map[ID]*[format.PackContainers]*pack.Container{},
	}
	if !slices.IsSortedFunc(s.writable, comparePackGen) {
		slices.SortFunc(s.writable, comparePackGen)
	}
	slices.SortFunc(s.damaged, compareID)
	return s
}

func comparePackGen(a, b PackGen) int {
	return cmp.Or(compareID(a.Pack, b.Pack), cmp.Compare(a.Generation, b.Generation))
}

func compareID(a, b ID) int { return bytes.Compare(a[:], b[:]) }

// mayName reports whether new references may name a pack generation that the
// vault had before this session.
func (s *session) mayName(p PackGen) bool {
	_, ok := slices.BinarySearchFunc(s.writable, p, comparePackGen)
	return ok
}
