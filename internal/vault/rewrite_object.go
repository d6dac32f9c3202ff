package vault

import (
	"context"
	"math/bits"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// mergedObject is an object of several pack generations while it is put
// together.
type mergedObject struct {
	w       *writer
	name    string
	kind    PackKind
	body    body
	entries []format.FooterEntry
	packs   []placedPack
}

func (w *writer) newMerged(kind PackKind) (*mergedObject, error) {
	room := format.Packs
	if kind == PagePack {
		room = format.Pages
	}
	name, err := w.name(room)
	if err != nil {
		return nil, err
	}
	return &mergedObject{w: w, name: name, kind: kind, body: body{pool: &w.chunks}}, nil
}

// add appends what a run sealed.
func (o *mergedObject) add(run *rewriteRun) {
	p := run.p
	at := uint32(o.body.size - p.start)
	o.body.Write(run.out)
	for i := range run.parts {
		g := run.sealed[i]
		g.Offset = at
		at += g.Length
		number := int(run.parts[i].number)
		if p.place.Kind == PagePack {
			p.lengths[number] = g.Length
			continue
		}
		if g.Length > 0 {
			p.containers[number/format.ContainerGroups].Groups[number%format.ContainerGroups] = g
		}
	}
}

// end appends the pack's directory.
func (o *mergedObject) end(p *rewritePack) error {
	box, err := sealing.New(o.w.v.cfg.Keys, sealing.DirectoryLabel, &p.header)
	if err != nil {
		return err
	}
	placed := placedPack{header: p.header, kind: p.place.Kind, name: o.name}
	if p.place.Kind == PagePack {
		dir := pack.PageDirectory{Header: p.header, Offsets: []uint32{format.HeaderSize}}
		for _, n := range p.lengths {
			if n > 0 {
				placed.live++
			}
			dir.Offsets = append(dir.Offsets, dir.Offsets[len(dir.Offsets)-1]+n)
		}
		placed.dir = dir.Append(nil, box)
	} else {
		placed.directory = &pack.Directory{Header: p.header, Containers: p.containers, Lost: p.lost()}
		placed.live = int64(len(placed.directory.Lost))
		for _, c := range p.containers {
			placed.live += int64(format.CountBlocks(c.Groups))
			c.Digests = present(c)
		}
		placed.dir = placed.directory.Append(nil, box)
	}
	dirOffset := o.body.size - p.start
	o.body.Write(placed.dir)
	o.entries = append(o.entries, format.FooterEntry{
		Pack: p.header.Identity, Generation: p.header.Generation, Kind: p.header.Kind,
		Offset: p.start, Length: o.body.size - p.start, DirOffset: dirOffset,
	})
	o.packs = append(o.packs, placed)
	return nil
}

// present returns a container's digests less those of blocks that it lost.
func present(c *pack.Container) []format.Digest {
	out := make([]format.Digest, len(c.Groups)*format.GroupBlocks)
	for n := range min(len(out), len(c.Digests)) {
		if c.Groups[n/format.GroupBlocks].Has(n % format.GroupBlocks) {
			out[n] = c.Digests[n]
		}
	}
	return out
}

// lost returns the blocks that are to be kept and nobody has.
func (p *rewritePack) lost() []pack.Lost {
	var out []pack.Lost
	for c, container := range p.containers {
		for g := range container.Groups {
			for m := p.keep[c].group(g) &^ container.Groups[g].Present; m != 0; m &= m - 1 {
				n := g*format.GroupBlocks + bits.TrailingZeros32(m)
				out = append(out, pack.Lost{Container: uint8(c), Block: uint16(n), Digest: container.Digests[n]})
			}
		}
	}
	return out
}

// putMerged stores an object of several generations.
func (w *writer) putMerged(ctx context.Context, o *mergedObject, delta *hooks.Delta) error {
	if len(o.entries) == 0 {
		return nil
	}
	o.body.Write(format.AppendFooter(nil, o.entries))
	if err := w.put(ctx, o.name, &o.body, o.body.size); err != nil {
		return err
	}
	for i := range o.packs {
		p, e := &o.packs[i], &o.entries[i]
		place := Placement{
			Pack: e.Pack, Generation: e.Generation, Kind: p.kind, Object: o.name,
			Offset: e.Offset, Length: e.Length, DirOffset: e.DirOffset, Live: p.live,
		}
		if delta != nil && p.directory != nil {
			for c, container := range p.directory.Containers {
				delta.Add(hooks.Place{Pack: e.Pack, Generation: e.Generation, Container: uint8(c)}, container.Digests)
			}
		}
		w.listing.Lock()
		w.unlisted = append(w.unlisted, dirCopy{place: place, dir: p.dir})
		w.listing.Unlock()
	}
	return w.list(ctx, false)
}

// cut drops what was written from an offset on.
func (b *body) cut(size int64) {
	n := int((size + chunkSize - 1) / chunkSize)
	b.pool.give(b.full[n:])
	b.full, b.size = b.full[:n], size
	if rest := size % chunkSize; rest > 0 {
		b.full[n-1] = b.full[n-1][:rest]
	}
}
