// Package pack holds the inside of packs: the directories that say what a
// pack generation holds, sealed as they stand in packs and directory objects.
package pack

import (
	"encoding/binary"
	"fmt"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
)

// Container is a container's part of a directory.
type Container struct {
	Groups  []format.Group
	Digests []format.Digest // by block number, zero where no block is present
}

// Digest returns a block's digest, and whether the block is present.
func (c *Container) Digest(block int) (format.Digest, bool) {
	if block >= len(c.Digests) || c.Digests[block] == (format.Digest{}) {
		return format.Digest{}, false
	}
	return c.Digests[block], true
}

// Directory is what a generation of a data pack holds.
type Directory struct {
	Header     format.Header // of the generation
	Containers []*Container
	Lost       []Lost // sorted
}

// MaxDirectory is the largest sealed directory in bytes.
const MaxDirectory = format.HeaderSize + 4 + format.MaxSummary + format.TagSize +
	format.PackContainers*(format.ContainerBlocks*format.DigestSize+format.TagSize) + maxLost

// Append seals the directory and appends it to dst: the generation's header
// again, the length of the sealed summary, the summary, one part a container
// with its digests, and where blocks are lost, one with theirs. Box is of
// sealing.DirectoryLabel.
func (d *Directory) Append(dst []byte, box *sealing.Box) []byte {
	groups := make([][]format.Group, len(d.Containers))
	for i, c := range d.Containers {
		groups[i] = c.Groups
	}
	dst = d.Header.Append(dst)
	summary := format.AppendSummary(nil, groups)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(summary)+format.TagSize))
	dst = box.Seal(dst, summary, sealing.SummaryPart, 0)
	var list []byte
	for i, c := range d.Containers {
		list = format.AppendDigests(list[:0], c.Groups, c.Digests)
		dst = box.Seal(dst, list, sealing.DigestsPart, uint64(i))
	}
	if len(d.Lost) > 0 {
		dst = box.Seal(dst, appendLost(nil, d.Lost), sealing.LostPart, 0)
	}
	return dst
}

// Expected is what the reader of a directory knows of the generation.
type Expected struct {
	Pack       format.ID
	Generation uint32
	DirOffset  int64 // where the directory begins in its generation
}

// Open opens a sealed directory.
func Open(keys sealing.Keys, want Expected, b []byte) (*Directory, error) {
	h, box, b, err := open(keys, want, format.KindDataPack, b)
	if err != nil {
		return nil, err
	}
	summary, b, err := openSized(box, b, format.MaxSummary)
	if err != nil {
		return nil, err
	}
	containers, err := format.ParseSummary(summary, want.DirOffset)
	if err != nil {
		return nil, err
	}
	d := &Directory{Header: h, Containers: make([]*Container, len(containers))}
	for i, groups := range containers {
		n := format.CountBlocks(groups)*format.DigestSize + format.TagSize
		if len(b) < n {
			return nil, fmt.Errorf("%w: directory ends in container %d", format.ErrFormat, i)
		}
		list, err := box.Open(nil, b[:n], sealing.DigestsPart, uint64(i))
		if err != nil {
			return nil, fmt.Errorf("digests of container %d: %w", i, err)
		}
		digests, err := format.ParseDigests(list, groups)
		if err != nil {
			return nil, err
		}
		d.Containers[i] = &Container{Groups: groups, Digests: digests}
		b = b[n:]
	}
	if len(b) == 0 {
		return d, nil
	}
	if len(b) > maxLost {
		return nil, fmt.Errorf("%w: %d bytes after the directory", format.ErrFormat, len(b))
	}
	list, err := box.Open(nil, b, sealing.LostPart, 0)
	if err != nil {
		return nil, fmt.Errorf("lost blocks: %w", err)
	}
	d.Lost, err = parseLost(list, d.Containers)
	return d, err
}

func open(keys sealing.Keys, want Expected, kind format.Kind, b []byte) (format.Header, *sealing.Box, []byte, error) {
	h, err := format.ParseHeader(b, kind)
	if err != nil {
		return h, nil, nil, err
	}
	if h.Identity != want.Pack || h.Generation != want.Generation {
		return h, nil, nil, fmt.Errorf("%w: directory of pack %s, generation %d", format.ErrFormat, h.Identity, h.Generation)
	}
	box, err := sealing.New(keys, sealing.DirectoryLabel, &h)
	return h, box, b[format.HeaderSize:], err
}

// openSized takes a summary part and the length before it off b.
func openSized(box *sealing.Box, b []byte, limit uint32) (plain, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: directory without summary", format.ErrFormat)
	}
	n := binary.LittleEndian.Uint32(b)
	if n > limit+format.TagSize || uint64(n) > uint64(len(b)-4) {
		return nil, nil, fmt.Errorf("%w: summary of %d bytes", format.ErrFormat, n)
	}
	plain, err = box.Open(nil, b[4:4+n], sealing.SummaryPart, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("directory summary: %w", err)
	}
	return plain, b[4+n:], nil
}
