package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

// medic gives the rewriter the blocks that were found elsewhere.
type medic struct {
	h     *healer
	found map[format.Digest]sources

	mu     sync.Mutex
	probes []*packProbe // that nobody uses
	groups *recent[sourceGroup, []byte]
	bad    map[sourceGroup]bool // sources that can't be read
	lost   map[ID]*[format.PackContainers]blockSet
	healed map[ID]int64
	failed map[ID]bool // packs of which a block seemed to be elsewhere and isn't
}

type sourceGroup struct {
	pack ID
	part int
}

// groupsKept is how many groups of other packs are kept decompressed, twice at
// most.
const groupsKept = 64

func newMedic(h *healer, found map[format.Digest]sources) *medic {
	return &medic{
		h: h, found: found, groups: newRecent[sourceGroup, []byte](groupsKept), bad: map[sourceGroup]bool{},
		lost: map[ID]*[format.PackContainers]blockSet{}, healed: map[ID]int64{}, failed: map[ID]bool{},
	}
}

func (m *medic) close() {
	for _, p := range m.probes {
		p.dec.Close()
	}
}

// block implements mender.
func (m *medic) block(ctx context.Context, p Placement, group int32, slot int, d *format.Digest, b []byte) (bool, error) {
	at := m.found[*d]
	for _, src := range at.at[:at.n] {
		ok, err := m.copy(ctx, src, d, b)
		if err != nil {
			return false, err
		}
		if ok {
			m.mu.Lock()
			m.healed[p.Pack]++
			m.mu.Unlock()
			return true, nil
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed[p.Pack] = m.failed[p.Pack] || at.n > 0
	lost := m.lost[p.Pack]
	if lost == nil {
		lost = &[format.PackContainers]blockSet{}
		m.lost[p.Pack] = lost
	}
	lost[group/format.ContainerGroups].addGroup(int(group%format.ContainerGroups), 1<<slot)
	return false, nil
}

// lose implements mender. Pages that can't be read are not asked for.
func (m *medic) lose(p Placement, page int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.h.packs[p.Pack].because(fmt.Sprintf("page %d can't be read any more", page))
}

// copy copies a block from where it may lie, and reports whether it is there.
func (m *medic) copy(ctx context.Context, src source, d *format.Digest, b []byte) (bool, error) {
	r := m.h.s.read
	key := sourceGroup{src.pack, int(src.container)*format.ContainerGroups + int(src.block)/format.GroupBlocks}
	place, err := r.placement(ctx, src.pack)
	if err != nil {
		return false, err
	}
	probe, err := m.take(key)
	if probe == nil || err != nil {
		return false, err
	}
	defer m.give(probe)
	ok := false
	err = r.follow(ctx, place, func(now Placement) error {
		if now.Object == "" {
			return &CorruptError{Object: placeName(now), What: "it lies nowhere that is known"}
		}
		dir, err := r.directory(ctx, now, inCopy)
		if err != nil {
			return err
		}
		if int(src.container) >= len(dir.Containers) {
			return nil
		}
		c := dir.Containers[src.container]
		slot := int(src.block) % format.GroupBlocks
		if has, there := c.Digest(int(src.block)); !there || has != *d {
			return nil
		}
		group := &c.Groups[int(src.block)/format.GroupBlocks]
		plain, kept := m.groups.get(key)
		if !kept {
			if plain, err = probe.group(ctx, now, &dir.Header, group, key.part); err != nil {
				return err
			}
			m.groups.set(key, plain)
		}
		rank := group.Rank(slot)
		copy(b, plain[rank*format.BlockSize:])
		ok = probe.hasher.Block(b) == *d
		return nil
	})
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return false, err
	}
	if !ok {
		m.mu.Lock()
		m.bad[key] = true
		m.mu.Unlock()
	}
	return ok, nil
}

// take returns a probe for the caller alone, nil where the group is known to
// be damaged.
func (m *medic) take(key sourceGroup) (*packProbe, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bad[key] {
		return nil, nil
	}
	if n := len(m.probes); n > 0 {
		p := m.probes[n-1]
		m.probes = m.probes[:n-1]
		return p, nil
	}
	return newPackProbe(m.h.s.read)
}

func (m *medic) give(p *packProbe) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probes = append(m.probes, p)
}

// group reads, opens and decompresses one group.
func (c *packProbe) group(ctx context.Context, p Placement, h *format.Header, g *format.Group, number int) ([]byte, error) {
	sealed := make([]byte, g.Length)
	if err := c.r.get(ctx, p.Object, sealed, p.Offset+int64(g.Offset)); err != nil {
		return nil, err
	}
	bad := func(err error) error {
		return &CorruptError{Object: p.Object, What: fmt.Sprintf("group %d", number), Err: err}
	}
	box, err := sealing.New(c.r.keys, sealing.PackLabel, h)
	if err != nil {
		return nil, bad(err)
	}
	packed, err := box.Open(c.packed[:0], sealed, sealing.GroupPart, uint64(number))
	if err != nil {
		return nil, bad(err)
	}
	plain, err := c.dec.Decode(c.plain[:g.Blocks()*format.BlockSize], packed, g.Codec)
	if err != nil {
		return nil, bad(err)
	}
	return append(sealed[:0], plain...), nil
}
