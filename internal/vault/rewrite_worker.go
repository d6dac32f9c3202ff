package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// rewritePack is a pack on its way to its next generation.
type rewritePack struct {
	place        Placement     // the present generation
	header       format.Header // of the next one
	opens, seals *sealing.Box  // of groups or pages
	likely, most int64         // how long the next generation will be, and can be
	start        int64         // where it begins in its object
	failed       bool          // it is left out

	dir        *pack.Directory // of a data pack, as it is
	keep       [format.PackContainers]blockSet
	containers []*pack.Container // as they will be; digests are cut to what is present at the end

	lengths []uint32 // of a page pack's pages, sealed, as they will be
}

// begin reads a pack's directory, and returns what of it is to be kept, in the
// order in which it lies there.
func (r *rewriter) begin(ctx context.Context, item *rewriteItem) (*rewritePack, []rewritePart, error) {
	p := &rewritePack{place: item.place}
	var (
		old   *format.Header
		parts []rewritePart
		err   error
	)
	label, kind := sealing.PackLabel, format.KindDataPack
	if p.place.Kind == PagePack {
		label, kind = sealing.PageLabel, format.KindPagePack
		old, parts, err = r.beginPages(ctx, p, item.pages)
	} else {
		old, parts, err = r.beginData(ctx, p, item.live)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(parts) == 0 && p.keep != [format.PackContainers]blockSet{} {
		return nil, nil, &CorruptError{Object: p.place.Object, What: "all that is needed of pack " + p.place.Pack.String() + " is lost"}
	}
	if len(parts) == 0 {
		return nil, nil, fmt.Errorf("rewrite pack %s: nothing of it is kept", p.place.Pack)
	}
	if p.header, err = r.w.header(kind, p.place.Pack); err != nil {
		return nil, nil, err
	}
	p.header.Generation = p.place.Generation + 1
	if p.opens, err = sealing.New(r.w.v.cfg.Keys, label, old); err != nil {
		return nil, nil, &CorruptError{Object: p.place.Object, What: "header", Err: err}
	}
	p.seals, err = sealing.New(r.w.v.cfg.Keys, label, &p.header)
	return p, parts, err
}

func (r *rewriter) beginData(ctx context.Context, p *rewritePack, live *[format.PackContainers]blockSet) (*format.Header, []rewritePart, error) {
	d, err := r.w.read.directory(ctx, p.place, inCopy)
	if err != nil {
		return nil, nil, err
	}
	p.dir = d
	var parts []rewritePart
	blocks := 0
	for c, digests := range withLost(d) {
		container := d.Containers[c]
		p.containers = append(p.containers, &pack.Container{Groups: make([]format.Group, len(container.Groups)), Digests: digests})
		for g := range container.Groups {
			group := &container.Groups[g]
			all := known(digests[g*format.GroupBlocks:])
			keep := all
			if live != nil {
				keep = live[c].group(g)
			}
			if keep&^all != 0 {
				return nil, nil, &CorruptError{Object: p.place.Object, What: fmt.Sprintf(
					"it has no block %d in container %d", g*format.GroupBlocks+bits.TrailingZeros32(keep&^all), c)}
			}
			p.keep[c].addGroup(g, keep)
			n := bits.OnesCount32(keep)
			blocks += n
			if keep&group.Present == 0 && (keep == 0 || r.opt.mend == nil) {
				continue
			}
			p.likely += int64(group.Length) * int64(n) / int64(max(1, group.Blocks()))
			p.most += int64(n)*format.BlockSize + format.TagSize
			parts = append(parts, rewritePart{number: int32(c*format.ContainerGroups + g), off: group.Offset, length: group.Length})
		}
	}
	dir := int64(format.MaxSummary + 2*format.HeaderSize + blocks*(format.DigestSize+4) + (format.PackContainers+3)*format.TagSize)
	p.likely, p.most = p.likely+dir, p.most+dir
	slices.SortFunc(parts, func(a, b rewritePart) int { return cmp.Compare(a.off, b.off) })
	return &d.Header, parts, nil
}

// withLost returns the digests of a directory's containers, those of lost
// blocks among them.
func withLost(d *pack.Directory) [][]format.Digest {
	out := make([][]format.Digest, len(d.Containers))
	for c := range out {
		out[c] = make([]format.Digest, len(d.Containers[c].Groups)*format.GroupBlocks)
		copy(out[c], d.Containers[c].Digests)
	}
	for _, l := range d.Lost {
		out[l.Container][l.Block] = l.Digest
	}
	return out
}

// known returns the slots of the first group that have a digest.
func known(digests []format.Digest) uint32 {
	all := uint32(0)
	for slot := range digests[:format.GroupBlocks] {
		if digests[slot] != (format.Digest{}) {
			all |= 1 << slot
		}
	}
	return all
}

func (r *rewriter) beginPages(ctx context.Context, p *rewritePack, pages *pageSet) (*format.Header, []rewritePart, error) {
	d, err := r.w.read.pageDirectory(ctx, p.place, inCopy)
	if err != nil {
		return nil, nil, err
	}
	n := len(d.Offsets) - 1
	p.lengths = make([]uint32, n)
	var parts []rewritePart
	for i := range n {
		if !d.Present(uint32(i)) || pages != nil && !pages.has(uint32(i)) {
			continue
		}
		parts = append(parts, rewritePart{number: int32(i), off: d.Offsets[i], length: d.Offsets[i+1] - d.Offsets[i]})
		p.likely += int64(d.Offsets[i+1] - d.Offsets[i])
	}
	if pages != nil && len(parts) < pages.count() {
		return nil, nil, &CorruptError{Object: p.place.Object, What: fmt.Sprintf("it has %d of %d pages that are needed", len(parts), pages.count())}
	}
	p.likely += int64(2*format.HeaderSize + 4*n + 64)
	p.most = p.likely
	return &d.Header, parts, nil
}

// pageDirectory reads the directory of a page pack from one of its places, and
// from the other where that fails.
func (r *reader) pageDirectory(ctx context.Context, p Placement, from dirSource) (*pack.PageDirectory, error) {
	if from == inCopy && p.DirObject != "" {
		if d, err := r.openPageDirectory(ctx, p, p.DirObject, p.DirAt); err == nil {
			return d, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return r.openPageDirectory(ctx, p, p.Object, p.Offset+p.DirOffset)
}

func (r *reader) openPageDirectory(ctx context.Context, p Placement, object string, at int64) (*pack.PageDirectory, error) {
	n := p.Length - p.DirOffset
	if n <= 0 || n > format.HeaderSize+8+4*pack.MaxPages+format.TagSize || at < 0 {
		return nil, &CorruptError{Object: object, What: fmt.Sprintf("page directory of %d bytes at %d", n, at)}
	}
	b := make([]byte, n)
	if err := r.get(ctx, object, b, at); err != nil {
		return nil, err
	}
	d, err := pack.OpenPages(r.keys, expected(p), b)
	if err != nil {
		return nil, &CorruptError{Object: object, What: "directory of page pack " + p.Pack.String(), Err: err}
	}
	return d, nil
}

// rewriteWorker reads, checks and seals runs on one goroutine.
type rewriteWorker struct {
	r      *rewriter
	hasher *naming.Hasher
	dec    *compress.Decoder

	packed []byte // a group as it was compressed
	plain  []byte
	kept   []byte
	again  []byte // a group compressed anew
}

// dense returns how groups are compressed anew: where time is of no matter, as
// densely as it goes.
func dense(opt *rewriteOptions) compress.Method {
	if opt.recompress && opt.compression == Small {
		return compress.ZstdBest
	}
	return method(opt.compression, true)
}

// encoders are fewer than the workers, which also wait for the store.
type encoders chan *compress.Encoder

// bestEncoders is how many of the densest there are: each takes 34 MiB of the
// job's budget.
const bestEncoders = 2

func newEncoders(n int, m compress.Method) (encoders, error) {
	if m == compress.ZstdBest {
		n = min(n, bestEncoders)
	}
	all := make(encoders, n)
	for range n {
		e, err := compress.NewEncoder(m)
		if err != nil {
			return nil, err
		}
		all <- e
	}
	return all, nil
}

func (all encoders) encode(buf, group []byte) ([]byte, format.Codec) {
	e := <-all
	defer func() { all <- e }()
	return e.Encode(buf, group)
}

func newRewriteWorker(r *rewriter) (*rewriteWorker, error) {
	dec, err := compress.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &rewriteWorker{
		r: r, hasher: r.w.v.names.Hasher(), dec: dec,
		packed: make([]byte, 0, format.MaxSealedGroup), plain: make([]byte, format.GroupSize),
		kept: make([]byte, 0, format.GroupSize), again: make([]byte, compress.MaxEncoded()),
	}, nil
}

// do reads a run and seals its parts anew.
func (u *rewriteWorker) do(ctx context.Context, run *rewriteRun) error {
	size := run.size()
	if int64(cap(run.in)) < size {
		run.in = make([]byte, max(size, min(rewriteRead, 2*size)))
	}
	run.in = run.in[:size]
	place := &run.p.place
	whole := true
	if size == 0 {
		// Only blocks that were lost before.
	} else if err := u.r.w.read.get(ctx, place.Object, run.in, place.Offset+run.off()); err != nil {
		if u.r.opt.mend == nil || !errors.Is(err, ErrCorrupt) {
			return err
		}
		whole = false // part by part
	}
	for i := range run.parts {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		part := &run.parts[i]
		at := int64(part.off) - run.off()
		sealed := run.in[at : at+int64(part.length)]
		if !whole && part.length > 0 {
			err := u.r.w.read.get(ctx, place.Object, sealed, place.Offset+int64(part.off))
			if errors.Is(err, ErrCorrupt) {
				sealed = nil
			} else if err != nil {
				return err
			}
		}
		var err error
		if place.Kind == PagePack {
			err = u.page(run, part, sealed)
		} else {
			err = u.group(ctx, run, part, sealed)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// put appends a sealed part to the run's output.
func (run *rewriteRun) put(plain []byte, kind sealing.Part, number int32, g format.Group) {
	n := len(run.out)
	run.out = run.p.seals.Seal(run.out, plain, kind, uint64(number))
	g.Length = uint32(len(run.out) - n)
	run.sealed = append(run.sealed, g)
}

// page seals a page anew. Its hash stands in the references to it, which is
// why the seal alone is checked.
func (u *rewriteWorker) page(run *rewriteRun, part *rewritePart, sealed []byte) error {
	plain, err := run.p.opens.Open(u.plain[:0], sealed, sealing.PagePart, uint64(part.number))
	if err != nil {
		if u.r.opt.mend == nil {
			return &CorruptError{Object: run.p.place.Object, What: fmt.Sprintf("page %d", part.number), Err: err}
		}
		u.r.opt.mend.lose(run.p.place, part.number)
		run.sealed = append(run.sealed, format.Group{})
		return nil
	}
	run.put(plain, sealing.PagePart, part.number, format.Group{})
	return nil
}

// group seals the kept blocks of a group anew.
func (u *rewriteWorker) group(ctx context.Context, run *rewriteRun, part *rewritePart, sealed []byte) error {
	p := run.p
	c, g := int(part.number)/format.ContainerGroups, int(part.number)%format.ContainerGroups
	old := &p.dir.Containers[c].Groups[g]
	digests := p.containers[c].Digests[g*format.GroupBlocks:]
	keep := p.keep[c].group(g)
	packed, plain, err := u.open(p, part.number, old, sealed)
	bad := keep & old.Present
	if err == nil {
		bad = wrongBlocks(u.hasher, old, plain, digests, bad)
	}
	if u.r.opt.mend == nil {
		keep &= old.Present // what was lost before stays so
	} else {
		bad |= keep &^ old.Present
	}
	if bad != 0 && u.r.opt.mend == nil {
		what := fmt.Sprintf("group %d at byte %d", part.number, p.place.Offset+int64(old.Offset))
		if err == nil {
			what = fmt.Sprintf("block %d of group %d isn't that of its digest", bits.TrailingZeros32(bad), part.number)
		}
		return &CorruptError{Object: p.place.Object, What: what, Err: err}
	}
	next := format.Group{Present: keep, Codec: old.Codec}
	if bad == 0 && keep == old.Present {
		if again := u.recompressed(p, packed, plain, old.Codec); again != nil {
			packed, next.Codec = again, format.Zstd
		}
		run.put(packed, sealing.GroupPart, part.number, next)
		return nil
	}
	u.kept = u.kept[:0]
	for m := keep; m != 0; m &= m - 1 {
		slot := bits.TrailingZeros32(m)
		if bad>>slot&1 == 0 {
			rank := old.Rank(slot)
			u.kept = append(u.kept, plain[rank*format.BlockSize:(rank+1)*format.BlockSize]...)
			continue
		}
		n := len(u.kept)
		u.kept = u.kept[:n+format.BlockSize]
		ok, err := u.r.opt.mend.block(ctx, p.place, part.number, slot, &digests[slot], u.kept[n:])
		if err != nil {
			return err
		}
		if !ok {
			u.kept = u.kept[:n]
			next.Present &^= 1 << slot
		}
	}
	if next.Present == 0 {
		run.sealed = append(run.sealed, format.Group{})
		return nil
	}
	packed, next.Codec = u.r.encoders.encode(u.again, u.kept)
	run.put(packed, sealing.GroupPart, part.number, next)
	return nil
}

// open opens and decompresses a group of the present generation.
func (u *rewriteWorker) open(p *rewritePack, number int32, g *format.Group, sealed []byte) (packed, plain []byte, err error) {
	if packed, err = p.opens.Open(u.packed[:0], sealed, sealing.GroupPart, uint64(number)); err != nil {
		return nil, nil, err
	}
	plain, err = u.dec.Decode(u.plain[:g.Blocks()*format.BlockSize], packed, g.Codec)
	return packed, plain, err
}

// recompressed returns a group that a backup stored in haste compressed by zstd,
// nil where that isn't wanted or doesn't gain.
func (u *rewriteWorker) recompressed(p *rewritePack, packed, plain []byte, codec format.Codec) []byte {
	if !u.r.opt.recompress || codec == format.Zstd && (u.r.opt.compression != Small || p.place.Generation > 1) {
		return nil
	}
	again, codec := u.r.encoders.encode(u.again, plain)
	if codec != format.Zstd || len(again) >= len(packed) {
		return nil
	}
	return again
}

// wrongBlocks returns which of a group's wanted blocks are not those of their
// digests.
func wrongBlocks(h *naming.Hasher, g *format.Group, plain []byte, digests []format.Digest, want uint32) uint32 {
	bad := uint32(0)
	for m := want; m != 0; m &= m - 1 {
		slot := bits.TrailingZeros32(m)
		rank := g.Rank(slot)
		if h.Block(plain[rank*format.BlockSize:(rank+1)*format.BlockSize]) != digests[slot] {
			bad |= 1 << slot
		}
	}
	return bad
}
