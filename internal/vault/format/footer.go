package format

import (
	"encoding/binary"

	"github.com/zeebo/blake3"
)

// Sizes of a footer in bytes: a table of entries, then the trailer that ends
// the object.
const (
	FooterEntrySize = 48
	TrailerSize     = 32
	maxFooter       = 4096 // entries
)

var endMagic = [8]byte{'H', 'O', 'L', 'D', 'F', 'E', 'N', 'D'}

// FooterEntry says where a pack generation, or the copy of its directory,
// lies in an object. It is clear text and only a hint: what it points at is
// authenticated by its own seal.
type FooterEntry struct {
	Pack       ID
	Generation uint32
	Kind       Kind  // KindDataPack or KindPagePack
	Offset     int64 // of the generation's header; of the copy in a directory object
	Length     int64 // without the footer
	DirOffset  int64 // of the directory, from Offset
}

// AppendFooter appends the footer of an object to b.
func AppendFooter(b []byte, entries []FooterEntry) []byte {
	start := len(b)
	le := binary.LittleEndian
	for i := range entries {
		e := &entries[i]
		b = append(b, e.Pack[:]...)
		b = le.AppendUint32(b, e.Generation)
		b = le.AppendUint16(b, uint16(e.Kind))
		b = append(b, 0, 0)
		b = le.AppendUint64(b, uint64(e.Offset))
		b = le.AppendUint64(b, uint64(e.Length))
		b = le.AppendUint64(b, uint64(e.DirOffset))
	}
	b = le.AppendUint32(b, uint32(len(entries)))
	b = le.AppendUint16(b, Version)
	b = append(b, 0, 0)
	sum := blake3.Sum256(b[start:])
	b = append(b, sum[:16]...)
	return append(b, endMagic[:]...)
}

// FooterSize returns how many bytes the footer of n entries has.
func FooterSize(n int) int { return n*FooterEntrySize + TrailerSize }

// ParseTrailer reads the trailer, an object's last TrailerSize bytes, and
// returns how many bytes the whole footer has.
func ParseTrailer(b []byte) (int, error) {
	if len(b) != TrailerSize {
		return 0, errorf("trailer of %d bytes", len(b))
	}
	if [8]byte(b[24:]) != endMagic {
		return 0, errorf("no trailer magic")
	}
	le := binary.LittleEndian
	if v := le.Uint16(b[4:]); v != Version || b[6] != 0 || b[7] != 0 {
		return 0, errorf("unknown trailer version %d", v)
	}
	n := le.Uint32(b)
	if n == 0 || n > maxFooter {
		return 0, errorf("footer of %d entries", n)
	}
	return FooterSize(int(n)), nil
}

// ParseFooter reads a whole footer that ends an object of size bytes.
func ParseFooter(b []byte, size int64) ([]FooterEntry, error) {
	if len(b) < TrailerSize {
		return nil, errorf("footer of %d bytes", len(b))
	}
	n, err := ParseTrailer(b[len(b)-TrailerSize:])
	if err != nil {
		return nil, err
	}
	if n != len(b) || int64(n) > size {
		return nil, errorf("footer of %d bytes where %d were given", n, len(b))
	}
	if sum := blake3.Sum256(b[:n-24]); [16]byte(sum[:16]) != [16]byte(b[n-24:n-8]) {
		return nil, errorf("footer checksum")
	}
	entries := make([]FooterEntry, 0, (n-TrailerSize)/FooterEntrySize)
	for p := b[:n-TrailerSize]; len(p) > 0; p = p[FooterEntrySize:] {
		e, err := parseEntry(p[:FooterEntrySize], size-int64(n))
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func parseEntry(p []byte, body int64) (FooterEntry, error) {
	le := binary.LittleEndian
	e := FooterEntry{
		Pack:       ID(p[:16]),
		Generation: le.Uint32(p[16:]),
		Kind:       Kind(le.Uint16(p[20:])),
		Offset:     int64(le.Uint64(p[24:])),
		Length:     int64(le.Uint64(p[32:])),
		DirOffset:  int64(le.Uint64(p[40:])),
	}
	if p[22] != 0 || p[23] != 0 {
		return e, errorf("reserved footer bytes are not zero")
	}
	if e.Kind != KindDataPack && e.Kind != KindPagePack || e.Generation == 0 {
		return e, errorf("footer entry of kind %d, generation %d", e.Kind, e.Generation)
	}
	if e.Offset < 0 || e.Length < HeaderSize || e.Offset > body || e.Length > body-e.Offset ||
		e.DirOffset < 0 || e.DirOffset > e.Length-HeaderSize {
		return e, errorf("footer entry outside its object")
	}
	return e, nil
}
