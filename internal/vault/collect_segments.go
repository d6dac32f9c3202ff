package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/sealing"
)

// Index segments are merged where they are small and many, and all of them
// where most of what they hold leads nowhere.
const (
	smallSegment  = 4 << 20
	mergedSegment = 16 << 20
	manySegments  = 32
	segmentSlack  = 1 << 20
)

// mergeSegments puts fewer index segments in the place of many. One that can't
// be read is left out: it is a hint.
func (c *collection) mergeSegments(ctx context.Context, v *inventory) error {
	prune := c.pruneSegments(v)
	small := 0
	for _, s := range v.Segments {
		if s.Size < smallSegment {
			small++
		}
	}
	if !prune && small < manySegments && (!c.req.Maintain || small < 2) {
		return nil
	}
	var group []SegmentRef
	size := int64(0)
	for _, s := range v.Segments {
		if s.Size >= smallSegment && !prune || size+s.Size > mergedSegment {
			if err := c.mergeGroup(ctx, v, group, prune); err != nil {
				return err
			}
			group, size = nil, 0
		}
		if s.Size < smallSegment || prune {
			group, size = append(group, s), size+s.Size
		}
	}
	return c.mergeGroup(ctx, v, group, prune)
}

// pruneSegments reports whether the segments are much larger than what the
// blocks that are there can have for hooks.
func (c *collection) pruneSegments(v *inventory) bool {
	have, need := int64(0), int64(0)
	for _, s := range v.Segments {
		have += s.Size - format.HeaderSize
	}
	for i := range v.rows {
		if r := &v.rows[i]; r.kind == DataPack {
			need += hooks.SegmentBytes(int64(r.live))
		}
	}
	if need == 0 {
		return len(v.Segments) > 0
	}
	if c.req.Maintain {
		return have > need+need/4+segmentSlack/16
	}
	return have > 2*need+segmentSlack
}

// mergeGroup merges segments that follow each other.
func (c *collection) mergeGroup(ctx context.Context, v *inventory, group []SegmentRef, prune bool) error {
	if len(group) == 0 || len(group) == 1 && !prune {
		return nil
	}
	var segments []*hooks.Segment
	var s Switch
	places := 0
	for _, ref := range group {
		s.Merged = append(s.Merged, ref.Object)
		segment, err := c.segment(ctx, ref.Object)
		if errors.Is(err, ErrCorrupt) {
			c.v.cfg.Log.WarnContext(ctx, "index segment is left out", "object", ref.Object, "error", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("merge index segments: %w", err)
		}
		places += len(segment.Places)
		segments = append(segments, segment)
	}
	merged := hooks.Merge(segments, func(p hooks.Place) bool {
		_, ok := slices.BinarySearchFunc(v.rows, PackGen{Pack: p.Pack, Generation: p.Generation}, func(r packRow, g PackGen) int {
			return comparePackGen(r.gen(), g)
		})
		return ok
	})
	if len(group) == 1 && merged != nil && len(merged.Places) > places/2 {
		return nil
	}
	var err error
	if s.Segment, err = c.putSegment(ctx, merged); err != nil {
		return fmt.Errorf("merge index segments: %w", err)
	}
	for _, name := range s.Merged {
		if c.objects.drop(name) {
			s.Dead = append(s.Dead, name)
		}
	}
	if err := c.doSwitch(ctx, s); err != nil {
		return err
	}
	return c.bury(ctx, s.Dead)
}

func (c *collection) segment(ctx context.Context, object string) (*hooks.Segment, error) {
	_, plain, _, err := c.w.read.whole(ctx, object, format.KindIndex, sealing.IndexLabel)
	if err != nil {
		return nil, err
	}
	segment, err := hooks.ParseSegment(plain)
	if err != nil {
		return nil, &CorruptError{Object: object, What: "its content", Err: err}
	}
	return segment, nil
}
