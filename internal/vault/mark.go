package vault

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
)

// marker finds out what the maps of backups refer to. It walks all maps
// together, level by level, and reads each page once, however many maps share
// it. Walking more roots adds to what is marked; nothing is ever unmarked.
type marker struct {
	r      *reader
	blocks *blockMarks // nil: pages alone are marked
	opened *recent[ID, *openedPages]
	idle   chan *pageMarker

	mu    sync.Mutex
	packs map[ID]*markedPack
	level [maps.MaxHeight + 1][]wantedPage // pages that nobody has read yet
	// damage is of the first page that can't be read: what it refers to isn't
	// known. With blind, that may be pages as well as blocks.
	damage error
	blind  bool

	pages, bytes atomic.Int64 // read
}

// markedPack is a page pack, and which of its pages live.
type markedPack struct {
	place Placement
	live  pageSet
}

// wantedPage is a page that lives, at a place in a map.
type wantedPage struct {
	pack  *markedPack
	page  uint32
	index uint64
	hash  [32]byte
}

// The marker's bounds: pages that wait to be read at each level, inner pages
// that are read at once, leaves that one worker reads at once.
const (
	markPending = 32 << 10
	markInner   = 64
	markLeaves  = 1 << 10
	markWorkers = 8
)

func newMarker(r *reader, blocks *blockMarks) *marker {
	m := &marker{
		r: r, blocks: blocks, opened: newRecent[ID, *openedPages](openedKept),
		idle: make(chan *pageMarker, markWorkers), packs: map[ID]*markedPack{},
	}
	for range markWorkers {
		m.idle <- &pageMarker{m: m, hasher: r.names.Hasher()}
	}
	return m
}

// know tells the marker of a pack: page packs that are committed are walked
// where the last one said to it lies.
func (m *marker) know(p *PackRow) {
	if p.Kind != PagePack || p.State == Uncommitted {
		return
	}
	if k := m.packs[p.Pack]; k != nil {
		k.place = p.Placement
		return
	}
	m.packs[p.Pack] = &markedPack{place: p.Placement}
}

// walk marks what maps refer to.
func (m *marker) walk(ctx context.Context, roots []Root) error {
	for i := range roots {
		ref, height, err := m.root(ctx, &roots[i])
		if err != nil {
			return err
		}
		m.mu.Lock()
		m.want(height, 0, ref)
		m.mu.Unlock()
	}
	return m.below(ctx, maps.MaxHeight)
}

// root returns where a backup's map begins. It is nowhere where the record
// would say it and is damaged.
func (m *marker) root(ctx context.Context, root *Root) (maps.Ref, int, error) {
	if len(root.Map) > 0 {
		ref, height, err := maps.ParseRoot(root.Map)
		if err != nil {
			return maps.Ref{}, 0, fmt.Errorf("map of record %s: %w", root.Record.Object, err)
		}
		return ref, height, nil
	}
	rec, err := m.r.record(ctx, root.Record)
	if errors.Is(err, ErrCorrupt) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.lose(maps.MaxHeight, err)
		return maps.Ref{}, 0, nil
	}
	return rec.Root, rec.Height, err
}

// want notes that a page lives; m.mu is held.
func (m *marker) want(level int, index uint64, ref maps.Ref) {
	if ref.IsNull() {
		return
	}
	p := m.packs[ref.Pack]
	if p == nil {
		m.lose(level, &CorruptError{
			Object: placeName(Placement{Pack: ref.Pack}), What: fmt.Sprintf("page %d: it is no page pack that is known", ref.Page),
		})
		return
	}
	if p.live.add(ref.Page) {
		m.level[level] = append(m.level[level], wantedPage{pack: p, page: ref.Page, index: index, hash: ref.Hash})
	}
}

// lose notes that a page, or what names one, can't be read; m.mu is held.
func (m *marker) lose(level int, err error) {
	if m.damage == nil {
		m.damage = err
	}
	m.blind = m.blind || level > 0
}

// below reads all pages of a level and of those under it.
func (m *marker) below(ctx context.Context, level int) error {
	for l := level; l >= 0; l-- {
		all := m.level[l]
		slices.SortFunc(all, func(a, b wantedPage) int {
			if a.pack == b.pack {
				return cmp.Compare(a.page, b.page)
			}
			return bytes.Compare(a.pack.place.Pack[:], b.pack.place.Pack[:])
		})
		for first := 0; first < len(all); {
			end := len(all)
			if l > 0 {
				end = min(end, first+markInner)
			}
			if err := m.readAll(ctx, l, all[first:end]); err != nil {
				return err
			}
			first = end
			if l > 0 && len(m.level[l-1]) >= markPending {
				if err := m.below(ctx, l-1); err != nil {
					return err
				}
			}
		}
		m.level[l] = all[:0]
	}
	return nil
}

// readAll reads pages, which are sorted, those of several packs at a time.
func (m *marker) readAll(ctx context.Context, level int, pages []wantedPage) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(markWorkers)
	for first := 0; first < len(pages) && running.Err() == nil; {
		end := first + 1
		for end < len(pages) && end-first < markLeaves && pages[end].pack == pages[first].pack {
			end++
		}
		part := pages[first:end]
		first = end
		group.Go(func() error {
			w := <-m.idle
			defer func() { m.idle <- w }()
			return w.read(running, level, part)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// leaf marks the blocks that a leaf names.
func (m *marker) leaf(leaf *maps.Leaf, packs []int) []int {
	if m.blocks == nil {
		return packs
	}
	packs = packs[:0]
	for _, id := range leaf.Packs {
		packs = append(packs, m.blocks.find(id))
	}
	for _, e := range leaf.Extents {
		if pack := packs[e.Pack]; pack >= 0 {
			m.blocks.mark(pack, e.Container, e.First, e.Count)
		}
	}
	return packs
}

// inner notes the pages that an inner page names.
func (m *marker) inner(page *maps.Inner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range page.Children {
		m.want(int(page.Level)-1, page.Index*format.FanOut+uint64(n), page.Children[n])
	}
}
