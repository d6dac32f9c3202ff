package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/sealing"
)

// packSize is how much of a pack is filled: the nominal size of objects.
const packSize = 32 << 20

// group is where a group lies, and of which blocks it is.
type group struct {
	pack    uint32
	off     uint32
	length  uint32
	codec   format.Codec
	blocks  []uint32 // of the volume
	digests []format.Digest
}

// packs numbers the packs of all workers and collects their groups.
type packs struct {
	folder string
	method compress.Method
	next   atomic.Uint32

	mu     sync.Mutex
	groups []group
}

// worker reads, hashes, compresses, seals and writes.
type worker struct {
	to     *packs
	hasher *naming.Hasher
	enc    *compress.Encoder
	packed []byte

	pack uint32
	box  *sealing.Box
	out  []byte // the pack, from its start
	used int

	part    uint64 // groups of the pack
	pending []byte // of the group that is filled
	current group
	groups  []group
}

func first(image, folder string, method compress.Method) error {
	s, err := openSource(image)
	if err != nil {
		return err
	}
	defer s.f.Close()
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	to := &packs{folder: folder, method: method}
	if err := onAllCores(func() error { return to.fill(s) }); err != nil {
		return err
	}
	return to.writeIndex(s.size)
}

func (p *packs) fill(s *source) error {
	h, err := newHasher()
	if err != nil {
		return err
	}
	enc, err := compress.NewEncoder(p.method)
	if err != nil {
		return err
	}
	w := &worker{
		to: p, hasher: h, enc: enc, packed: make([]byte, compress.MaxEncoded()),
		out: aligned(packSize), pending: make([]byte, 0, format.GroupSize),
	}
	if err := w.begin(); err != nil {
		return err
	}
	buf := aligned(readSize)
	var digests []format.Digest
	for {
		data, off, err := s.read(buf)
		if err != nil {
			return err
		}
		if len(data) == 0 {
			return w.end()
		}
		digests = digest(h, digests, data)
		if err := w.add(data, digests, uint32(off/format.BlockSize)); err != nil {
			return err
		}
	}
}

// add takes a range's blocks but those of zeros.
func (w *worker) add(data []byte, digests []format.Digest, first uint32) error {
	for i := range digests {
		if digests[i] == (format.Digest{}) {
			continue
		}
		w.pending = append(w.pending, data[i*format.BlockSize:(i+1)*format.BlockSize]...)
		w.current.blocks = append(w.current.blocks, first+uint32(i))
		w.current.digests = append(w.current.digests, digests[i])
		if len(w.pending) == format.GroupSize {
			if err := w.seal(); err != nil {
				return err
			}
		}
	}
	return nil
}

// seal compresses and seals the pending blocks.
func (w *worker) seal() error {
	if len(w.pending) == 0 {
		return nil
	}
	packed, codec := w.enc.Encode(w.packed, w.pending)
	if w.used+len(packed)+format.TagSize > packSize {
		if err := w.write(); err != nil {
			return err
		}
		if err := w.begin(); err != nil {
			return err
		}
	}
	w.box.Seal(w.out[w.used:w.used], packed, sealing.GroupPart, w.part)
	g := w.current
	g.pack, g.off, g.length, g.codec = w.pack, uint32(w.used), uint32(len(packed)+format.TagSize), codec
	w.groups = append(w.groups, g)
	w.used += int(g.length)
	w.part++
	w.pending = w.pending[:0]
	w.current = group{blocks: make([]uint32, 0, format.GroupBlocks), digests: make([]format.Digest, 0, format.GroupBlocks)}
	return nil
}

func (w *worker) begin() (err error) {
	w.pack = w.to.next.Add(1)
	w.used, w.part = 0, 0
	w.box, err = box(w.pack)
	return err
}

// write writes the pack and makes it durable.
func (w *worker) write() error {
	if w.used == 0 {
		return nil
	}
	f, err := create(packName(w.to.folder, w.pack))
	if err != nil {
		return err
	}
	whole := (w.used + format.BlockSize - 1) / format.BlockSize * format.BlockSize
	_, err = f.Write(w.out[:whole])
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (w *worker) end() error {
	if err := w.seal(); err != nil {
		return err
	}
	if err := w.write(); err != nil {
		return err
	}
	w.to.mu.Lock()
	defer w.to.mu.Unlock()
	w.to.groups = append(w.to.groups, w.groups...)
	return nil
}

// writeIndex writes what restore needs: the image's size, and the groups.
func (p *packs) writeIndex(size int64) error {
	le := binary.LittleEndian
	b := le.AppendUint64(nil, uint64(size))
	for i := range p.groups {
		g := &p.groups[i]
		b = le.AppendUint32(b, g.pack)
		b = le.AppendUint32(b, g.off)
		b = le.AppendUint32(b, g.length)
		b = append(b, byte(g.codec), byte(len(g.blocks)))
		for k := range g.blocks {
			b = le.AppendUint32(b, g.blocks[k])
			b = append(b, g.digests[k][:]...)
		}
	}
	return os.WriteFile(filepath.Join(p.folder, "index"), b, 0o600)
}
