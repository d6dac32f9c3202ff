package vault

import (
	"context"
	"encoding/binary"
	"fmt"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/maps"
)

// due reports whether it is time for a checkpoint.
func (b *backup) due() bool {
	c := &b.s.v.cfg
	return b.s.sealed.Load()-b.checkpointSize >= c.CheckpointBytes || c.Now().Sub(b.checkpointed) >= c.CheckpointEvery
}

// checkpoint makes all leaves below b.next durable and says so to the fence.
func (b *backup) checkpoint(ctx context.Context) error {
	if err := b.drain(ctx); err != nil {
		return err
	}
	if err := b.flush(ctx); err != nil {
		return err
	}
	c := Checkpoint{
		SourceState: b.req.SourceState,
		Offset:      min(b.next*format.LeafSize, b.size),
		State:       b.state().append(nil),
		Packs:       b.s.takePlaced(),
	}
	if err := b.s.v.cfg.Fence.Checkpoint(ctx, b.req.Session, c); err != nil {
		return fmt.Errorf("record checkpoint: %w", err)
	}
	b.checkpointed, b.checkpointSize = b.s.v.cfg.Now(), b.s.sealed.Load()
	return nil
}

// flush makes all that was stored so far durable, directories' second copies
// and placements included.
func (b *backup) flush(ctx context.Context) error {
	b.packer.flush(ctx, b.sealer)
	if err := b.pages.flush(ctx); err != nil {
		return err
	}
	b.s.uploads.wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return b.s.list(ctx, true)
}

// state is what a checkpoint keeps of a backup.
type state struct {
	size    int64
	parent  [32]byte // hash of its record, zero for none
	mapUsed bool
	mapLied bool
	counts  [4]int64 // read, new, stored, objects
	builder *maps.Builder
}

const stateVersion = 1

func (b *backup) state() *state {
	s := &state{
		size: b.size, mapUsed: b.mapUsed, mapLied: b.mapLied, builder: b.builder,
		counts: [4]int64{b.s.bytesRead.Load(), b.s.bytesNew.Load(), b.s.stored.Load(), b.s.objects.Load()},
	}
	if b.parent != nil {
		s.parent = b.s.begun.Parent.Hash
	}
	return s
}

func (s *state) append(dst []byte) []byte {
	flags := byte(0)
	if s.mapUsed {
		flags |= 1
	}
	if s.mapLied {
		flags |= 2
	}
	le := binary.LittleEndian
	dst = append(dst, stateVersion, flags)
	dst = le.AppendUint64(dst, uint64(s.size))
	dst = append(dst, s.parent[:]...)
	for _, n := range s.counts {
		dst = le.AppendUint64(dst, uint64(n))
	}
	return s.builder.Append(dst)
}

const stateFixed = 2 + 8 + 32 + 4*8

func parseState(b []byte) (*state, error) {
	bad := fmt.Errorf("%w: state of a checkpoint", format.ErrFormat)
	if len(b) < stateFixed || b[0] != stateVersion || b[1] > 3 {
		return nil, bad
	}
	le := binary.LittleEndian
	s := &state{mapUsed: b[1]&1 != 0, mapLied: b[1]&2 != 0, size: int64(le.Uint64(b[2:])), parent: [32]byte(b[10:42])}
	for i := range s.counts {
		s.counts[i] = int64(le.Uint64(b[42+8*i:]))
		if s.counts[i] < 0 {
			return nil, bad
		}
	}
	if s.size < 0 || s.size > format.MaxVolume {
		return nil, bad
	}
	builder, rest, err := maps.ParseBuilder(b[stateFixed:])
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 || builder.Height() != maps.Height(s.size) {
		return nil, bad
	}
	s.builder = builder
	return s, nil
}

// resume goes on from the last checkpoint of an earlier attempt, if the source
// still shows the same instant. What that attempt read and stored counts
// either way.
func (b *backup) resume(ctx context.Context) {
	c := b.s.begun.Resume
	if c == nil {
		return
	}
	log := b.s.v.cfg.Log
	s, err := parseState(c.State)
	if err != nil {
		log.WarnContext(ctx, "checkpoint can't be read, starting anew", "error", err)
		return
	}
	b.s.bytesRead.Add(s.counts[0])
	b.s.bytesNew.Add(s.counts[1])
	b.s.stored.Add(s.counts[2])
	b.s.objects.Add(s.counts[3])
	if s.mapLied {
		b.distrust()
	}
	fits := s.size == b.size && c.Offset >= 0 && c.Offset <= b.size && (c.Offset%format.LeafSize == 0 || c.Offset == b.size)
	if b.parent != nil {
		fits = fits && s.parent == b.s.begun.Parent.Hash
	} else {
		fits = fits && s.parent == [32]byte{} && !s.mapUsed
	}
	if !fits || c.SourceState == "" || c.SourceState != b.req.SourceState {
		log.InfoContext(ctx, "source is another than at the checkpoint, starting anew")
		return
	}
	b.builder = s.builder
	b.mapUsed = b.mapUsed || s.mapUsed
	b.next = (c.Offset + format.LeafSize - 1) / format.LeafSize
	b.done = c.Offset
	log.InfoContext(ctx, "going on from a checkpoint", "offset", c.Offset)
}

// restart forgets what earlier attempts put into the map.
func (b *backup) restart() {
	b.builder = maps.NewBuilder(maps.Height(b.size))
	b.next, b.done = 0, 0
}

// distrust makes the run read everything, after its map left out a change.
func (b *backup) distrust() {
	b.changed, b.mapUsed, b.mapLied = nil, false, true
}

// adopt makes the blocks known that an earlier attempt at the session stored.
func (s *session) adopt(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, p := range s.begun.Generations {
		s.read.places.set(p.Pack, p)
		if p.Kind != DataPack {
			continue
		}
		group.Go(func() error {
			d, err := s.directory(ctx, p.Pack)
			if err != nil || d == nil {
				return err
			}
			for i, c := range d.Containers {
				s.delta.Add(hooks.Place{Pack: p.Pack, Generation: p.Generation, Container: uint8(i)}, c.Digests)
			}
			return nil
		})
	}
	return group.Wait()
}
