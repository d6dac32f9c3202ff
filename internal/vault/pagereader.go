package vault

import (
	"context"
	"fmt"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// pageReader loads pages for one goroutine. Pages that follow each other in a
// volume lie side by side, so it reads ahead; its memory is about 4 MiB.
type pageReader struct {
	r       *reader
	hasher  *naming.Hasher
	packs   [pagePacksKept]*pagePack // the most recently used first
	windows [pageWindows]pageWindow  // likewise
	plain   []byte
}

const (
	pagePacksKept  = 8
	pageWindows    = 8
	pageWindowSize = 256 << 10
)

type pagePack struct {
	place Placement
	dir   *pack.PageDirectory
	box   *sealing.Box
}

type pageWindow struct {
	pack *pagePack
	off  int64 // from the pack's header
	b    []byte
}

func newPageReader(r *reader) *pageReader {
	return &pageReader{r: r, hasher: r.names.Hasher()}
}

// Page returns the content of a page, good until the next call.
func (p *pageReader) Page(ctx context.Context, ref maps.Ref) ([]byte, error) {
	pk, err := p.pack(ctx, ref.Pack)
	if err != nil {
		return nil, err
	}
	if !pk.dir.Present(ref.Page) {
		return nil, p.damage(pk.place, ref, fmt.Errorf("it is not among the pack's %d pages", len(pk.dir.Offsets)-1))
	}
	sealed, err := p.sealed(ctx, pk, int64(pk.dir.Offsets[ref.Page]), int64(pk.dir.Offsets[ref.Page+1]))
	if err != nil {
		return nil, err
	}
	p.plain, err = pk.box.Open(p.plain[:0], sealed, sealing.PagePart, uint64(ref.Page))
	if err != nil {
		return nil, p.damage(pk.place, ref, err)
	}
	if p.hasher.Page(p.plain) != ref.Hash {
		return nil, p.damage(pk.place, ref, errPageHash)
	}
	return p.plain, nil
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

// reset drops what was read, after the reader forgot where packs lie.
func (p *pageReader) reset() {
	p.packs = [pagePacksKept]*pagePack{}
	p.windows = [pageWindows]pageWindow{}
}

func (p *pageReader) pack(ctx context.Context, id ID) (*pagePack, error) {
	for i, pk := range p.packs {
		if pk != nil && pk.place.Pack == id {
			copy(p.packs[1:i+1], p.packs[:i])
			p.packs[0] = pk
			return pk, nil
		}
	}
	pk, err := p.open(ctx, id)
	if err != nil {
		return nil, err
	}
	copy(p.packs[1:], p.packs[:])
	p.packs[0] = pk
	return pk, nil
}

func (p *pageReader) open(ctx context.Context, id ID) (*pagePack, error) {
	place, err := p.r.placement(ctx, id)
	if err != nil {
		return nil, err
	}
	place.Pack = id
	if place.Object == "" || place.Kind != PagePack {
		return nil, &CorruptError{Object: placeName(place), What: "it is no page pack that is known"}
	}
	n := place.Length - place.DirOffset
	if n <= 0 || n > format.HeaderSize+8+4*pack.MaxPages+format.TagSize {
		return nil, &CorruptError{Object: place.Object, What: fmt.Sprintf("page directory of %d bytes", n)}
	}
	b := make([]byte, n)
	if err := p.r.get(ctx, place.Object, b, place.Offset+place.DirOffset); err != nil {
		return nil, err
	}
	dir, err := pack.OpenPages(p.r.keys, expected(place), b)
	if err != nil {
		return nil, &CorruptError{Object: place.Object, What: "page directory", Err: err}
	}
	box, err := sealing.New(p.r.keys, sealing.PageLabel, &dir.Header)
	if err != nil {
		return nil, &CorruptError{Object: place.Object, What: "header", Err: err}
	}
	return &pagePack{place: place, dir: dir, box: box}, nil
}

// sealed returns the bytes from off to end of a page pack.
func (p *pageReader) sealed(ctx context.Context, pk *pagePack, off, end int64) ([]byte, error) {
	for i, w := range p.windows {
		if w.pack == pk && w.off <= off && end <= w.off+int64(len(w.b)) {
			copy(p.windows[1:i+1], p.windows[:i])
			p.windows[0] = w
			return w.b[off-w.off : end-w.off], nil
		}
	}
	last := p.windows[pageWindows-1]
	if last.b == nil {
		last.b = make([]byte, 0, pageWindowSize)
	}
	n := min(pageWindowSize, pk.place.DirOffset-off)
	w := pageWindow{pack: pk, off: off, b: last.b[:n]}
	copy(p.windows[1:], p.windows[:])
	p.windows[0] = pageWindow{}
	if err := p.r.get(ctx, pk.place.Object, w.b, pk.place.Offset+off); err != nil {
		return nil, err
	}
	p.windows[0] = w
	return w.b[:end-off], nil
}
