package vault

import (
	"context"
	"fmt"
	"sync"

	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/sealing"
)

// A job's fetchers each hold about 9 MiB.
const (
	minFetchers = 4
	maxFetchers = 10
	writeSize   = 1 << 20
)

// fetcher reads, checks and writes pieces on one goroutine.
type fetcher struct {
	x      *restorer
	dec    *compress.Decoder
	hasher *naming.Hasher
	buf    []byte // of one read
	packed []byte
	group  []byte

	box   *sealing.Box // of pack
	pack  int32
	out   []byte // what is to be written at outAt
	outAt int64
}

// fetch carries out the window's plan.
func (x *restorer) fetch(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tasks := make(chan fetch)
	var wg sync.WaitGroup
	for len(x.idle) < x.fetchers {
		f, err := newFetcher(x)
		if err != nil {
			return err
		}
		x.idle = append(x.idle, f)
	}
	for _, f := range x.idle {
		wg.Go(func() {
			f.pack = -1
			for t := range tasks {
				if ctx.Err() != nil {
					continue
				}
				if err := f.do(ctx, t); err != nil {
					cancel(err)
				}
			}
		})
	}
	for first := 0; first < len(x.plan.pieces) && ctx.Err() == nil; {
		t := x.plan.next(first)
		first = t.end
		tasks <- t
	}
	close(tasks)
	err := x.zero(ctx)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// zero makes the window's holes read as zeros.
func (x *restorer) zero(ctx context.Context) error {
	for _, h := range x.plan.holes {
		for off := h.Offset; off < h.end(); off += zeroPiece {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := x.req.Target.Zero(off, min(zeroPiece, h.end()-off)); err != nil {
				return &TargetError{Err: err}
			}
		}
	}
	return nil
}

func (x *restorer) close() {
	for _, f := range x.idle {
		f.dec.Close()
	}
}

func newFetcher(x *restorer) (*fetcher, error) {
	dec, err := compress.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &fetcher{
		x: x, dec: dec, hasher: x.r.names.Hasher(),
		packed: make([]byte, 0, format.MaxSealedGroup), group: make([]byte, format.GroupSize), out: make([]byte, 0, writeSize),
	}, nil
}

// do reads a run of groups and writes the pieces that lie in them.
func (f *fetcher) do(ctx context.Context, t fetch) error {
	f.out = f.out[:0]
	if int64(cap(f.buf)) < t.size {
		f.buf = make([]byte, min(fetchSize, 2*t.size))
	}
	buf := f.buf[:t.size]
	if err := f.x.r.get(ctx, t.object, buf, t.off); err != nil {
		return err
	}
	f.x.read.Add(t.size)
	w := &f.x.plan
	for i := t.first; i < t.end; {
		p := &w.pieces[i]
		at := w.at(p) - t.off
		group, err := f.open(p, buf[at:at+int64(p.group.Length)])
		if err != nil {
			return err
		}
		for ; i < t.end && w.pieces[i].pack == p.pack && w.pieces[i].part == p.part; i++ {
			if err := f.write(ctx, &w.pieces[i], group); err != nil {
				return err
			}
		}
	}
	return f.flush(ctx)
}

// open opens and decompresses a piece's group.
func (f *fetcher) open(p *piece, sealed []byte) ([]byte, error) {
	pack := &f.x.plan.packs[p.pack]
	bad := func(err error) error {
		return &CorruptError{Object: pack.place.Object, What: fmt.Sprintf("group %d at byte %d", p.part, f.x.plan.at(p)), Err: err}
	}
	if f.pack != p.pack {
		box, err := sealing.New(f.x.r.keys, sealing.PackLabel, &pack.header)
		if err != nil {
			return nil, bad(err)
		}
		f.box, f.pack = box, p.pack
	}
	packed, err := f.box.Open(f.packed[:0], sealed, sealing.GroupPart, uint64(p.part))
	if err != nil {
		return nil, bad(err)
	}
	group, err := f.dec.Decode(f.group[:p.group.Blocks()*format.BlockSize], packed, p.group.Codec)
	if err != nil {
		return nil, bad(err)
	}
	return group, nil
}

// write checks the blocks of a piece and puts them in line for the target.
func (f *fetcher) write(ctx context.Context, p *piece, group []byte) error {
	for i := range int(p.count) {
		rank := p.group.Rank(int(p.slot) + i)
		block := group[rank*format.BlockSize : (rank+1)*format.BlockSize]
		if f.hasher.Block(block) != f.x.plan.digests[int(p.digest)+i] {
			pack := &f.x.plan.packs[p.pack]
			return &CorruptError{Object: pack.place.Object, What: fmt.Sprintf("block %d of group %d isn't that of its digest", int(p.slot)+i, p.part)}
		}
		off := p.offset + int64(i)*format.BlockSize
		if len(f.out) == writeSize || off != f.outAt+int64(len(f.out)) {
			if err := f.flush(ctx); err != nil {
				return err
			}
			f.outAt = off
		}
		f.out = append(f.out, block...)
	}
	return nil
}

// flush writes what is in line; the volume's last block is cut to its size.
func (f *fetcher) flush(ctx context.Context) error {
	b := f.out
	f.out = f.out[:0]
	if len(b) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	b = b[:min(int64(len(b)), f.x.size-f.outAt)]
	if _, err := f.x.req.Target.WriteAt(b, f.outAt); err != nil {
		return &TargetError{Err: err}
	}
	return nil
}
