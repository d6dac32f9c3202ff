package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/sealing"
)

// IndexConfig bounds an Index.
type IndexConfig struct {
	Budget int64  // bytes of memory over all vaults; 0: 512 MiB
	Dir    string // folder of a cache of segments, shared by processes; empty: none
}

// Index is a process's sparse index over all its vaults. It is a hint: without
// it data is stored twice, never lost.
type Index struct {
	hooks *hooks.Index
	dir   string
}

// NewIndex returns an empty index, which backups fill as they need it.
func NewIndex(cfg IndexConfig) *Index {
	if cfg.Budget <= 0 {
		cfg.Budget = 512 << 20
	}
	return &Index{hooks: hooks.NewIndex(cfg.Budget), dir: cfg.Dir}
}

// Bytes returns how much memory the index takes.
func (x *Index) Bytes() int64 { return x.hooks.Bytes() }

// loadSegments brings the vault's segments into the index, and forgets those
// that a collection has merged. One that can't be had is left out.
func (s *session) loadSegments(ctx context.Context) {
	index := s.v.cfg.Index
	sizes := make(map[string]int64, len(s.begun.Segments))
	names := make([]string, 0, len(s.begun.Segments))
	for _, ref := range s.begun.Segments {
		sizes[ref.Object] = ref.Size
		names = append(names, ref.Object)
	}
	for _, name := range index.hooks.Keep(s.v.id, names) {
		if ctx.Err() != nil {
			return
		}
		segment, err := s.loadSegment(ctx, SegmentRef{Object: name, Size: sizes[name]})
		if err != nil {
			s.v.cfg.Log.WarnContext(ctx, "index segment is left out", "object", name, "error", err)
			continue
		}
		index.hooks.Add(s.v.id, name, segment)
	}
	s.index = index.hooks.View(s.v.id)
}

func (s *session) loadSegment(ctx context.Context, ref SegmentRef) (*hooks.Segment, error) {
	file := s.v.cfg.Index.file(s.v.id, ref.Object)
	if file != "" {
		if b, err := os.ReadFile(file); err == nil {
			if segment, err := openSegment(s.v.cfg.Keys, b); err == nil {
				return segment, nil
			}
		}
	}
	if ref.Size < format.HeaderSize || ref.Size > blob.MaxSize {
		return nil, fmt.Errorf("index segment of %d bytes", ref.Size)
	}
	b := make([]byte, ref.Size)
	if err := s.read.get(ctx, ref.Object, b, 0); err != nil {
		return nil, err
	}
	segment, err := openSegment(s.v.cfg.Keys, b)
	if err != nil {
		return nil, err
	}
	if file != "" {
		if err := keepFile(file, b); err != nil {
			s.v.cfg.Log.WarnContext(ctx, "index segment is not cached", "file", file, "error", err)
		}
	}
	return segment, nil
}

func openSegment(keys Keys, b []byte) (*hooks.Segment, error) {
	_, plain, err := openWhole(keys, b, format.KindIndex, sealing.IndexLabel)
	if err != nil {
		return nil, err
	}
	return hooks.ParseSegment(plain)
}

// file returns where a segment is cached, as sealed as in the store; empty for
// nowhere.
func (x *Index) file(vault ID, object string) string {
	if x.dir == "" {
		return ""
	}
	return filepath.Join(x.dir, vault.String(), path.Base(object))
}

// keepFile renames a file into place, whole. Losing it in a crash is no harm:
// it is checked when it is read.
func keepFile(file string, b []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if old, err := os.ReadFile(file); err == nil && bytes.Equal(old, b) {
		return nil
	}
	tmp, err := os.CreateTemp(dir, ".segment-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		if rm := os.Remove(tmp.Name()); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}
