// Package format holds the shapes of what lies in a vault's store: the header
// that every object begins with, the footer that packs end with, a pack's
// directory, and the names of objects. It seals and opens nothing; docs/format.md
// describes every byte.
package format

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// The units, in bytes unless they say otherwise.
const (
	BlockSize       = 4096
	GroupBlocks     = 32                            // blocks in a group
	GroupSize       = GroupBlocks * BlockSize       // 128 KiB
	ContainerGroups = 32                            // groups in a container
	ContainerBlocks = ContainerGroups * GroupBlocks // 1024 blocks
	PackContainers  = 8                             // containers in a pack
	LeafBlocks      = 1024                          // blocks that a leaf page covers
	LeafSize        = LeafBlocks * BlockSize        // 4 MiB
	FanOut          = 256                           // children of an inner page
	DigestSize      = 20                            // of a block
	TagSize         = 16                            // what sealing adds to a part
	MaxSealedGroup  = GroupSize + TagSize           // a group that is stored raw
	MaxVolume       = int64(1) << 50                // largest volume
)

// ErrFormat is wrapped by every parser's error: the bytes are not what a
// writer of this format produces.
var ErrFormat = errors.New("malformed")

func errorf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, args...)...)
}

// ID is 128 random bits: of a vault, a pack, a session or an incarnation. A
// backup's ID is its UUID.
type ID [16]byte

// String returns the ID as 32 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns what String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses what MarshalText returns.
func (id *ID) UnmarshalText(b []byte) error {
	v, ok := ParseID(string(b))
	if !ok {
		return errorf("id %q", b)
	}
	*id = v
	return nil
}

// Digest names a block: keyed BLAKE3, cut to 160 bits. The zero Digest stands
// for a block of zeros.
type Digest [DigestSize]byte
