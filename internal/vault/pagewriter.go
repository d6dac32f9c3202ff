package vault

import (
	"context"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// pagePackSize is the size in bytes at which a page pack is ended.
const pagePackSize = 4 << 20

// maxPagesInPack keeps a page directory small enough to be read at once.
const maxPagesInPack = 16 << 10

// pageWriter fills a session's page packs; one goroutine uses it. It is the
// builder's sink.
type pageWriter struct {
	s      *session
	parent *maps.Tree // nil for none
	hasher *naming.Hasher
	sem    chan struct{} // a place for each page pack in memory

	open   *openPages // nil for none
	page   []byte
	sealed []byte
}

type openPages struct {
	dir  pack.PageDirectory
	name string
	box  *sealing.Box
	body body
}

func newPageWriter(s *session, parent *maps.Tree) *pageWriter {
	return &pageWriter{s: s, parent: parent, hasher: s.v.names.Hasher(), sem: make(chan struct{}, 2)}
}

// Inherit returns the parent's page where it has the same children.
func (w *pageWriter) Inherit(ctx context.Context, page *maps.Inner) (maps.Ref, bool) {
	if w.parent == nil {
		return maps.Ref{}, false
	}
	old, ref, err := w.parent.Inner(ctx, int(page.Level), page.Index)
	if err != nil || old == nil || old.Children != page.Children {
		return maps.Ref{}, false
	}
	return ref, true
}

// Store stores an inner page.
func (w *pageWriter) Store(ctx context.Context, page *maps.Inner) (maps.Ref, error) {
	w.page = page.Append(w.page[:0])
	return w.add(ctx, w.page)
}

// add stores an encoded page.
func (w *pageWriter) add(ctx context.Context, page []byte) (maps.Ref, error) {
	if w.open == nil {
		if err := w.begin(); err != nil {
			return maps.Ref{}, err
		}
	}
	o := w.open
	number := len(o.dir.Offsets) - 1
	w.sealed = o.box.Seal(w.sealed[:0], page, sealing.PagePart, uint64(number))
	o.body.Write(w.sealed)
	o.dir.Offsets = append(o.dir.Offsets, uint32(o.body.size))
	ref := maps.Ref{Pack: o.dir.Header.Identity, Page: uint32(number), Hash: w.hasher.Page(page)}
	if o.body.size >= pagePackSize || number+1 == maxPagesInPack {
		return ref, w.flush(ctx)
	}
	return ref, nil
}

func (w *pageWriter) begin() error {
	id, err := w.s.random()
	if err != nil {
		return err
	}
	h, err := w.s.header(format.KindPagePack, id)
	if err != nil {
		return err
	}
	o := &openPages{dir: pack.PageDirectory{Header: h, Offsets: []uint32{format.HeaderSize}}, body: body{pool: &w.s.chunks}}
	if o.name, err = w.s.name(format.Pages); err != nil {
		return err
	}
	if o.box, err = sealing.New(w.s.v.cfg.Keys, sealing.PageLabel, &h); err != nil {
		return err
	}
	o.body.Write(h.Append(nil))
	w.open = o
	return nil
}

// flush sends the open page pack to the store.
func (w *pageWriter) flush(ctx context.Context) error {
	o := w.open
	if o == nil {
		return nil
	}
	box, err := sealing.New(w.s.v.cfg.Keys, sealing.DirectoryLabel, &o.dir.Header)
	if err != nil {
		return err
	}
	select {
	case w.sem <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	w.open = nil
	w.s.uploads.run(func() error {
		defer func() { <-w.sem }()
		defer o.body.release()
		return w.s.putPlaced(ctx, &o.body, placedPack{
			header: o.dir.Header, kind: PagePack, name: o.name,
			dir: o.dir.Append(nil, box), live: int64(len(o.dir.Offsets) - 1),
		})
	})
	return nil
}
