package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/zeebo/blake3"

	"holdfast/internal/blob"
	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// packProbe looks at every part of a pack, on one goroutine.
type packProbe struct {
	r      *reader
	dec    *compress.Decoder
	hasher *naming.Hasher
	buf    []byte // of one read
	packed []byte
	plain  []byte
}

func newPackProbe(r *reader) (*packProbe, error) {
	dec, err := compress.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &packProbe{
		r: r, dec: dec, hasher: r.names.Hasher(),
		packed: make([]byte, 0, format.MaxSealedGroup), plain: make([]byte, format.GroupSize),
	}, nil
}

// packState is what of a pack's frame is good.
type packState struct {
	dir        *pack.Directory     // of a data pack, from either place; nil: both are damaged
	pages      *pack.PageDirectory // of a page pack, likewise
	spare      []string            // what is damaged that restores don't read
	unreadable string              // why restores can read nothing of it; empty: they can
	gone       bool                // the object is missing
	suspect    bool                // the generation's own frame is damaged, so its groups may be
}

// footer returns the footer of an object that holds packs, by pack.
func (c *packProbe) footer(ctx context.Context, object string) (map[ID]format.FooterEntry, error) {
	size, err := c.r.store.Stat(ctx, object)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, missing(object, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", object, err)
	}
	bad := func(err error) error { return &CorruptError{Object: object, What: "footer", Err: err} }
	if size < int64(format.FooterSize(1)) || size > blob.MaxSize {
		return nil, bad(fmt.Errorf("%w: an object of %d bytes", format.ErrFormat, size))
	}
	b := make([]byte, min(size, int64(format.FooterSize(40))))
	if err := c.r.get(ctx, object, b, size-int64(len(b))); err != nil {
		return nil, err
	}
	n, err := format.ParseTrailer(b[len(b)-format.TrailerSize:])
	if err != nil || int64(n) > size {
		return nil, bad(cmp.Or(err, format.ErrFormat))
	}
	if n > len(b) {
		b = make([]byte, n)
		if err := c.r.get(ctx, object, b, size-int64(n)); err != nil {
			return nil, err
		}
	}
	entries, err := format.ParseFooter(b[len(b)-n:], size)
	if err != nil {
		return nil, bad(err)
	}
	footer := make(map[ID]format.FooterEntry, len(entries))
	for _, e := range entries {
		footer[e.Pack] = e
	}
	return footer, nil
}

// probe checks all of a pack but its groups and pages. Damage is no error.
func (c *packProbe) probe(ctx context.Context, p Placement, footer map[ID]format.FooterEntry) (*packState, error) {
	s := &packState{}
	want := format.FooterEntry{
		Pack: p.Pack, Generation: p.Generation, Kind: headerKind(p.Kind), Offset: p.Offset, Length: p.Length, DirOffset: p.DirOffset,
	}
	own, err := c.directoryAt(ctx, p, p.Object, p.Offset+p.DirOffset, s)
	s.gone = errors.Is(err, blob.ErrNotFound)
	switch {
	case err == nil:
	case !errors.Is(err, ErrCorrupt):
		return nil, err
	case s.gone:
		s.unreadable = err.Error()
	default:
		s.suspect = true
		s.spare = append(s.spare, err.Error())
		if s.unreadable, err = c.unreadable(ctx, p); err != nil {
			return nil, err
		}
	}
	if got, ok := footer[p.Pack]; !s.gone && (!ok || got != want) {
		s.suspect = true
		s.spare = append(s.spare, fmt.Sprintf("object %s is damaged: its footer doesn't say where pack %s lies", p.Object, p.Pack))
	}
	if p.DirObject != "" {
		again, err := c.directoryAt(ctx, p, p.DirObject, p.DirAt, s)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
		if err != nil {
			s.spare = append(s.spare, "second copy of its directory: "+err.Error())
		} else if own != nil && !bytes.Equal(own, again) {
			s.spare = append(s.spare, "the copies of its directory differ")
		}
	}
	return s, c.header(ctx, p, s)
}

// header compares the header that the generation begins with.
func (c *packProbe) header(ctx context.Context, p Placement, s *packState) error {
	var want format.Header
	switch {
	case s.dir != nil:
		want = s.dir.Header
	case s.pages != nil:
		want = s.pages.Header
	}
	if s.gone || want == (format.Header{}) {
		return nil
	}
	b := make([]byte, format.HeaderSize)
	err := c.r.get(ctx, p.Object, b, p.Offset)
	if err == nil && !bytes.Equal(b, want.Append(nil)) {
		err = &CorruptError{Object: p.Object, What: fmt.Sprintf("header at byte %d", p.Offset)}
	}
	if errors.Is(err, ErrCorrupt) {
		s.suspect = true
		s.spare = append(s.spare, err.Error())
		return nil
	}
	return err
}

func headerKind(k PackKind) format.Kind {
	if k == PagePack {
		return format.KindPagePack
	}
	return format.KindDataPack
}

// directoryAt reads one copy of a pack's directory, and keeps the first that
// is good.
func (c *packProbe) directoryAt(ctx context.Context, p Placement, object string, at int64, s *packState) ([]byte, error) {
	b, err := c.r.directoryBytes(ctx, p, object, at)
	if err != nil {
		return nil, err
	}
	bad := func(err error) error {
		return &CorruptError{Object: object, What: "directory of pack " + p.Pack.String(), Err: err}
	}
	if p.Kind == PagePack {
		d, err := pack.OpenPages(c.r.keys, expected(p), b)
		if err != nil {
			return nil, bad(err)
		}
		s.pages = d
		return b, nil
	}
	d, err := pack.Open(c.r.keys, expected(p), b)
	if err != nil {
		return nil, bad(err)
	}
	s.dir = d
	return b, nil
}

// unreadable asks the readers that restores use whether they can do with a
// directory that is damaged in its pack, and returns why not.
func (c *packProbe) unreadable(ctx context.Context, p Placement) (string, error) {
	var err error
	if p.Kind == PagePack {
		_, err = newPageReader(c.r).open(ctx, p, 0)
	} else {
		_, err = c.r.readDirectory(ctx, p, inPack)
	}
	if errors.Is(err, ErrCorrupt) {
		return err.Error(), nil
	}
	return "", err
}

// groupParts returns where a pack's groups lie, in the order of their offsets.
func groupParts(d *pack.Directory) []rewritePart {
	var parts []rewritePart
	for c, container := range d.Containers {
		for g := range container.Groups {
			if group := &container.Groups[g]; group.Present != 0 {
				parts = append(parts, rewritePart{number: int32(c*format.ContainerGroups + g), off: group.Offset, length: group.Length})
			}
		}
	}
	slices.SortFunc(parts, func(a, b rewritePart) int { return cmp.Compare(a.off, b.off) })
	return parts
}

// sample draws the groups of a pack that are read.
func (v *verifier) sample(p Placement, parts []rewritePart) []rewritePart {
	if v.share >= 1 {
		return parts
	}
	seed := v.seed[:]
	seed = append(slices.Clip(seed), p.Pack[:]...)
	seed = binary.LittleEndian.AppendUint32(seed, p.Generation)
	rng := rand.New(rand.NewChaCha8(blake3.Sum256(seed)))
	return slices.DeleteFunc(parts, func(rewritePart) bool { return rng.Float64() >= v.share })
}

// groups reads groups of a pack and calls bad with those whose blocks, or some
// of them, are not what their digests say. It returns how many bytes it read.
func (c *packProbe) groups(ctx context.Context, p Placement, d *pack.Directory, parts []rewritePart, bad func(group int, slots uint32, what string)) (int64, error) {
	box, err := sealing.New(c.r.keys, sealing.PackLabel, &d.Header)
	if err != nil {
		return 0, fmt.Errorf("open pack %s: %w", p.Pack, err)
	}
	read := int64(0)
	for len(parts) > 0 {
		if ctx.Err() != nil {
			return read, context.Cause(ctx)
		}
		n := runLength(parts, fetchSize, len(parts))
		err := c.run(ctx, p, d, box, parts[:n], bad)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return read, err
		}
		for i := 0; err != nil && i < n; i++ { // which of them can't be read
			one := parts[i : i+1]
			if err := c.run(ctx, p, d, box, one, bad); errors.Is(err, ErrCorrupt) {
				number := int(one[0].number)
				bad(number, d.Containers[number/format.ContainerGroups].Groups[number%format.ContainerGroups].Present, err.Error())
			} else if err != nil {
				return read, err
			}
		}
		read += int64(parts[n-1].off+parts[n-1].length) - int64(parts[0].off)
		parts = parts[n:]
	}
	return read, nil
}

// run reads groups at once and checks them.
func (c *packProbe) run(ctx context.Context, p Placement, d *pack.Directory, box *sealing.Box, parts []rewritePart, bad func(int, uint32, string)) error {
	first, last := &parts[0], &parts[len(parts)-1]
	size := int(last.off + last.length - first.off)
	if cap(c.buf) < size {
		c.buf = make([]byte, min(fetchSize, 2*size))
	}
	b := c.buf[:size]
	if err := c.r.get(ctx, p.Object, b, p.Offset+int64(first.off)); err != nil {
		return err
	}
	for i := range parts {
		number := int(parts[i].number)
		container := d.Containers[number/format.ContainerGroups]
		g := number % format.ContainerGroups
		group := &container.Groups[g]
		at := parts[i].off - first.off
		packed, err := box.Open(c.packed[:0], b[at:at+parts[i].length], sealing.GroupPart, uint64(number))
		var plain []byte
		if err == nil {
			plain, err = c.dec.Decode(c.plain[:group.Blocks()*format.BlockSize], packed, group.Codec)
		}
		if err != nil {
			bad(number, group.Present, fmt.Sprintf("object %s is damaged: group %d at byte %d: %v", p.Object, number, p.Offset+int64(group.Offset), err))
			continue
		}
		if wrong := wrongBlocks(c.hasher, group, plain, container.Digests[g*format.GroupBlocks:], group.Present); wrong != 0 {
			bad(number, wrong, fmt.Sprintf("object %s is damaged: blocks of group %d are not those of their digests", p.Object, number))
		}
	}
	return nil
}
