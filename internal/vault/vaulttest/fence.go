// Package vaulttest has what tests of a vault, and of what stands on it, need:
// a fence in memory, and volumes in memory to back up from and restore to.
package vaulttest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"holdfast/internal/vault"
)

// Fence is a vault.Fence and a vault.Ledger in memory, for one vault. Make one
// with NewFence.
type Fence struct {
	mu        sync.Mutex
	epoch     int64
	announced int64
	sessions  map[vault.ID]*session
	parents   map[vault.ID]vault.RecordRef // by session
	rows      map[vault.PackGen]*vault.PackRow
	roots     []root
	segments  []vault.SegmentRef
	dead      []string
	damaged   []vault.ID
	hold      bool
	calls     int
	fail      map[int]error
	commit    error
	next      uint64
}

type session struct {
	token   int64
	epoch   int64
	collect bool // of a collection
	ended   bool
	last    *vault.Checkpoint
	commit  *vault.Commit
}

// NewFence returns a fence of an empty vault.
func NewFence() *Fence {
	return &Fence{
		sessions: map[vault.ID]*session{}, parents: map[vault.ID]vault.RecordRef{},
		rows: map[vault.PackGen]*vault.PackRow{}, fail: map[int]error{},
	}
}

// Session returns a reference to a new session, whose parent is a committed
// record or nil.
func (f *Fence) Session(id vault.ID, parent *vault.RecordRef) vault.SessionRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	var s vault.ID
	binary.BigEndian.PutUint64(s[8:], f.next)
	if parent != nil {
		f.parents[s] = *parent
	}
	return vault.SessionRef{Vault: id, Session: s, Token: 1}
}

// Committed returns what a session committed, nil for nothing.
func (f *Fence) Committed(s vault.SessionRef) *vault.Commit {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.sessions[s.Session]; e != nil {
		return e.commit
	}
	return nil
}

// Checkpointed returns a session's last checkpoint, nil for none.
func (f *Fence) Checkpointed(s vault.SessionRef) *vault.Checkpoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.sessions[s.Session]; e != nil {
		return e.last
	}
	return nil
}

// Fail makes the n-th call from now, of Begin, Checkpoint and Commit, return
// an error instead of having any effect.
func (f *Fence) Fail(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail[f.calls+n] = err
}

// FailCommit makes the next Commit return an error instead of having any effect.
func (f *Fence) FailCommit(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commit = err
}

// Place moves a pack, or with an empty Object forgets it.
func (f *Fence) Place(p vault.Placement) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for g, row := range f.rows {
		switch {
		case g.Pack != p.Pack:
		case p.Object == "":
			delete(f.rows, g)
		case g.Generation == p.Generation:
			row.Placement = p
		}
	}
}

// Placements returns all packs that are known.
func (f *Fence) Placements() []vault.Placement {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []vault.Placement
	for _, row := range f.sorted() {
		if row.State != vault.Uncommitted {
			out = append(out, row.Placement)
		}
	}
	return out
}

// CondemnAll takes all packs out of the writable set.
func (f *Fence) CondemnAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.epoch++
	for _, row := range f.rows {
		if row.State == vault.Writable && row.Kind == vault.DataPack {
			row.State, row.Epoch = vault.Condemned, f.epoch
		}
	}
}

func (f *Fence) enter(s vault.SessionRef) (*session, error) {
	f.calls++
	if err := f.fail[f.calls]; err != nil {
		return nil, err
	}
	e := f.sessions[s.Session]
	if e == nil {
		e = &session{}
		f.sessions[s.Session] = e
	}
	if s.Token < e.token || e.ended {
		return nil, fmt.Errorf("session %s, token %d: %w", s.Session, s.Token, vault.ErrFenced)
	}
	return e, nil
}

// Begin implements vault.Fence.
func (f *Fence) Begin(_ context.Context, s vault.SessionRef) (vault.Begun, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.enter(s)
	if err != nil {
		return vault.Begun{}, err
	}
	e.token = s.Token
	f.epoch++
	if e.epoch == 0 {
		e.epoch = f.epoch
	}
	b := vault.Begun{
		Epoch: e.epoch, Announced: f.announced, Incarnation: vault.ID{0xfe}, Resume: e.last,
		Segments: slices.Clone(f.segments), Damaged: slices.Clone(f.damaged),
	}
	for _, row := range f.sorted() {
		g := vault.PackGen{Pack: row.Pack, Generation: row.Generation}
		switch {
		case row.State == vault.Writable && row.Kind == vault.DataPack && !slices.Contains(f.damaged, row.Pack):
			b.Writable = append(b.Writable, g)
		case row.State == vault.Uncommitted && row.Session == s.Session:
			b.Generations = append(b.Generations, row.Placement)
		}
	}
	if p, ok := f.parents[s.Session]; ok {
		b.Parent = &p
	}
	return b, nil
}

// Checkpoint implements vault.Fence.
func (f *Fence) Checkpoint(_ context.Context, s vault.SessionRef, c vault.Checkpoint) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.enter(s)
	if err != nil {
		return err
	}
	if len(c.State) > 1<<20 {
		return errors.New("state of a checkpoint is too large")
	}
	f.insert(s.Session, vault.Uncommitted, c.Packs)
	e.last = &c
	return nil
}

// Commit implements vault.Fence.
func (f *Fence) Commit(_ context.Context, s vault.SessionRef, c vault.Commit) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.enter(s)
	if err == nil {
		err, f.commit = f.commit, nil
	}
	if err != nil {
		return err
	}
	f.epoch++
	e.ended, e.commit = true, &c
	f.insert(s.Session, vault.Uncommitted, c.Packs)
	for _, row := range f.rows {
		if row.Session == s.Session {
			row.State = vault.Writable
		}
	}
	f.roots = append(f.roots, root{Root: vault.Root{Record: c.Record, Map: c.Map}})
	if c.Segment != nil {
		f.segments = append(f.segments, *c.Segment)
	}
	return nil
}

// Locate implements vault.Fence.
func (f *Fence) Locate(_ context.Context, _ vault.ID, packs []vault.ID) ([]vault.Placement, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]vault.Placement, len(packs))
	for _, row := range f.sorted() {
		for i, id := range packs {
			if row.Pack == id {
				out[i] = row.Placement
			}
		}
	}
	return out, nil
}
