package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// locateFunc is Fence.Locate, or what stands in for it over a bare store.
type locateFunc func(ctx context.Context, vault ID, packs []ID) ([]Placement, error)

type readerConfig struct {
	store  blob.Store
	keys   Keys
	names  *naming.Secret
	locate locateFunc
}

// reader reads a vault's objects for one job. It may be used concurrently.
type reader struct {
	readerConfig
	vault  ID
	places *recent[ID, Placement]
	dirs   *recent[PackGen, *dirEntry]
}

// The bounds of a job's caches: placements take about 400 bytes, directories
// up to 200 KiB.
const (
	placesKept = 4096
	dirsKept   = 40 // twice, at most
)

func newReader(cfg readerConfig) *reader {
	return &reader{
		readerConfig: cfg,
		vault:        ID(cfg.keys.ID()),
		places:       newRecent[ID, Placement](placesKept),
		dirs:         newRecent[PackGen, *dirEntry](dirsKept),
	}
}

// placement returns where a pack lies; its Object is empty where nobody knows.
func (r *reader) placement(ctx context.Context, id ID) (Placement, error) {
	if err := r.learn(ctx, []ID{id}); err != nil {
		return Placement{}, err
	}
	p, _ := r.places.get(id)
	return p, nil
}

// learn asks for the placements of those packs that are not known yet, in one
// call.
func (r *reader) learn(ctx context.Context, packs []ID) error {
	var ask []ID
	for _, id := range packs {
		if _, ok := r.places.get(id); !ok {
			ask = append(ask, id)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	found, err := r.locate(ctx, r.vault, ask)
	if err != nil {
		return fmt.Errorf("locate packs: %w", err)
	}
	if len(found) != len(ask) {
		return fmt.Errorf("locate packs: %d placements for %d packs", len(found), len(ask))
	}
	for i, id := range ask {
		r.places.set(id, found[i])
	}
	return nil
}

// forget drops what is known of where packs lie.
func (r *reader) forget() {
	r.places.clear()
	r.dirs.clear()
}

// get reads exactly len(p) bytes. That the object is too short, or missing, is
// damage.
func (r *reader) get(ctx context.Context, object string, p []byte, off int64) error {
	_, err := r.store.Get(ctx, object, p, off)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &CorruptError{Object: object, What: fmt.Sprintf("it ends before byte %d", off+int64(len(p))), Err: err}
	case errors.Is(err, blob.ErrNotFound):
		return missing(object, err)
	}
	return fmt.Errorf("read object %s: %w", object, err)
}

// whole reads an object of a kind whole and opens its only part.
func (r *reader) whole(ctx context.Context, object string, kind format.Kind, label sealing.Label) (format.Header, []byte, []byte, error) {
	size, err := r.store.Stat(ctx, object)
	if errors.Is(err, blob.ErrNotFound) {
		return format.Header{}, nil, nil, missing(object, err)
	}
	if err != nil {
		return format.Header{}, nil, nil, fmt.Errorf("read object %s: %w", object, err)
	}
	if size < format.HeaderSize+format.TagSize || size > blob.MaxSize {
		return format.Header{}, nil, nil, &CorruptError{Object: object, What: fmt.Sprintf("it has %d bytes", size)}
	}
	b := make([]byte, size)
	if err := r.get(ctx, object, b, 0); err != nil {
		return format.Header{}, nil, nil, err
	}
	h, plain, err := openWhole(r.keys, b, kind, label)
	if err != nil {
		return h, nil, nil, &CorruptError{Object: object, What: "its content", Err: err}
	}
	return h, plain, b, nil
}

// openWhole opens an object that is a header and one sealed part.
func openWhole(keys Keys, b []byte, kind format.Kind, label sealing.Label) (format.Header, []byte, error) {
	h, err := format.ParseHeader(b, kind)
	if err != nil {
		return h, nil, err
	}
	box, err := sealing.New(keys, label, &h)
	if err != nil {
		return h, nil, err
	}
	plain, err := box.Open(nil, b[format.HeaderSize:], sealing.WholePart, 0)
	return h, plain, err
}

// dirEntry is a directory that is being read, or has been.
type dirEntry struct {
	once sync.Once
	dir  *pack.Directory
	err  error
}

// directory returns the directory of a data pack as it lies now.
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
		}
	})
	if e.err != nil {
		r.dirs.drop(key)
	}
	return e.dir, e.err
}

// keep puts a directory that the job made itself among those it has read.
func (r *reader) keep(key PackGen, d *pack.Directory) {
	r.dirs.set(key, &dirEntry{dir: d})
}

// dirSource says which of a directory's two places is read.
type dirSource bool

const (
	inPack dirSource = false
	inCopy dirSource = true // where there is a copy; it falls back on the pack
)

func (r *reader) readDirectory(ctx context.Context, p Placement, from dirSource) (*pack.Directory, error) {
	if from == inCopy && p.DirObject != "" {
		b, err := r.directoryBytes(ctx, p, p.DirObject, p.DirAt)
		if err == nil {
			d, err := pack.Open(r.keys, expected(p), b)
			if err == nil {
				return d, nil
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	b, err := r.directoryBytes(ctx, p, p.Object, p.Offset+p.DirOffset)
	if err != nil {
		return nil, err
	}
	d, err := pack.Open(r.keys, expected(p), b)
	if err != nil {
		return nil, &CorruptError{Object: p.Object, What: "directory of pack " + p.Pack.String(), Err: err}
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
