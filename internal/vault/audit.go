package vault

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"

	"holdfast/internal/vault/format"
)

// An audit reads what a change map leaves out of this many leaves, or of one in
// auditShare where that is more.
const (
	auditLeaves = (64 << 20) / format.LeafSize
	auditShare  = 1000
)

// audit reads and compares, in leaves at secret random places, what the change
// map leaves out. A change there ends all trust in the map.
func (b *backup) audit(ctx context.Context) error {
	sample, err := b.sample()
	if err != nil {
		return err
	}
	lied := false
	for len(sample) > 0 || len(b.pending) > 0 {
		if len(sample) == 0 || b.running == cap(b.jobs) {
			j := b.pending[0]
			b.pending = slices.Delete(b.pending, 0, 1)
			<-j.done
			b.running--
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if j.err != nil {
				return j.err
			}
			lied = lied || j.lied
			b.wary = b.wary || j.gone
			b.free = append(b.free, j)
			continue
		}
		leaf := sample[0]
		sample = sample[1:]
		if err := b.auditLeaf(ctx, leaf); err != nil {
			return err
		}
	}
	if lied {
		b.s.v.cfg.Log.WarnContext(ctx, "change map left out a change, everything is read", "backup", b.req.Info.Backup)
		b.distrust()
		// What an earlier attempt took from the parent is not trusted either.
		b.restart()
	}
	return nil
}

func (b *backup) auditLeaf(ctx context.Context, leaf int64) error {
	j := b.job(leaf)
	j.audit = true
	known, err := b.loadOld(ctx, j)
	if err != nil {
		return err
	}
	if !known {
		b.free = append(b.free, j)
		return nil // the parent's leaf can't be read, so the leaf will be
	}
	i, _ := slices.BinarySearchFunc(b.changed, j.offset(0), func(e Extent, off int64) int { return cmp.Compare(e.end(), off+1) })
	b.split(j, i)
	for _, span := range j.keep {
		if err := b.dataIn(j, span); err != nil {
			return err
		}
	}
	j.done = make(chan struct{})
	b.running++
	b.jobs <- j
	b.pending = append(b.pending, j)
	return nil
}

// sample draws the leaves to audit, sorted, from those that lie whole in both
// sizes and that the map leaves out in whole or in part.
func (b *backup) sample() ([]int64, error) {
	total := b.common / format.LeafSize
	if b.parent.Size == b.size {
		total = b.leaves()
	}
	free := uncovered(b.changed, total)
	count := int64(0)
	for _, r := range free {
		count += r.end - r.first
	}
	n := min(max(auditLeaves, total/auditShare), count)
	var seed [32]byte
	if _, err := io.ReadFull(b.s.v.cfg.Rand, seed[:]); err != nil {
		return nil, fmt.Errorf("draw audit: %w", err)
	}
	ranks := draw(rand.New(rand.NewChaCha8(seed)), count, n)
	leaves := make([]int64, 0, n)
	base := int64(0)
	for _, r := range free {
		for len(ranks) > 0 && ranks[0]-base < r.end-r.first {
			leaves = append(leaves, r.first+ranks[0]-base)
			ranks = ranks[1:]
		}
		base += r.end - r.first
	}
	return leaves, nil
}

type leafRange struct{ first, end int64 }

// uncovered returns the leaves below total that no extent covers whole.
func uncovered(extents []Extent, total int64) []leafRange {
	var free []leafRange
	at := int64(0)
	for _, e := range extents {
		first := min((e.Offset+format.LeafSize-1)/format.LeafSize, total)
		end := min(e.end()/format.LeafSize, total)
		if end <= first {
			continue
		}
		if first > at {
			free = append(free, leafRange{at, first})
		}
		at = end
	}
	if at < total {
		free = append(free, leafRange{at, total})
	}
	return free
}

// draw returns n different numbers below count, sorted (Floyd's algorithm).
func draw(rng *rand.Rand, count, n int64) []int64 {
	seen := make(map[int64]bool, n)
	for i := count - n; i < count; i++ {
		k := rng.Int64N(i + 1)
		if seen[k] {
			k = i
		}
		seen[k] = true
	}
	out := make([]int64, 0, n)
	for k := range seen {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
