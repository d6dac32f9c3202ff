package vault

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
)

// rewriteItem asks for a pack's next generation.
type rewriteItem struct {
	place Placement                        // the present generation
	live  *[format.PackContainers]blockSet // data packs: the blocks to keep; nil: all that are present
	pages *pageSet                         // page packs: the pages to keep; nil: all that are present
}

// rewriteOptions says how packs are rewritten.
type rewriteOptions struct {
	// compression is how groups are compressed that lose blocks. With
	// recompress, those that zstd didn't compress are compressed anew by it,
	// where that gains.
	compression Compression
	recompress  bool
	hooks       *hooks.Delta // takes the hooks of the new generations; nil: nothing does
	// damaged is told of each pack that is left out because what is to be
	// kept of it is damaged; nil: nobody is.
	damaged func(DamagedPack)
	mend    mender // makes damaged packs be rewritten too; nil: they are left out
	// objectSize is at which an object takes no more packs; 0: 32 MiB.
	objectSize int64
}

// mender has what is to be kept of a pack and is damaged. It is called
// concurrently.
type mender interface {
	// block fills b with the block of a digest, and reports whether somebody
	// has it.
	block(ctx context.Context, p Placement, group int32, slot int, d *format.Digest, b []byte) (bool, error)
	// lose is told of a page that the next generation won't have.
	lose(p Placement, page int32)
}

// The rewriter reads runs of groups or pages, several at a time, into memory
// that is bounded by these.
const (
	mergedSize   = 32 << 20
	rewriteRead  = 2 << 20
	rewriteGap   = 64 << 10
	rewriteParts = 512
	rewriteAhead = 16 // packs whose directories are read ahead
	minRewriters = 4
)

// rewrite makes the next generation of each item durable, several in an
// object, with the second copies of their directories and placement segments,
// and returns where they lie. What is kept is checked: of data packs each
// block against its digest. A pack of which something kept is damaged is left
// out, or rewritten without that, if opt.mend is there; the digests of blocks
// that are lost are kept. Numbers of blocks and pages stay what they are.
//
// It takes what the writer has placed, so nothing else may place packs by the
// same writer at the same time.
func (w *writer) rewrite(ctx context.Context, items []rewriteItem, opt rewriteOptions) ([]Placement, error) {
	if opt.objectSize <= 0 {
		opt.objectSize = mergedSize
	}
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(a, b rewriteItem) int { return cmp.Compare(a.place.Kind, b.place.Kind) })
	puts, running := errgroup.WithContext(ctx)
	puts.SetLimit(1)
	r := &rewriter{w: w, opt: opt, puts: puts}
	err := r.run(running, items)
	if perr := puts.Wait(); perr != nil {
		return nil, perr
	}
	if err == nil {
		err = w.list(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	return w.takePlaced(), nil
}

// rewriter rewrites packs: it plans runs, which its workers read, check and
// seal anew, and puts the results together in the order of the plan.
type rewriter struct {
	w        *writer
	opt      rewriteOptions
	encoders encoders
	puts     *errgroup.Group // one object goes to the store while the next is made

	jobs    chan *rewriteRun
	free    []*rewriteRun
	pending []*rewriteRun // handed out, oldest first
	object  *mergedObject // nil: none is open
}

// rewriteRun is a part of a pack that is read at once.
type rewriteRun struct {
	p           *rewritePack
	first, last bool // of its pack
	parts       []rewritePart
	in, out     []byte
	sealed      []format.Group // of parts; Offset is not known yet
	err         error
	done        chan struct{}
}

// rewritePart is a group or page of the present generation.
type rewritePart struct {
	number int32
	off    uint32
	length uint32
}

func (r *rewriteRun) off() int64 { return int64(r.parts[0].off) }

func (r *rewriteRun) size() int64 {
	end := &r.parts[len(r.parts)-1]
	return int64(end.off) + int64(end.length) - r.off()
}

func (r *rewriter) run(ctx context.Context, items []rewriteItem) error {
	work, cancel := context.WithCancel(ctx) // what is stored outlives it
	var workers sync.WaitGroup
	r.jobs = make(chan *rewriteRun)
	defer func() {
		cancel()
		r.drop()
		close(r.jobs)
		workers.Wait()
	}()
	var err error
	if r.encoders, err = newEncoders(r.w.v.cfg.Workers, dense(&r.opt)); err != nil {
		return err
	}
	for range max(r.w.v.cfg.Workers, minRewriters) {
		worker, err := newRewriteWorker(r)
		if err != nil {
			return err
		}
		workers.Go(func() {
			defer worker.dec.Close()
			for run := range r.jobs {
				run.err = worker.do(work, run)
				close(run.done)
			}
		})
		r.free = append(r.free, &rewriteRun{})
	}
	for i := range items {
		if i%rewriteAhead == 0 {
			r.readAhead(ctx, items[i:min(len(items), i+rewriteAhead)])
		}
		if err := r.item(ctx, &items[i]); err != nil {
			return err
		}
	}
	for len(r.pending) > 0 {
		if err := r.next(ctx); err != nil {
			return err
		}
	}
	return r.store(ctx)
}

// drop waits for what is under way, after an error.
func (r *rewriter) drop() {
	for _, run := range r.pending {
		<-run.done
	}
	if r.object != nil {
		r.object.body.release()
	}
}

// readAhead brings the directories of data packs into the reader's cache. What
// fails is met again when the pack's turn comes.
func (r *rewriter) readAhead(ctx context.Context, items []rewriteItem) {
	var group errgroup.Group
	group.SetLimit(8)
	for i := range items {
		if p := &items[i].place; p.Kind == DataPack {
			group.Go(func() error {
				_, err := r.w.read.directory(ctx, *p, inCopy)
				return err
			})
		}
	}
	_ = group.Wait()
}

// item plans a pack's runs and hands them out.
func (r *rewriter) item(ctx context.Context, item *rewriteItem) error {
	p, parts, err := r.begin(ctx, item)
	if err != nil {
		return r.leaveOut(item.place, err)
	}
	first := true
	for {
		n := runLength(parts, rewriteRead, rewriteParts)
		run, err := r.take(ctx)
		if err != nil {
			return err
		}
		run.p, run.first, run.last = p, first, n == len(parts)
		run.parts = append(run.parts[:0], parts[:n]...)
		run.sealed, run.out, run.err, run.done = run.sealed[:0], run.out[:0], nil, make(chan struct{})
		select {
		case r.jobs <- run:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		r.pending = append(r.pending, run)
		first, parts = false, parts[n:]
		if len(parts) == 0 {
			return nil
		}
	}
}

// runLength returns how many parts the next run has: at most limit, of at most
// size bytes.
func runLength(parts []rewritePart, size uint32, limit int) int {
	for n := 1; n < len(parts); n++ {
		end := parts[n-1].off + parts[n-1].length
		if n == limit || parts[n].off > end+rewriteGap || parts[n].off+parts[n].length-parts[0].off > size {
			return n
		}
	}
	return len(parts)
}

// take returns a run that is free; it puts down what is done until one is.
func (r *rewriter) take(ctx context.Context) (*rewriteRun, error) {
	for len(r.free) == 0 {
		if err := r.next(ctx); err != nil {
			return nil, err
		}
	}
	run := r.free[len(r.free)-1]
	r.free = r.free[:len(r.free)-1]
	return run, nil
}

// next waits for the oldest run and puts its result down.
func (r *rewriter) next(ctx context.Context) error {
	run := r.pending[0]
	<-run.done
	r.pending = slices.Delete(r.pending, 0, 1)
	r.free = append(r.free, run)
	p := run.p
	switch {
	case p.failed:
		return nil // what is wrong was said
	case run.err != nil:
		p.failed = true
		if !run.first {
			r.object.body.cut(p.start)
		}
		return r.leaveOut(p.place, run.err)
	}
	if run.first {
		if err := r.start(ctx, p); err != nil {
			return err
		}
	}
	r.object.add(run)
	if run.last {
		return r.object.end(p)
	}
	return nil
}

// leaveOut tells of a damaged pack. Other errors are returned.
func (r *rewriter) leaveOut(p Placement, err error) error {
	var damage *CorruptError
	if !errors.As(err, &damage) {
		return err
	}
	if r.opt.damaged != nil {
		r.opt.damaged(DamagedPack{
			Pack: p.Pack, Generation: p.Generation, Kind: p.Kind, Object: p.Object, What: []string{damage.Error()},
		})
	}
	return nil
}

// start begins a pack's next generation in the open object, or in a new one
// where that has no room.
func (r *rewriter) start(ctx context.Context, p *rewritePack) error {
	if o := r.object; o != nil {
		room := blob.MaxSize - int64(format.FooterSize(len(o.entries)+1))
		if o.kind != p.place.Kind || o.body.size+p.likely > r.opt.objectSize || o.body.size+p.most > room {
			if err := r.store(ctx); err != nil {
				return err
			}
		}
	}
	if r.object == nil {
		var err error
		if r.object, err = r.w.newMerged(p.place.Kind); err != nil {
			return err
		}
	}
	p.start = r.object.body.size
	r.object.body.Write(p.header.Append(nil))
	return nil
}

// store sends the open object to the store.
func (r *rewriter) store(ctx context.Context) error {
	o := r.object
	r.object = nil
	if o == nil {
		return nil
	}
	r.puts.Go(func() error {
		defer o.body.release()
		return r.w.putMerged(ctx, o, r.opt.hooks)
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
