package vaulttest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"holdfast/internal/vault"
)

// root is a committed backup.
type root struct {
	vault.Root
	deleted bool
	pins    int
}

// Delete deletes a committed backup: once nothing pins it, it is no root any
// more. Removing its record is the caller's.
func (f *Fence) Delete(record vault.RecordRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.roots {
		if f.roots[i].Record == record {
			f.roots[i].deleted = true
		}
	}
}

// Pin keeps a backup a root until unpin is called.
func (f *Fence) Pin(record vault.RecordRef) (unpin func()) {
	count := func(n int) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i := range f.roots {
			if f.roots[i].Record == record {
				f.roots[i].pins += n
			}
		}
	}
	count(1)
	return func() { count(-1) }
}

// Abandon ends a session for good.
func (f *Fence) Abandon(s vault.SessionRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.sessions[s.Session]
	if e == nil {
		e = &session{}
		f.sessions[s.Session] = e
	}
	e.ended = true
}

// SetDamaged says which packs are known to be damaged.
func (f *Fence) SetDamaged(packs []vault.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.damaged = slices.Clone(packs)
}

// SetHold says whether anything may be deleted.
func (f *Fence) SetHold(hold bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = hold
}

// sorted returns the rows in the order of pack and generation.
func (f *Fence) sorted() []vault.PackRow {
	out := make([]vault.PackRow, 0, len(f.rows))
	for _, row := range f.rows {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(a, b vault.PackRow) int {
		return cmp.Or(bytes.Compare(a.Pack[:], b.Pack[:]), cmp.Compare(a.Generation, b.Generation))
	})
	return out
}

func (f *Fence) insert(session vault.ID, state vault.PackState, packs []vault.Placement) {
	for _, p := range packs {
		f.rows[vault.PackGen{Pack: p.Pack, Generation: p.Generation}] = &vault.PackRow{Placement: p, State: state, Session: session}
	}
}

// Survey implements vault.Ledger.
func (f *Fence) Survey(_ context.Context, s vault.SessionRef, pack func(vault.PackRow) error) (vault.Survey, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.enter(s)
	if err != nil {
		return vault.Survey{}, err
	}
	e.token, e.collect = s.Token, true
	v := vault.Survey{
		Epoch: f.epoch, Announced: f.announced, Incarnation: vault.ID{0xfe}, Oldest: math.MaxInt64,
		Segments: slices.Clone(f.segments), Sessions: map[vault.ID]bool{}, Dead: slices.Clone(f.dead), Hold: f.hold,
	}
	pinned := map[vault.RecordRef]bool{}
	for id, e := range f.sessions {
		v.Sessions[id] = e.ended
		if !e.ended && !e.collect {
			v.Oldest = min(v.Oldest, e.epoch)
			pinned[f.parents[id]] = true
		}
	}
	for _, r := range f.roots {
		if !r.deleted || r.pins > 0 || pinned[r.Record] {
			v.Roots = append(v.Roots, r.Root)
		}
	}
	for _, row := range f.sorted() {
		if err := pack(row); err != nil {
			return vault.Survey{}, err
		}
	}
	return v, nil
}

// Condemn implements vault.Ledger.
func (f *Fence) Condemn(_ context.Context, s vault.SessionRef, packs []vault.PackGen) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.enter(s); err != nil {
		return 0, err
	}
	f.epoch++
	for _, g := range packs {
		row := f.rows[g]
		if row == nil || row.State == vault.Uncommitted {
			return 0, fmt.Errorf("condemn pack %s, generation %d: it is not committed", g.Pack, g.Generation)
		}
		if row.State == vault.Writable {
			row.State, row.Epoch = vault.Condemned, f.epoch
		}
	}
	f.announced = f.epoch
	return f.epoch, nil
}

// Switch implements vault.Ledger.
func (f *Fence) Switch(_ context.Context, s vault.SessionRef, w vault.Switch) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.enter(s); err != nil {
		return 0, err
	}
	rows := map[vault.PackGen]*vault.PackRow{}
	for g, row := range f.rows {
		replaced := slices.Contains(w.Gone, g) || slices.ContainsFunc(w.New, func(p vault.Placement) bool {
			return p.Pack == g.Pack && p.Generation > g.Generation
		})
		if !replaced {
			rows[g] = row
			continue
		}
		if err := f.replaceable(g, row, w.New); err != nil {
			return 0, err
		}
	}
	for _, p := range w.New {
		old := rows[vault.PackGen{Pack: p.Pack, Generation: p.Generation}]
		if old != nil && (old.Session != s.Session || old.Object != p.Object || old.Offset != p.Offset) {
			return 0, fmt.Errorf("switch pack %s: generation %d lies elsewhere", p.Pack, p.Generation)
		}
		for g := range rows {
			if g.Pack == p.Pack && g.Generation > p.Generation {
				return 0, fmt.Errorf("switch pack %s: generation %d is there already", p.Pack, g.Generation)
			}
		}
		rows[vault.PackGen{Pack: p.Pack, Generation: p.Generation}] = &vault.PackRow{Placement: p, State: vault.Writable, Session: s.Session}
	}
	for g, row := range rows {
		if slices.Contains(w.Dead, row.Object) || slices.Contains(w.Dead, row.DirObject) {
			return 0, fmt.Errorf("switch: pack %s lies in an object that is called dead", g.Pack)
		}
	}
	segments, err := f.merge(w)
	if err != nil {
		return 0, err
	}
	for _, g := range segments {
		if slices.Contains(w.Dead, g.Object) {
			return 0, fmt.Errorf("switch: segment %s is called dead", g.Object)
		}
	}
	f.epoch++
	f.announced = f.epoch
	f.rows, f.segments = rows, segments
	for _, name := range w.Dead {
		if !slices.Contains(f.dead, name) {
			f.dead = append(f.dead, name)
		}
	}
	return f.epoch, nil
}

// replaceable fails where a session may still refer to what a switch drops.
func (f *Fence) replaceable(g vault.PackGen, row *vault.PackRow, fresh []vault.Placement) error {
	i := slices.IndexFunc(fresh, func(p vault.Placement) bool { return p.Pack == g.Pack })
	switch {
	case row.State == vault.Uncommitted:
		if e := f.sessions[row.Session]; e == nil || !e.ended {
			return fmt.Errorf("switch pack %s: it is not committed", g.Pack)
		}
		return nil
	case row.Kind == vault.PagePack || i >= 0 && fresh[i].Live >= row.Live:
		return nil
	case row.State != vault.Condemned:
		return fmt.Errorf("switch pack %s: it is not condemned", g.Pack)
	}
	for _, e := range f.sessions {
		if !e.ended && !e.collect && e.epoch < row.Epoch {
			return fmt.Errorf("switch pack %s: a session from before epoch %d is open", g.Pack, row.Epoch)
		}
	}
	return nil
}

func (f *Fence) merge(w vault.Switch) ([]vault.SegmentRef, error) {
	var out []vault.SegmentRef
	placed := w.Segment == nil
	found := 0
	for _, g := range f.segments {
		if !slices.Contains(w.Merged, g.Object) {
			out = append(out, g)
			continue
		}
		found++
		if !placed {
			out, placed = append(out, *w.Segment), true
		}
	}
	if found != len(w.Merged) {
		return nil, errors.New("switch: a merged segment is not there")
	}
	if !placed {
		out = append(out, *w.Segment)
	}
	return out, nil
}

// Forget implements vault.Ledger.
func (f *Fence) Forget(_ context.Context, s vault.SessionRef, objects []string, done bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.enter(s)
	if err != nil {
		return err
	}
	f.dead = slices.DeleteFunc(f.dead, func(name string) bool { return slices.Contains(objects, name) })
	e.ended = e.ended || done
	return nil
}
