package vault

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// pageReader loads pages for one goroutine. Pages that follow each other in a
// volume lie side by side, so it reads ahead; its memory is about limit.
type pageReader struct {
	r      *reader
	hasher *naming.Hasher
	packs  []*pagePack // the most recently used first
	size   int64       // of what these hold
	limit  int64
	plain  []byte
}

const (
	pagePacksKept  = 256
	pageBytesKept  = 8 << 20
	pagePackWhole  = 512 << 10 // a pack of at most this size is read at once
	pageWindowSize = 256 << 10
	pageFetchers   = 8
	prefetched     = 4 << 20 // of sealed pages, at most
	maxPageDir     = format.HeaderSize + 8 + 4*pack.MaxPages + format.TagSize
)

// pagePack is what is known of a generation of a page pack.
type pagePack struct {
	place Placement
	dir   *pack.PageDirectory
	box   *sealing.Box
	spans []pageSpan // the newest last
	size  int64      // of dir and spans
}

// pageSpan is a range of a page pack's bytes.
type pageSpan struct {
	off int64 // from the pack's header
	b   []byte
}

func newPageReader(r *reader) *pageReader {
	return &pageReader{r: r, hasher: r.names.Hasher(), limit: pageBytesKept}
}

// Page returns the content of a page, good until the next call.
func (p *pageReader) Page(ctx context.Context, ref maps.Ref) ([]byte, error) {
	place, err := p.r.placement(ctx, ref.Pack)
	if err != nil {
		return nil, err
	}
	err = p.r.follow(ctx, place, func(now Placement) error { return p.load(ctx, now, ref) })
	return p.plain, err
}

// load reads a page to p.plain.
func (p *pageReader) load(ctx context.Context, place Placement, ref maps.Ref) error {
	pk := p.find(ref.Pack)
	if pk == nil || pk.place != place { // another one has found out that it was moved
		var err error
		if pk, err = p.open(ctx, place, pagePackWhole); err != nil {
			return err
		}
		p.add(pk)
	}
	if !pk.dir.Present(ref.Page) {
		return p.damage(pk.place, ref, fmt.Errorf("it is not among the pack's %d pages", len(pk.dir.Offsets)-1))
	}
	sealed, err := p.sealed(ctx, pk, int64(pk.dir.Offsets[ref.Page]), int64(pk.dir.Offsets[ref.Page+1]))
	if err != nil {
		return err
	}
	p.plain, err = pk.box.Open(p.plain[:0], sealed, sealing.PagePart, uint64(ref.Page))
	if err != nil {
		return p.damage(pk.place, ref, err)
	}
	if p.hasher.Page(p.plain) != ref.Hash {
		return p.damage(pk.place, ref, errPageHash)
	}
	return nil
}

var errPageHash = fmt.Errorf("%w: the page is not the one that was referred to", format.ErrFormat)

// Bad returns the error for a page with the wrong content.
func (p *pageReader) Bad(ref maps.Ref, err error) error {
	place, _ := p.r.places.get(ref.Pack)
	place.Pack = ref.Pack
	return p.damage(place, ref, err)
}

func (p *pageReader) damage(place Placement, ref maps.Ref, err error) error {
	return &CorruptError{Object: placeName(place), What: fmt.Sprintf("page %d", ref.Page), Err: err}
}

// find returns a pack that is open, nil for none.
func (p *pageReader) find(id ID) *pagePack {
	for i, pk := range p.packs {
		if pk.place.Pack == id {
			copy(p.packs[1:i+1], p.packs[:i])
			p.packs[0] = pk
			return pk
		}
	}
	return nil
}

// add puts a pack among those that are open, and lets go of what was not used
// for long.
func (p *pageReader) add(pk *pagePack) {
	p.drop(pk.place.Pack)
	p.packs = slices.Insert(p.packs, 0, pk)
	p.size += pk.size
	p.trim()
}

func (p *pageReader) trim() {
	for n := len(p.packs); n > 1 && (n > pagePacksKept || p.size > p.limit); n-- {
		p.size -= p.packs[n-1].size
		p.packs[n-1] = nil
		p.packs = p.packs[:n-1]
	}
}

// drop closes a pack.
func (p *pageReader) drop(id ID) {
	for i, pk := range p.packs {
		if pk.place.Pack == id {
			p.size -= pk.size
			p.packs = slices.Delete(p.packs, i, i+1)
			return
		}
	}
}

// open reads the directory of a page pack, and of one that is no larger than
// whole all pages too.
func (p *pageReader) open(ctx context.Context, place Placement, whole int64) (*pagePack, error) {
	if place.Object == "" || place.Kind != PagePack {
		return nil, &CorruptError{Object: placeName(place), What: "it is no page pack that is known"}
	}
	n := place.Length - place.DirOffset
	if n <= 0 || n > maxPageDir {
		return nil, &CorruptError{Object: place.Object, What: fmt.Sprintf("page directory of %d bytes", n)}
	}
	from := place.DirOffset
	if place.Length <= whole {
		from = 0
	}
	b := make([]byte, place.Length-from)
	pk := &pagePack{place: place}
	err := p.r.get(ctx, place.Object, b, place.Offset+from)
	if err == nil {
		err = pk.open(p.r, b[place.DirOffset-from:], place.Object)
	}
	if err != nil {
		if ctx.Err() != nil || place.DirObject == "" {
			return nil, err
		}
		dir := make([]byte, n)
		if cerr := p.r.get(ctx, place.DirObject, dir, place.DirAt); cerr != nil || pk.open(p.r, dir, place.DirObject) != nil {
			return nil, err
		}
	} else if from == 0 {
		pk.spans = []pageSpan{{b: b[:place.DirOffset]}}
		pk.size += place.DirOffset
	}
	return pk, nil
}

// open opens the pack's directory, as it was read from an object.
func (pk *pagePack) open(r *reader, b []byte, object string) error {
	dir, err := pack.OpenPages(r.keys, expected(pk.place), b)
	if err != nil {
		return &CorruptError{Object: object, What: "page directory", Err: err}
	}
	if pk.box, err = sealing.New(r.keys, sealing.PageLabel, &dir.Header); err != nil {
		return &CorruptError{Object: object, What: "header", Err: err}
	}
	pk.dir, pk.size = dir, int64(4*len(dir.Offsets))
	return nil
}

// held returns the bytes from off to end, where they have been read.
func (pk *pagePack) held(off, end int64) []byte {
	for i := len(pk.spans) - 1; i >= 0; i-- {
		if s := &pk.spans[i]; s.off <= off && end <= s.off+int64(len(s.b)) {
			return s.b[off-s.off : end-s.off]
		}
	}
	return nil
}

// sealed returns the bytes from off to end of a page pack.
func (p *pageReader) sealed(ctx context.Context, pk *pagePack, off, end int64) ([]byte, error) {
	if b := pk.held(off, end); b != nil {
		return b, nil
	}
	s := pageSpan{off: off, b: make([]byte, min(pageWindowSize, pk.place.DirOffset-off))}
	if err := p.r.get(ctx, pk.place.Object, s.b, pk.place.Offset+off); err != nil {
		return nil, err
	}
	p.hold(pk, s)
	return s.b[:end-off], nil
}

// hold keeps a span that was read, and of one pack no more than half of all.
func (p *pageReader) hold(pk *pagePack, s pageSpan) {
	n := int64(len(s.b))
	for len(pk.spans) > 0 && pk.size+n > p.limit/2 {
		old := int64(len(pk.spans[0].b))
		pk.spans = slices.Delete(pk.spans, 0, 1)
		pk.size, p.size = pk.size-old, p.size-old
	}
	pk.spans = append(pk.spans, s)
	pk.size, p.size = pk.size+n, p.size+n
	p.trim()
}

// pageWant is what prefetch reads of one pack.
type pageWant struct {
	place  Placement
	pack   *pagePack // nil: not open yet
	pages  []uint32  // sorted
	opened bool
	spans  []pageSpan
}

// prefetch reads the pages that references name, few of each pack or many, in
// few reads that run at once. What it can't read, Page will meet again.
func (p *pageReader) prefetch(ctx context.Context, refs []maps.Ref) {
	wants := p.wanted(ctx, refs)
	limit := make(chan struct{}, pageFetchers)
	var wg sync.WaitGroup
	for _, w := range wants {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			w.read(ctx, p, min(pagePackWhole, p.limit/2/int64(len(wants))))
		})
	}
	wg.Wait()
	for _, w := range wants {
		if w.opened {
			p.add(w.pack)
		} else if p.find(w.place.Pack) != w.pack {
			continue
		}
		for _, s := range w.spans {
			p.hold(w.pack, s)
		}
	}
}

// wanted sorts references by pack, as many as may be kept.
func (p *pageReader) wanted(ctx context.Context, refs []maps.Ref) []*pageWant {
	ids := make([]ID, 0, 8)
	byPack := map[ID]*pageWant{}
	for _, ref := range refs {
		w := byPack[ref.Pack]
		if w == nil {
			if len(ids) == pagePacksKept/2 {
				continue
			}
			w = &pageWant{pack: p.find(ref.Pack)}
			byPack[ref.Pack] = w
			ids = append(ids, ref.Pack)
		}
		w.pages = append(w.pages, ref.Page)
	}
	places, err := p.r.placements(ctx, ids)
	if err != nil {
		return nil
	}
	wants := make([]*pageWant, len(ids))
	for i, id := range ids {
		wants[i] = byPack[id]
		wants[i].place = places[i]
		slices.Sort(wants[i].pages)
	}
	return wants
}

// read reads what is wanted of one pack, or all of it; see open.
func (w *pageWant) read(ctx context.Context, p *pageReader, whole int64) {
	if w.pack == nil {
		pk, err := p.open(ctx, w.place, whole)
		if err != nil {
			return
		}
		w.pack, w.opened = pk, true
	}
	pk := w.pack
	var s pageSpan
	var n, total int64
	flush := func() {
		if n > 0 && ctx.Err() == nil {
			s.b = make([]byte, n)
			if err := p.r.get(ctx, pk.place.Object, s.b, pk.place.Offset+s.off); err == nil {
				w.spans = append(w.spans, s)
			}
		}
		n = 0
	}
	for _, page := range w.pages {
		if !pk.dir.Present(page) {
			continue
		}
		off, end := int64(pk.dir.Offsets[page]), int64(pk.dir.Offsets[page+1])
		if pk.held(off, end) != nil {
			continue
		}
		if total += end - off; total > prefetched {
			break
		}
		if n > 0 && off <= s.off+n+pageWindowSize/4 {
			n = max(n, end-s.off)
			continue
		}
		flush()
		s, n = pageSpan{off: off}, end-off
	}
	flush()
}
