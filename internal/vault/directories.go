package vault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/internal/vault/pack"
)

// dirEntry is a directory that is being read, or has been.
type dirEntry struct {
	once sync.Once
	done atomic.Bool // dir is there
	dir  *pack.Directory
	err  error
}

// directory returns the directory of a data pack's generation as it was placed.
// Where one of its two places doesn't have it intact, the other one is read.
func (r *reader) directory(ctx context.Context, p Placement, from dirSource) (*pack.Directory, error) {
	if p.Kind != DataPack {
		return nil, &CorruptError{Object: placeName(p), What: "it is no data pack"}
	}
	key := PackGen{Pack: p.Pack, Generation: p.Generation}
	r.dirs.mu.Lock()
	e, ok := r.dirs.now[key]
	if !ok {
		if e, ok = r.dirs.old[key]; !ok {
			e = &dirEntry{}
		}
		r.dirs.put(key, e)
	}
	r.dirs.mu.Unlock()
	e.once.Do(func() {
		if e.dir == nil {
			e.dir, e.err = r.readDirectory(ctx, p, from)
			e.done.Store(e.err == nil)
		}
	})
	if e.err != nil {
		r.dirs.drop(key)
	}
	return e.dir, e.err
}

// keep puts a directory that the job has already among those it has read.
func (r *reader) keep(key PackGen, d *pack.Directory) {
	e := &dirEntry{dir: d}
	e.done.Store(true)
	r.dirs.set(key, e)
}

// kept returns a directory that has been read, nil for none.
func (r *reader) kept(key PackGen) *pack.Directory {
	if e, ok := r.dirs.get(key); ok && e.done.Load() {
		return e.dir
	}
	return nil
}

// dirSource says which of a directory's two places is read first.
type dirSource bool

const (
	inPack dirSource = false
	inCopy dirSource = true // where there is a copy
)

func (r *reader) readDirectory(ctx context.Context, p Placement, from dirSource) (*pack.Directory, error) {
	first, second := r.ownDirectory, r.copiedDirectory
	if from == inCopy {
		first, second = second, first
	}
	d, err := first(ctx, p)
	if err == nil || ctx.Err() != nil {
		return d, err
	}
	d, again := second(ctx, p)
	if again == nil {
		return d, nil
	}
	if from == inCopy {
		err = again // what is said is of the pack's own directory
	}
	return nil, err
}

func (r *reader) ownDirectory(ctx context.Context, p Placement) (*pack.Directory, error) {
	return r.openDirectory(ctx, p, p.Object, p.Offset+p.DirOffset)
}

func (r *reader) copiedDirectory(ctx context.Context, p Placement) (*pack.Directory, error) {
	if p.DirObject == "" {
		return nil, &CorruptError{Object: p.Object, What: "there is no copy of its directory"}
	}
	return r.openDirectory(ctx, p, p.DirObject, p.DirAt)
}

func (r *reader) openDirectory(ctx context.Context, p Placement, object string, at int64) (*pack.Directory, error) {
	b, err := r.directoryBytes(ctx, p, object, at)
	if err != nil {
		return nil, err
	}
	d, err := pack.Open(r.keys, expected(p), b)
	if err != nil {
		return nil, &CorruptError{Object: object, What: "directory of pack " + p.Pack.String(), Err: err}
	}
	return d, nil
}

func (r *reader) directoryBytes(ctx context.Context, p Placement, object string, at int64) ([]byte, error) {
	n := p.Length - p.DirOffset
	if n <= 0 || n > pack.MaxDirectory || at < 0 {
		return nil, &CorruptError{Object: object, What: fmt.Sprintf("directory of %d bytes at %d", n, at)}
	}
	b := make([]byte, n)
	return b, r.get(ctx, object, b, at)
}

func expected(p Placement) pack.Expected {
	return pack.Expected{Pack: p.Pack, Generation: p.Generation, DirOffset: p.DirOffset}
}

// placeName names a placement's object, or the pack where it lies nowhere.
func placeName(p Placement) string {
	if p.Object == "" {
		return "pack " + p.Pack.String()
	}
	return p.Object
}

// Copies of directories lie side by side: many are read at once, at most
// dirFetchers times dirFetchSize bytes.
const (
	dirFetchSize = 8 << 20
	dirFetchGap  = 256 << 10
	dirFetchers  = 2
)

// dirFetch is one read of copies of directories: those of the packs from first
// to end.
type dirFetch struct {
	object     string
	off, size  int64
	first, end int
}

// directories calls use with the directory of each of the packs, from several
// goroutines but one at a time, and with the place that it is of: a newer one
// where the pack has been moved meanwhile. It puts places in another order.
func (r *reader) directories(ctx context.Context, places []Placement, use func(p Placement, d *pack.Directory) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slices.SortFunc(places, func(a, b Placement) int {
		return cmp.Or(cmp.Compare(a.DirObject, b.DirObject), cmp.Compare(a.DirAt, b.DirAt), cmp.Compare(a.Object, b.Object),
			cmp.Compare(a.Offset, b.Offset))
	})
	reads := make(chan dirFetch)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range dirFetchers {
		wg.Go(func() {
			for f := range reads {
				err := r.fetchDirectories(ctx, f, places, func(p Placement, d *pack.Directory) error {
					mu.Lock()
					defer mu.Unlock()
					return use(p, d)
				})
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	for first := 0; first < len(places) && ctx.Err() == nil; {
		f := r.nextDirectories(places, first)
		first = f.end
		reads <- f
	}
	close(reads)
	wg.Wait()
	return context.Cause(ctx)
}

// nextDirectories returns the read that begins with pack first. A directory
// that is known already, or has no copy, is one by itself, of no object.
func (r *reader) nextDirectories(places []Placement, first int) dirFetch {
	f := dirFetch{first: first, end: first + 1}
	p := &places[first]
	if p.DirObject == "" || r.kept(PackGen{Pack: p.Pack, Generation: p.Generation}) != nil {
		return f
	}
	f.object, f.off, f.size = p.DirObject, p.DirAt, p.Length-p.DirOffset
	for ; f.end < len(places); f.end++ {
		p := &places[f.end]
		end := p.DirAt + p.Length - p.DirOffset - f.off
		if p.DirObject != f.object || p.DirAt > f.off+f.size+dirFetchGap || end > dirFetchSize || end < f.size {
			break
		}
		f.size = end
	}
	return f
}

func (r *reader) fetchDirectories(ctx context.Context, f dirFetch, places []Placement, use func(Placement, *pack.Directory) error) error {
	var b []byte
	if f.end-f.first > 1 && f.size > 0 && f.size <= dirFetchSize {
		b = make([]byte, f.size)
		if err := r.get(ctx, f.object, b, f.off); err != nil {
			b = nil // each is looked for by itself
		}
	}
	for _, p := range places[f.first:f.end] {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		key := PackGen{Pack: p.Pack, Generation: p.Generation}
		d := r.kept(key)
		if d == nil && b != nil && p.Kind == DataPack {
			at := p.DirAt - f.off
			if got, err := pack.Open(r.keys, expected(p), b[at:at+p.Length-p.DirOffset]); err == nil {
				d = got
				r.keep(key, d)
			}
		}
		if d == nil {
			err := r.follow(ctx, p, func(now Placement) (err error) {
				if now.Object == "" {
					return &CorruptError{Object: placeName(now), What: "it lies nowhere that is known"}
				}
				p = now
				d, err = r.directory(ctx, now, inCopy)
				return err
			})
			if err != nil {
				return err
			}
		}
		if err := use(p, d); err != nil {
			return err
		}
	}
	return nil
}
