package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zeebo/blake3"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
)

// located is a pack and where it lies, in little memory.
type located struct {
	pack   ID
	object uint64 // hash of the name
	offset int64
}

func compareLocated(a, b located) int {
	return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.offset, b.offset), bytes.Compare(a.pack[:], b.pack[:]))
}

func hashName(name string) uint64 {
	sum := blake3.Sum256([]byte(name))
	return binary.LittleEndian.Uint64(sum[:])
}

// locateBatch is how many packs are located in one call.
const locateBatch = 512

// sortedPacks returns the packs that backups need, by where they lie.
func (v *verifier) sortedPacks(ctx context.Context) ([]located, error) {
	out := make([]located, 0, len(v.needed))
	for id := range v.needed {
		out = append(out, located{pack: id})
	}
	ids := make([]ID, 0, locateBatch)
	for rest := out; len(rest) > 0; {
		n := min(locateBatch, len(rest))
		ids = ids[:0]
		for i := range rest[:n] {
			ids = append(ids, rest[i].pack)
		}
		places, err := v.locate(ctx, v.r.vault, ids)
		if err != nil {
			return nil, fmt.Errorf("locate packs: %w", err)
		}
		for i := range rest[:n] {
			rest[i].object, rest[i].offset = hashName(places[i].Object), places[i].Offset
		}
		rest = rest[n:]
	}
	slices.SortFunc(out, compareLocated)
	return out, nil
}

// packs checks all packs that backups need, object by object.
func (v *verifier) packs(ctx context.Context) error {
	all, err := v.sortedPacks(ctx)
	if err != nil {
		return err
	}
	v.report.Packs = int64(len(all))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tasks := make(chan []located)
	var done atomic.Int64
	var wg sync.WaitGroup
	for range v.workers {
		c, err := newPackChecker(v)
		if err != nil {
			cancel(err)
			break
		}
		wg.Go(func() {
			defer c.dec.Close()
			for t := range tasks {
				if ctx.Err() != nil {
					continue
				}
				if err := c.object(ctx, t); err != nil {
					cancel(err)
				}
				done.Add(int64(len(t)))
			}
		})
	}
	for rest := all; len(rest) > 0 && ctx.Err() == nil; {
		n := 1
		for n < len(rest) && n < locateBatch && rest[n].object == rest[0].object {
			n++
		}
		v.progress(VerifyPacks, int(done.Load()), len(all))
		v.report.Objects++
		select {
		case tasks <- rest[:n]:
		case <-ctx.Done():
		}
		rest = rest[n:]
	}
	close(tasks)
	wg.Wait()
	v.progress(VerifyPacks, int(done.Load()), len(all))
	return context.Cause(ctx)
}

// packChecker checks packs on one goroutine.
type packChecker struct {
	*packProbe
	v *verifier
}

func newPackChecker(v *verifier) (*packChecker, error) {
	p, err := newPackProbe(v.r)
	return &packChecker{packProbe: p, v: v}, err
}

// object checks packs that lie in one object.
func (c *packChecker) object(ctx context.Context, packs []located) error {
	ids := make([]ID, len(packs))
	for i := range packs {
		ids[i] = packs[i].pack
	}
	places, err := c.v.locate(ctx, c.v.r.vault, ids)
	if err != nil {
		return fmt.Errorf("locate packs: %w", err)
	}
	for i := range places {
		places[i].Pack = ids[i]
		if places[i].Object == "" {
			places[i].Kind = c.v.needed[ids[i]]
		}
	}
	return c.places(ctx, places, maxMoves)
}

// places checks packs where they lie. Where an object is gone it asks again
// where they do, up to some times.
func (c *packChecker) places(ctx context.Context, places []Placement, again int) error {
	var footer map[ID]format.FooterEntry
	for i, p := range places {
		if p.Object == "" {
			c.v.whole(p, "it lies nowhere that is known")
			continue
		}
		if i == 0 || p.Object != places[i-1].Object {
			var err error
			footer, err = c.footer(ctx, p.Object)
			if errors.Is(err, blob.ErrNotFound) && again > 0 {
				moved, err := c.moved(ctx, places[i:])
				if err != nil {
					return err
				}
				if moved != nil {
					return c.places(ctx, moved, again-1)
				}
			}
			if err != nil && !errors.Is(err, ErrCorrupt) {
				return err
			}
		}
		if err := c.pack(ctx, p, footer, again); err != nil {
			return err
		}
	}
	return nil
}

// moved returns where packs lie now, nil where that is where they did.
func (c *packChecker) moved(ctx context.Context, places []Placement) ([]Placement, error) {
	ids := make([]ID, len(places))
	for i := range places {
		ids[i] = places[i].Pack
		c.v.r.places.drop(ids[i])
	}
	fresh, err := c.v.r.locate(ctx, c.v.r.vault, ids)
	if err != nil {
		return nil, fmt.Errorf("locate packs: %w", err)
	}
	for i := range fresh {
		fresh[i].Pack = ids[i]
	}
	if slices.Equal(fresh, places) {
		return nil, nil
	}
	return fresh, nil
}

// pack checks one pack. What is wrong counts only if the pack lies there still:
// a collection may remove what it has moved at any moment.
func (c *packChecker) pack(ctx context.Context, p Placement, footer map[ID]format.FooterEntry, again int) error {
	v := c.v
	state, err := c.probe(ctx, p, footer)
	if err != nil {
		return err
	}
	var wrong []func()
	for _, what := range state.spare {
		wrong = append(wrong, func() { v.spare(p, what) })
	}
	if state.unreadable != "" {
		wrong = append(wrong, func() { v.whole(p, state.unreadable) })
	}
	all, read := 0, 0
	if state.dir != nil && !state.gone { // pages were read where maps name them
		parts := groupParts(state.dir)
		all = len(parts)
		if !state.suspect {
			parts = v.sample(p, parts)
		}
		read = len(parts)
		n, err := c.groups(ctx, p, state.dir, parts, func(group int, slots uint32, what string) {
			wrong = append(wrong, func() { v.blocks(p, group, slots, what) })
		})
		v.bytesRead.Add(n)
		if err != nil {
			return err
		}
	}
	if len(wrong) > 0 && again > 0 {
		moved, err := c.moved(ctx, []Placement{p})
		if err != nil {
			return err
		}
		if moved != nil {
			return c.places(ctx, moved, again-1)
		}
	}
	v.groups.Add(int64(all))
	v.groupsRead.Add(int64(read))
	for _, note := range wrong {
		note()
	}
	return nil
}
