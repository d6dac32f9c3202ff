package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// openedPages is a page pack that is read.
type openedPages struct {
	once sync.Once
	dir  *pack.PageDirectory
	box  *sealing.Box
	body []byte // all of a small generation; nil of a large one
	err  error
}

// A page pack of up to wholePages bytes is read at once, and openedKept of them
// are kept, or twice as many; of others pages are read in runs.
const (
	wholePages = 128 << 10
	openedKept = 32
	pageRun    = 1 << 20
	pageGap    = 64 << 10
)

// open opens a page pack.
func (m *marker) open(ctx context.Context, p *Placement) (*openedPages, error) {
	m.opened.mu.Lock()
	o, ok := m.opened.now[p.Pack]
	if !ok {
		if o, ok = m.opened.old[p.Pack]; !ok {
			o = &openedPages{}
		}
		m.opened.put(p.Pack, o)
	}
	m.opened.mu.Unlock()
	o.once.Do(func() { o.err = m.load(ctx, o, p) })
	if o.err != nil {
		m.opened.drop(p.Pack)
	}
	return o, o.err
}

func (m *marker) load(ctx context.Context, o *openedPages, p *Placement) error {
	if p.Length <= wholePages && p.DirOffset >= format.HeaderSize && p.DirOffset < p.Length {
		b := make([]byte, p.Length)
		err := m.r.get(ctx, p.Object, b, p.Offset)
		if err == nil {
			m.bytes.Add(p.Length)
			if o.dir, err = pack.OpenPages(m.r.keys, expected(*p), b[p.DirOffset:]); err == nil {
				o.body = b[:p.DirOffset]
			}
		} else if !errors.Is(err, ErrCorrupt) {
			return err
		}
	}
	if o.dir == nil {
		var err error
		if o.dir, err = m.r.pageDirectory(ctx, *p, inCopy); err != nil {
			return err
		}
		m.bytes.Add(p.Length - p.DirOffset)
	}
	var err error
	if o.box, err = sealing.New(m.r.keys, sealing.PageLabel, &o.dir.Header); err != nil {
		return &CorruptError{Object: p.Object, What: "header", Err: err}
	}
	return nil
}

// pageMarker reads pages on one goroutine.
type pageMarker struct {
	m      *marker
	hasher *naming.Hasher
	buf    []byte
	plain  []byte
	leaf   maps.Leaf
	inner  maps.Inner
	packs  []int
}

// read reads pages of one pack, sorted by number, and marks what they name.
// Damage is noted. Where the pack's object is gone, it asks once more where it
// lies: it may be healed, or collected by somebody else, at the same time.
func (w *pageMarker) read(ctx context.Context, level int, pages []wantedPage) error {
	place := pages[0].pack.place
	o, err := w.m.open(ctx, &place)
	if errors.Is(err, blob.ErrNotFound) && ctx.Err() == nil {
		found, lerr := w.m.r.locate(ctx, w.m.r.vault, []ID{place.Pack})
		if lerr != nil || len(found) != 1 {
			return fmt.Errorf("locate page pack %s: %d placements: %w", place.Pack, len(found), lerr)
		}
		if found[0].Object != "" && found[0].Object != place.Object {
			place = found[0]
			o, err = w.m.open(ctx, &place)
		}
	}
	if err != nil {
		return w.lose(ctx, level, err)
	}
	for len(pages) > 0 {
		n, from, to := o.run(pages)
		b, err := w.sealed(ctx, o, &place, from, to)
		if err != nil {
			if err := w.lose(ctx, level, err); err != nil {
				return err
			}
		} else {
			for i := range pages[:n] {
				if err := w.page(o, level, &pages[i], b, from); err != nil {
					if err := w.lose(ctx, level, err); err != nil {
						return err
					}
				}
			}
		}
		pages = pages[n:]
	}
	return nil
}

// lose notes damage, and returns other errors.
func (w *pageMarker) lose(ctx context.Context, level int, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.lose(level, err)
	return nil
}

// run returns how many of the pages, the first ones, are read at once, and
// which bytes of the generation they take.
func (o *openedPages) run(pages []wantedPage) (n int, from, to int64) {
	for n = range pages {
		if !o.dir.Present(pages[n].page) {
			if n == 0 {
				return 1, 0, 0 // page says what is wrong
			}
			return n, from, to
		}
		a, b := int64(o.dir.Offsets[pages[n].page]), int64(o.dir.Offsets[pages[n].page+1])
		if n == 0 {
			from = a
		} else if o.body == nil && (a > to+pageGap || b-from > pageRun) {
			return n, from, to
		}
		to = b
	}
	return len(pages), from, to
}

// sealed returns bytes of a generation, good until the next call.
func (w *pageMarker) sealed(ctx context.Context, o *openedPages, p *Placement, from, to int64) ([]byte, error) {
	if o.body != nil {
		if to > int64(len(o.body)) {
			return nil, &CorruptError{Object: p.Object, What: fmt.Sprintf("pages behind byte %d of a page pack", len(o.body))}
		}
		return o.body[from:to], nil
	}
	if int64(cap(w.buf)) < to-from {
		w.buf = make([]byte, to-from)
	}
	b := w.buf[:to-from]
	w.m.bytes.Add(to - from)
	return b, w.m.r.get(ctx, p.Object, b, p.Offset+from)
}

// page opens a page, which is checked as a restore does, and marks what it
// names. b has the pack's bytes from an offset on.
func (w *pageMarker) page(o *openedPages, level int, want *wantedPage, b []byte, from int64) error {
	bad := func(err error) error {
		return &CorruptError{Object: want.pack.place.Object, What: fmt.Sprintf("page %d of page pack %s", want.page, want.pack.place.Pack), Err: err}
	}
	if !o.dir.Present(want.page) {
		return bad(fmt.Errorf("it is not among the pack's %d pages", len(o.dir.Offsets)-1))
	}
	w.m.pages.Add(1)
	sealed := b[int64(o.dir.Offsets[want.page])-from : int64(o.dir.Offsets[want.page+1])-from]
	plain, err := o.box.Open(w.plain[:0], sealed, sealing.PagePart, uint64(want.page))
	if err != nil {
		return bad(err)
	}
	w.plain = plain
	if w.hasher.Page(plain) != want.hash {
		return bad(errPageHash)
	}
	if level > 0 {
		if err := w.inner.Parse(plain, uint8(level), want.index); err != nil {
			return bad(err)
		}
		w.m.inner(&w.inner)
		return nil
	}
	if err := w.leaf.Parse(plain, want.index); err != nil {
		return bad(err)
	}
	w.packs = w.m.leaf(&w.leaf, w.packs)
	return nil
}
