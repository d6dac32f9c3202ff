package format

import (
	"encoding/binary"
)

// HeaderSize is the length of every header in bytes.
const HeaderSize = 160

// Version is the version of every kind of object that this package writes.
const Version = 1

var magic = [8]byte{'H', 'O', 'L', 'D', 'F', 'A', 'S', 'T'}

// Kind says what an object, or a generation in it, holds.
type Kind uint16

// The kinds. Numbers from KindName on are reserved for objects that have no
// writer; a reader refuses them.
const (
	KindDataPack    Kind = 1 // a pack generation: groups of blocks
	KindPagePack    Kind = 2 // a pack generation: pages of maps
	KindDirectories Kind = 3 // second copies of directories
	KindPlacement   Kind = 4 // a placement segment
	KindIndex       Kind = 5 // an index segment
	KindRecord      Kind = 6 // a backup's record
	KindKeys        Kind = 7 // a key object

	KindIncarnation Kind = 8 // a catalog that took the vault over
	KindEpoch       Kind = 9 // an epoch of the catalog after which objects were deleted

	KindName      Kind = 10
	KindTombstone Kind = 11
)

// Header begins every object and every pack generation. Whole and encoded,
// it is associated data of all sealed parts that follow it.
type Header struct {
	Kind        Kind
	KeyVersion  uint32   // of the vault key that the parts are sealed under
	Generation  uint32   // of a pack, from 1; 0 for everything else
	DigestLen   uint8    // DigestSize, 0 in key objects
	LockedUntil int64    // Unix seconds before which it can't be removed, 0 for no lock
	Vault       ID       // whose it is
	Incarnation ID       // of the catalog that wrote it
	Identity    ID       // pack or backup; random for other kinds
	Session     ID       // that wrote it
	Salt        [32]byte // fresh for everything that is sealed
}

// Append appends the encoded header to b.
func (h *Header) Append(b []byte) []byte {
	var p [HeaderSize]byte
	copy(p[0:], magic[:])
	le := binary.LittleEndian
	le.PutUint16(p[8:], uint16(h.Kind))
	le.PutUint16(p[10:], Version)
	le.PutUint32(p[16:], h.KeyVersion)
	le.PutUint32(p[20:], h.Generation)
	p[24] = h.DigestLen
	le.PutUint64(p[32:], uint64(h.LockedUntil))
	copy(p[40:], h.Vault[:])
	copy(p[56:], h.Incarnation[:])
	copy(p[72:], h.Identity[:])
	copy(p[88:], h.Session[:])
	copy(p[104:], h.Salt[:])
	return append(b, p[:]...)
}

// ParseHeader decodes the header at the start of b and requires its kind.
// Unknown versions, flags and reserved bytes that are not zero are errors.
func ParseHeader(b []byte, want Kind) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, errorf("header of %d bytes", len(b))
	}
	le := binary.LittleEndian
	if [8]byte(b[:8]) != magic {
		return Header{}, errorf("no header magic")
	}
	h := Header{Kind: Kind(le.Uint16(b[8:]))}
	if h.Kind != want {
		return Header{}, errorf("object of kind %d where %d was expected", h.Kind, want)
	}
	if v := le.Uint16(b[10:]); v != Version {
		return Header{}, errorf("kind %d has unknown version %d", h.Kind, v)
	}
	if f := le.Uint32(b[12:]); f != 0 {
		return Header{}, errorf("unknown flags %#x", f)
	}
	h.KeyVersion = le.Uint32(b[16:])
	h.Generation = le.Uint32(b[20:])
	h.DigestLen = b[24]
	if !allZero(b[25:32]) || !allZero(b[136:HeaderSize]) {
		return Header{}, errorf("reserved header bytes are not zero")
	}
	if h.DigestLen != DigestSize && (h.Kind != KindKeys || h.DigestLen != 0) {
		return Header{}, errorf("unknown digest length %d", h.DigestLen)
	}
	h.LockedUntil = int64(le.Uint64(b[32:]))
	h.Vault = ID(b[40:56])
	h.Incarnation = ID(b[56:72])
	h.Identity = ID(b[72:88])
	h.Session = ID(b[88:104])
	h.Salt = [32]byte(b[104:136])
	return h, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
