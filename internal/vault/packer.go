package vault

import (
	"context"
	"slices"
	"sync"

	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/sealing"
)

// packer fills a session's data packs. Workers share packs: each has one
// container to itself while it fills it.
type packer struct {
	s   *session
	sem chan struct{} // a place for each pack in memory

	mu   sync.Mutex
	open []*openPack   // oldest first
	room chan struct{} // closed once an open pack has room again; nil while nobody waits
	pace pace
}

// packsInMemory bounds the packs that are filled or under way to the store:
// one fills while two go.
const packsInMemory = 3

func newPacker(s *session, workers int) *packer {
	return &packer{s: s, sem: make(chan struct{}, packsInMemory+(workers-1)/format.PackContainers)}
}

// openPack is a pack that still takes blocks.
type openPack struct {
	header format.Header
	dense  bool
	name   string
	groups *sealing.Box
	dir    *sealing.Box

	mu   sync.Mutex // guards body
	body body

	// Guarded by packer.mu.
	slots []*slot // by container
	idle  []*slot // those with room that nobody holds
	held  int
}

// slot is a container while it is filled. Whoever took it owns it.
type slot struct {
	pack    *openPack
	number  uint8
	groups  []format.Group
	digests []format.Digest
	pending []byte // blocks of the group that is being filled
}

// sealer is a worker's means to compress and seal groups.
type sealer struct {
	s            *session
	usual, dense *compress.Encoder
	packed       []byte
	sealed       []byte
}

func newSealer(s *session, usual, dense compress.Method) (*sealer, error) {
	w := &sealer{s: s, packed: make([]byte, compress.MaxEncoded()), sealed: make([]byte, 0, format.MaxSealedGroup)}
	var err error
	if w.usual, err = compress.NewEncoder(usual); err != nil {
		return nil, err
	}
	if w.dense = w.usual; dense != usual {
		w.dense, err = compress.NewEncoder(dense)
	}
	return w, err
}

// take returns a container with room for the caller alone. It waits where all
// packs in memory are full, under way, or have no container that nobody holds.
func (p *packer) take(ctx context.Context) (*slot, error) {
	for {
		c, room := p.reuse()
		if c != nil {
			return c, nil
		}
		waited := len(p.sem) == cap(p.sem)
		select {
		case p.sem <- struct{}{}:
			// Another worker may have made room meanwhile.
			if c, _ := p.reuse(); c != nil {
				<-p.sem
				return c, nil
			}
			return p.begin(waited)
		case <-room:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// reuse returns a container of a pack that is open already, or, where there is
// none, a channel that is closed once there may be one.
func (p *packer) reuse() (*slot, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.open {
		if c := o.slot(); c != nil {
			return c, nil
		}
	}
	if p.room == nil {
		p.room = make(chan struct{})
	}
	return nil, p.room
}

// begin opens a pack, for which p.sem has a place, and returns a container of
// it.
func (p *packer) begin(waited bool) (*slot, error) {
	o, err := p.newPack()
	if err != nil {
		<-p.sem
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o.dense = p.pace.begin(waited, p.s.bytesRead.Load(), p.s.bytesNew.Load())
	p.open = append(p.open, o)
	p.tell()
	return o.slot(), nil
}

// tell wakes who waits for room in an open pack; p.mu is held.
func (p *packer) tell() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

func (o *openPack) slot() *slot {
	if n := len(o.idle); n > 0 {
		c := o.idle[n-1]
		o.idle = o.idle[:n-1]
		o.held++
		return c
	}
	if len(o.slots) == format.PackContainers {
		return nil
	}
	c := &slot{
		pack: o, number: uint8(len(o.slots)),
		digests: make([]format.Digest, 0, format.ContainerBlocks), pending: make([]byte, 0, format.GroupSize),
	}
	o.slots = append(o.slots, c)
	o.held++
	return c
}

func (p *packer) newPack() (*openPack, error) {
	id, err := p.s.random()
	if err != nil {
		return nil, err
	}
	h, err := p.s.header(format.KindDataPack, id)
	if err != nil {
		return nil, err
	}
	o := &openPack{header: h, body: body{pool: &p.s.chunks}}
	if o.name, err = p.s.name(format.Packs); err != nil {
		return nil, err
	}
	if o.groups, err = sealing.New(p.s.v.cfg.Keys, sealing.PackLabel, &h); err != nil {
		return nil, err
	}
	if o.dir, err = sealing.New(p.s.v.cfg.Keys, sealing.DirectoryLabel, &h); err != nil {
		return nil, err
	}
	_, err = o.body.Write(h.Append(nil))
	return o, err
}

// room returns how many blocks the group that is being filled takes.
func (c *slot) room() int { return format.GroupBlocks - len(c.pending)/format.BlockSize }

// add appends blocks, at most as many as there is room for, and returns the
// first one's number in the container. A whole group is sealed where it lies.
func (c *slot) add(w *sealer, digests []format.Digest, blocks []byte) uint16 {
	n := uint16(len(c.digests))
	c.digests = append(c.digests, digests...)
	if len(blocks) == format.GroupSize {
		c.sealGroup(w, blocks)
		return n
	}
	c.pending = append(c.pending, blocks...)
	if len(c.pending) == format.GroupSize {
		c.seal(w)
	}
	return n
}

func (c *slot) full() bool { return len(c.digests) == format.ContainerBlocks }

// seal seals the blocks that are pending as one group.
func (c *slot) seal(w *sealer) {
	if len(c.pending) > 0 {
		c.sealGroup(w, c.pending)
		c.pending = c.pending[:0]
	}
}

// sealGroup compresses and seals blocks as one group.
func (c *slot) sealGroup(w *sealer, group []byte) {
	blocks := len(group) / format.BlockSize
	enc := w.usual
	if c.pack.dense {
		enc = w.dense
	}
	data, codec := enc.Encode(w.packed, group)
	number := uint64(c.number)*format.ContainerGroups + uint64(len(c.groups))
	w.sealed = c.pack.groups.Seal(w.sealed[:0], data, sealing.GroupPart, number)
	w.s.sealed.Add(int64(len(w.sealed)))
	w.s.groups[codec].Add(1)
	c.pack.mu.Lock()
	offset := c.pack.body.size
	c.pack.body.Write(w.sealed)
	c.pack.mu.Unlock()
	c.groups = append(c.groups, format.Group{
		Present: uint32(1<<blocks - 1), Offset: uint32(offset), Length: uint32(len(w.sealed)), Codec: codec,
	})
}

// give takes a container back. Once it is full, the session can find its
// blocks; once a pack's containers all are, the pack goes to the store.
func (p *packer) give(ctx context.Context, c *slot) {
	if c.full() {
		c.pending = nil
		p.s.publish(c)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o := c.pack
	o.held--
	if !c.full() {
		o.idle = append(o.idle, c)
		p.tell()
		return
	}
	if o.held == 0 && len(o.idle) == 0 && len(o.slots) == format.PackContainers {
		p.upload(ctx, o)
	}
}

// flush sends all open packs to the store. No container is held.
func (p *packer) flush(ctx context.Context, w *sealer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.open) > 0 {
		o := p.open[0]
		for _, c := range o.idle {
			c.seal(w)
			p.s.publish(c)
		}
		p.upload(ctx, o)
	}
}

// upload ends a pack and puts it in the background; p.mu is held.
func (p *packer) upload(ctx context.Context, o *openPack) {
	p.open = slices.DeleteFunc(p.open, func(x *openPack) bool { return x == o })
	p.s.uploads.run(func() error {
		defer func() { <-p.sem }()
		defer o.body.release()
		return p.s.putPack(ctx, o)
	})
}

// putPack stores a full pack and notes where it lies.
func (s *session) putPack(ctx context.Context, o *openPack) error {
	d := &pack.Directory{Header: o.header}
	blocks := 0
	for _, c := range o.slots {
		d.Containers = append(d.Containers, &pack.Container{Groups: c.groups, Digests: c.digests})
		blocks += len(c.digests)
	}
	dir := d.Append(nil, o.dir)
	if err := s.putPlaced(ctx, &o.body, placedPack{
		header: o.header, kind: DataPack, name: o.name, dir: dir, live: int64(blocks), directory: d,
	}); err != nil {
		return err
	}
	id := o.header.Identity
	s.exists.set(id, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.own, id)
	return nil
}

// publish lets the session find a container's blocks, which no longer change.
func (s *session) publish(c *slot) {
	if len(c.digests) == 0 {
		return
	}
	id := c.pack.header.Identity
	s.mu.Lock()
	containers := s.own[id]
	if containers == nil {
		containers = &[format.PackContainers]*pack.Container{}
		s.own[id] = containers
	}
	containers[c.number] = &pack.Container{Groups: c.groups, Digests: c.digests}
	s.mu.Unlock()
	s.delta.Add(hooks.Place{Pack: id, Generation: c.pack.header.Generation, Container: c.number}, c.digests)
}
