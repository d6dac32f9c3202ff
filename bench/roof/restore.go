package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

// writeGroups is how many groups are decompressed before they are written.
const writeGroups = 8

// readIndex reads what writeIndex wrote, each pack's groups in order.
func readIndex(folder string) (size int64, byPack [][]group, err error) {
	b, err := os.ReadFile(filepath.Join(folder, "index"))
	if err != nil {
		return 0, nil, err
	}
	le := binary.LittleEndian
	size, b = int64(le.Uint64(b)), b[8:]
	packs := map[uint32][]group{}
	for len(b) > 0 {
		g := group{pack: le.Uint32(b), off: le.Uint32(b[4:]), length: le.Uint32(b[8:]), codec: format.Codec(b[12])}
		n := int(b[13])
		b = b[14:]
		g.blocks, g.digests = make([]uint32, n), make([]format.Digest, n)
		for i := range n {
			g.blocks[i], g.digests[i] = le.Uint32(b), format.Digest(b[4:])
			b = b[4+format.DigestSize:]
		}
		packs[g.pack] = append(packs[g.pack], g)
	}
	for _, groups := range packs {
		byPack = append(byPack, groups)
	}
	slices.SortFunc(byPack, func(x, y []group) int { return int(x[0].pack) - int(y[0].pack) })
	return size, byPack, nil
}

func restore(folder, image string) error {
	size, byPack, err := readIndex(folder)
	if err != nil {
		return err
	}
	f, err := create(image)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return errors.Join(err, f.Close())
	}
	var next atomic.Int64
	err = onAllCores(func() error {
		r, err := newReader(folder, f)
		if err != nil {
			return err
		}
		defer r.dec.Close()
		for i := next.Add(1) - 1; i < int64(len(byPack)); i = next.Add(1) - 1 {
			if err := r.pack(byPack[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// reader opens and writes one pack after another.
type reader struct {
	folder string
	to     *os.File
	dec    *compress.Decoder
	check  func([]format.Digest, []byte) []format.Digest
	sealed []byte
	packed []byte
	out    []byte
	got    []format.Digest
}

func newReader(folder string, to *os.File) (*reader, error) {
	h, err := newHasher()
	if err != nil {
		return nil, err
	}
	dec, err := compress.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &reader{
		folder: folder, to: to, dec: dec,
		check:  func(d []format.Digest, b []byte) []format.Digest { return digest(h, d, b) },
		sealed: make([]byte, writeGroups*format.MaxSealedGroup), packed: make([]byte, 0, format.MaxSealedGroup),
		out: aligned(writeGroups * format.GroupSize),
	}, nil
}

// pack restores the blocks of one pack.
func (r *reader) pack(groups []group) error {
	f, err := os.Open(packName(r.folder, groups[0].pack))
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := box(groups[0].pack)
	if err != nil {
		return err
	}
	for i := 0; i < len(groups); i += writeGroups {
		some := groups[i:min(i+writeGroups, len(groups))]
		if err := r.open(f, b, some, uint64(i)); err != nil {
			return err
		}
		if err := r.write(some); err != nil {
			return err
		}
	}
	return nil
}

// open puts the content of groups that lie in a row into out.
func (r *reader) open(f *os.File, b *sealing.Box, groups []group, part uint64) error {
	from, last := groups[0].off, &groups[len(groups)-1]
	sealed := r.sealed[:last.off+last.length-from]
	if _, err := f.ReadAt(sealed, int64(from)); err != nil {
		return err
	}
	used := 0
	for i := range groups {
		g := &groups[i]
		packed, err := b.Open(r.packed[:0], sealed[g.off-from:g.off-from+g.length], sealing.GroupPart, part+uint64(i))
		if err != nil {
			return err
		}
		to := r.out[used : used+len(g.blocks)*format.BlockSize]
		plain, err := r.dec.Decode(to, packed, g.codec)
		if err != nil {
			return err
		}
		if g.codec == format.Raw {
			copy(to, plain)
		}
		if r.got = r.check(r.got, to); !slices.Equal(r.got, g.digests) {
			return fmt.Errorf("group %d of pack %d is not what was written", part+uint64(i), g.pack)
		}
		used += len(to)
	}
	return nil
}

// write writes the groups' blocks from out, those in a row at once.
func (r *reader) write(groups []group) error {
	var blocks []uint32
	for i := range groups {
		blocks = append(blocks, groups[i].blocks...)
	}
	for i := 0; i < len(blocks); {
		n := i + 1
		for n < len(blocks) && blocks[n] == blocks[n-1]+1 {
			n++
		}
		if _, err := r.to.WriteAt(r.out[i*format.BlockSize:n*format.BlockSize], int64(blocks[i])*format.BlockSize); err != nil {
			return err
		}
		i = n
	}
	return nil
}
