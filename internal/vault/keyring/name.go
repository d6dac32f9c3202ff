package keyring

import (
	"bytes"
	"cmp"
	"strconv"
	"strings"

	"holdfast/internal/vault/format"
)

// name is the name of a key object.
type name struct {
	vault   format.ID
	purpose purpose
	version uint32
	set     format.ID
	copy    format.ID
}

func (n name) String() string {
	return format.RoomPrefix(n.vault, format.Keys) + strings.Join([]string{
		n.purpose.String(), strconv.FormatUint(uint64(n.version), 10), n.set.String(), n.copy.String(),
	}, "-")
}

// parseName parses the name of a key object.
func parseName(s string) (name, bool) {
	rest, ok := strings.CutPrefix(s, format.Root)
	if !ok {
		return name{}, false
	}
	id, rest, _ := strings.Cut(rest, "/")
	rest, ok = strings.CutPrefix(rest, string(format.Keys)+"/")
	parts := strings.Split(rest, "-")
	if !ok || len(parts) != 4 {
		return name{}, false
	}
	var n name
	switch parts[0] {
	case naming.String():
		n.purpose = naming
	case vaultKey.String():
		n.purpose = vaultKey
	}
	version, err := strconv.ParseUint(parts[1], 10, 32)
	n.version = uint32(version)
	if err != nil || !n.purpose.fits(n.version) {
		return name{}, false
	}
	for _, part := range []struct {
		id   *format.ID
		text string
	}{{&n.vault, id}, {&n.set, parts[2]}, {&n.copy, parts[3]}} {
		if *part.id, ok = format.ParseID(part.text); !ok {
			return name{}, false
		}
	}
	return n, n.String() == s
}

// compareNames orders by set, then version, then copy.
func compareNames(a, b name) int {
	return cmp.Or(bytes.Compare(a.set[:], b.set[:]), cmp.Compare(a.version, b.version), bytes.Compare(a.copy[:], b.copy[:]))
}
