package vaulttest

import (
	"maps"
	"slices"

	"holdfast/internal/vault"
)

// Clone returns a copy as it is now, as a dump of a catalog is one.
func (f *Fence) Clone() *Fence {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := NewFence()
	c.epoch, c.announced, c.hold = f.epoch, f.announced, f.hold
	c.next = f.next + 1<<20 // no id is ever given twice, whatever became of the original
	for id, e := range f.sessions {
		e := *e
		c.sessions[id] = &e
	}
	for g, row := range f.rows {
		row := *row
		c.rows[g] = &row
	}
	c.parents = maps.Clone(f.parents)
	c.roots, c.segments = slices.Clone(f.roots), slices.Clone(f.segments)
	c.dead, c.damaged = slices.Clone(f.dead), slices.Clone(f.damaged)
	return c
}

// Available returns the records of the backups that are committed and not
// deleted.
func (f *Fence) Available() []vault.RecordRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []vault.RecordRef
	for _, r := range f.roots {
		if !r.deleted {
			out = append(out, r.Record)
		}
	}
	return out
}
