package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/internal/blob"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/pack"
)

// there reports whether a pack is placed, exists, and isn't known to be
// damaged; each is asked for once a session.
func (s *session) there(ctx context.Context, id ID) (bool, error) {
	if ok, known := s.exists.get(id); known {
		return ok, nil
	}
	_, known := slices.BinarySearchFunc(s.damaged, id, compareID)
	ok, object := !known, ""
	if ok {
		var err error
		if ok, object, err = s.look(ctx, id); err != nil {
			return false, err
		}
	}
	if !ok {
		s.v.cfg.Log.WarnContext(ctx, "pack is missing or damaged, its blocks count as changed", "pack", id.String(), "object", object)
	}
	s.exists.set(id, ok)
	return ok, nil
}

// look looks for a pack's object, twice where a collection has moved the pack
// meanwhile.
func (s *session) look(ctx context.Context, id ID) (ok bool, object string, err error) {
	for again := false; ; again = true {
		place, err := s.read.placement(ctx, id)
		if err != nil {
			return false, "", err
		}
		if place.Object == "" || again && place.Object == object {
			return false, object, nil
		}
		object = place.Object
		size, err := s.v.cfg.Store.Stat(ctx, object)
		if err != nil && !errors.Is(err, blob.ErrNotFound) {
			return false, object, fmt.Errorf("look for object %s: %w", object, err)
		}
		if err == nil && size >= place.Offset+place.Length {
			return true, object, nil
		}
		if again {
			return false, object, nil
		}
		s.read.places.drop(id)
	}
}

// allThere reports whether all packs of a leaf are there.
func (s *session) allThere(ctx context.Context, packs []ID) (bool, error) {
	if err := s.read.learn(ctx, packs); err != nil {
		return false, err
	}
	for _, id := range packs {
		if ok, err := s.there(ctx, id); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// directory returns the directory of a pack that is there, nil where it is
// not, or is damaged: its blocks then count as changed.
func (s *session) directory(ctx context.Context, id ID) (*pack.Directory, error) {
	for again := false; ; again = true {
		if ok, err := s.there(ctx, id); !ok || err != nil {
			return nil, err
		}
		place, err := s.read.placement(ctx, id)
		if err != nil {
			return nil, err
		}
		d, err := s.read.directory(ctx, place, inCopy)
		switch {
		case err == nil:
			return d, nil
		case !errors.Is(err, ErrCorrupt):
			return nil, err
		case errors.Is(err, blob.ErrNotFound) && !again:
			// A collection may have moved the pack since it was looked for.
			s.read.places.drop(id)
			s.exists.drop(id)
			continue
		}
		s.v.cfg.Log.WarnContext(ctx, "directory is damaged, its blocks count as changed", "pack", id.String(), "error", err)
		s.exists.set(id, false)
		return nil, nil
	}
}

// container returns a container that new references may name, nil where the
// hint leads nowhere.
func (s *session) container(ctx context.Context, p hooks.Place) (*pack.Container, error) {
	s.mu.Lock()
	own := s.own[p.Pack]
	if own != nil && own[p.Container] != nil {
		defer s.mu.Unlock()
		return own[p.Container], nil
	}
	s.mu.Unlock()
	place, err := s.read.placement(ctx, p.Pack)
	if err != nil || place.Object == "" || place.Generation != p.Generation || place.Kind != DataPack {
		return nil, err
	}
	d, err := s.directory(ctx, p.Pack)
	if err != nil || d == nil || int(p.Container) >= len(d.Containers) {
		return nil, err
	}
	return d.Containers[p.Container], nil
}

// lookup returns the container that a hook was seen in, if references to it
// are allowed.
func (s *session) lookup(tag uint64) (hooks.Place, bool) {
	if p, ok := s.delta.Lookup(tag); ok {
		return p, true
	}
	p, ok := s.index.Lookup(tag)
	return p, ok && s.mayName(PackGen{Pack: p.Pack, Generation: p.Generation})
}
