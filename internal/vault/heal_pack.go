package vault

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

// healPack is a damaged pack.
type healPack struct {
	place   Placement
	state   *packState
	what    []string
	digests [][]format.Digest               // of a data pack's containers, those of lost blocks too
	bad     [format.PackContainers]blockSet // blocks that are damaged or missing
	pages   pageSet                         // pages that are intact
	absent  int                             // pages that are not
}

// because notes causes of what is still wrong.
func (p *healPack) because(what ...string) {
	for _, w := range what {
		if len(p.what) < maxCauses && !slices.Contains(p.what, w) {
			p.what = append(p.what, w)
		}
	}
}

// lost returns how many blocks or pages are damaged.
func (p *healPack) lost() int {
	n := p.absent
	for i := range p.bad {
		n += p.bad[i].count()
	}
	return n
}

// known reports whether anything says what the pack holds.
func (p *healPack) known() bool { return p.state.dir != nil || p.state.pages != nil }

// whole reports whether nothing of the pack is damaged.
func (p *healPack) whole() bool { return p.known() && p.lost() == 0 && !p.framed() }

// framed reports whether anything but blocks and pages is damaged.
func (p *healPack) framed() bool { return len(p.state.spare) > 0 || p.state.unreadable != "" }

// worthwhile reports whether a next generation can have more of the pack than
// the present one.
func (p *healPack) worthwhile(found map[format.Digest]sources) bool {
	switch {
	case !p.known() || p.whole():
		return false
	case p.state.pages != nil:
		return len(p.state.spare) > 0 && p.pages.count() > 0
	}
	any := false
	p.eachBad(func(c, n int, d *format.Digest) { any = any || found[*d].n > 0 })
	return any || len(p.state.spare) > 0 && p.lost() < p.holds()
}

// holds returns how many blocks the pack should hold.
func (p *healPack) holds() int {
	n := len(p.state.dir.Lost)
	for _, c := range p.state.dir.Containers {
		n += format.CountBlocks(c.Groups)
	}
	return n
}

// keepPages returns the pages of a page pack that its next generation has, nil
// for a data pack.
func (p *healPack) keepPages() *pageSet {
	if p.state.pages == nil {
		return nil
	}
	return &p.pages
}

// eachBad calls fn with each damaged block.
func (p *healPack) eachBad(fn func(container, block int, d *format.Digest)) {
	for c := range p.bad {
		for w, word := range p.bad[c] {
			for ; word != 0; word &= word - 1 {
				n := w*64 + bits.TrailingZeros64(word)
				fn(c, n, &p.digests[c][n])
			}
		}
	}
}

// report says what of the pack is still damaged, nil for nothing.
func (p *healPack) report() *DamagedPack {
	if p.whole() {
		return nil
	}
	d := &DamagedPack{
		Pack: p.place.Pack, Generation: p.place.Generation, Kind: p.place.Kind, Object: p.place.Object, What: p.what,
		Whole: p.state.unreadable != "" || !p.known(), Spare: p.known() && p.lost() == 0 && p.state.unreadable == "",
	}
	if p.place.Kind == DataPack {
		d.Blocks = p.lost()
	}
	return d
}

// examine finds out what of a pack is damaged.
func (h *healer) examine(ctx context.Context, p *healPack) error {
	probe, err := newPackProbe(h.s.read)
	if err != nil {
		return err
	}
	defer probe.dec.Close()
	footer, err := probe.footer(ctx, p.place.Object)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if p.state, err = probe.probe(ctx, p.place, footer); err != nil {
		return err
	}
	p.because(p.state.spare...)
	switch {
	case p.state.unreadable != "":
		p.because(p.state.unreadable)
	case !p.known():
		p.because("both copies of its directory are damaged")
	}
	if p.state.pages != nil {
		return p.examinePages(ctx, h.s.read)
	}
	if p.state.dir == nil {
		return nil
	}
	p.digests = withLost(p.state.dir)
	for _, l := range p.state.dir.Lost {
		p.bad[l.Container].addGroup(int(l.Block)/format.GroupBlocks, 1<<(l.Block%format.GroupBlocks))
	}
	if n := len(p.state.dir.Lost); n > 0 {
		p.because(fmt.Sprintf("%d blocks of it were lost before", n))
	}
	bad := func(group int, slots uint32, what string) {
		p.bad[group/format.ContainerGroups].addGroup(group%format.ContainerGroups, slots)
		p.because(what)
	}
	if !p.state.gone {
		_, err := probe.groups(ctx, p.place, p.state.dir, groupParts(p.state.dir), bad)
		return err
	}
	for c, container := range p.state.dir.Containers {
		for g := range container.Groups {
			p.bad[c].addGroup(g, container.Groups[g].Present)
		}
	}
	return nil
}

// examinePages opens all pages of a pack.
func (p *healPack) examinePages(ctx context.Context, r *reader) error {
	d := p.state.pages
	box, err := sealing.New(r.keys, sealing.PageLabel, &d.Header)
	if err != nil {
		return fmt.Errorf("open pack %s: %w", p.place.Pack, err)
	}
	var sealed, plain []byte
	for i := range uint32(len(d.Offsets) - 1) {
		if !d.Present(i) {
			continue
		}
		sealed = slices.Grow(sealed[:0], int(d.Offsets[i+1]-d.Offsets[i]))[:d.Offsets[i+1]-d.Offsets[i]]
		err := r.get(ctx, p.place.Object, sealed, p.place.Offset+int64(d.Offsets[i]))
		if err == nil {
			if plain, err = box.Open(plain[:0], sealed, sealing.PagePart, uint64(i)); err != nil {
				err = &CorruptError{Object: p.place.Object, What: fmt.Sprintf("page %d", i), Err: err}
			}
		}
		switch {
		case err == nil:
			p.pages.add(i)
		case errors.Is(err, ErrCorrupt):
			p.absent++
			p.because(err.Error())
		default:
			return err
		}
	}
	return nil
}
