package pack

import (
	"encoding/binary"
	"fmt"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/sealing"
)

// MaxPages is the largest number of pages in a page pack.
const MaxPages = 1 << 16

// PageDirectory is what a generation of a page pack holds.
type PageDirectory struct {
	Header  format.Header // of the generation
	Offsets []uint32      // of each sealed page from the header, and of the end of the last; an absent page has no bytes
}

// Present reports whether the generation has a page.
func (d *PageDirectory) Present(page uint32) bool {
	return int64(page) < int64(len(d.Offsets)-1) && d.Offsets[page] < d.Offsets[page+1]
}

// Append seals the directory and appends it to dst. Box is of
// sealing.DirectoryLabel.
func (d *PageDirectory) Append(dst []byte, box *sealing.Box) []byte {
	dst = d.Header.Append(dst)
	le := binary.LittleEndian
	summary := le.AppendUint32(nil, uint32(len(d.Offsets)-1))
	for i := range len(d.Offsets) - 1 {
		summary = le.AppendUint32(summary, d.Offsets[i+1]-d.Offsets[i])
	}
	dst = le.AppendUint32(dst, uint32(len(summary)+format.TagSize))
	return box.Seal(dst, summary, sealing.SummaryPart, 0)
}

// OpenPages opens the sealed directory of a page pack.
func OpenPages(keys sealing.Keys, want Expected, b []byte) (*PageDirectory, error) {
	h, box, b, err := open(keys, want, format.KindPagePack, b)
	if err != nil {
		return nil, err
	}
	summary, rest, err := openSized(box, b, 4+4*MaxPages)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%w: %d bytes after the page directory", format.ErrFormat, len(rest))
	}
	offsets, err := parseLengths(summary, want.DirOffset)
	if err != nil {
		return nil, err
	}
	return &PageDirectory{Header: h, Offsets: offsets}, nil
}

func parseLengths(b []byte, end int64) ([]uint32, error) {
	le := binary.LittleEndian
	if len(b) < 4 || len(b)%4 != 0 || uint64(le.Uint32(b)) != uint64(len(b)/4-1) {
		return nil, fmt.Errorf("%w: page directory of %d bytes", format.ErrFormat, len(b))
	}
	offsets := make([]uint32, 1, len(b)/4)
	offsets[0] = format.HeaderSize
	for b = b[4:]; len(b) > 0; b = b[4:] {
		n := le.Uint32(b)
		at := offsets[len(offsets)-1]
		if n != 0 && n <= format.TagSize || n > maps.MaxPage+format.TagSize || int64(at)+int64(n) > end {
			return nil, fmt.Errorf("%w: page of %d bytes", format.ErrFormat, n)
		}
		offsets = append(offsets, at+n)
	}
	return offsets, nil
}
