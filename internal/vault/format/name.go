package format

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Room is the folder of a vault that holds objects of one kind.
type Room string

// The rooms.
const (
	Packs      Room = "packs"
	Pages      Room = "pages"
	Dirs       Room = "dirs"
	Placements Room = "placement"
	Index      Room = "index"
	Records    Room = "records"
	Keys       Room = "keys"

	Epochs       Room = "epochs"
	Incarnations Room = "incarnations"
)

// Root is the prefix of all vaults' objects.
const Root = "vaults/"

// VaultPrefix returns the prefix of a vault's objects.
func VaultPrefix(vault ID) string { return Root + vault.String() + "/" }

// RoomPrefix returns the prefix of a vault's objects of one kind.
func RoomPrefix(vault ID, room Room) string { return VaultPrefix(vault) + string(room) + "/" }

// Name returns the name of an object that an attempt at a session writes;
// random makes it unique.
func Name(vault ID, room Room, session ID, attempt int64, random ID) string {
	return RoomPrefix(vault, room) + session.String() + "-" + strconv.FormatInt(attempt, 10) + "-" + random.String()
}

// ObjectName is the parsed name of an object that Name made.
type ObjectName struct {
	Session ID
	Attempt int64
	Random  ID
}

// ParseName parses the name of an object that Name made.
func ParseName(vault ID, room Room, name string) (ObjectName, bool) {
	parts := strings.Split(strings.TrimPrefix(name, RoomPrefix(vault, room)), "-")
	if len(parts) != 3 {
		return ObjectName{}, false
	}
	session, known := ParseID(parts[0])
	attempt, err := strconv.ParseInt(parts[1], 10, 64)
	random, ok := ParseID(parts[2])
	return ObjectName{session, attempt, random}, known && ok && err == nil && Name(vault, room, session, attempt, random) == name
}

// ParseSession returns the session in the name of an object that Name made.
func ParseSession(vault ID, room Room, name string) (ID, bool) {
	n, ok := ParseName(vault, room, name)
	if !ok {
		return ID{}, false
	}
	return n.Session, true
}

// RecordName is the parsed name of a record object.
type RecordName struct {
	Vault   ID
	Backup  ID
	Attempt int64
	Random  ID
}

// String returns the object's name.
func (n RecordName) String() string {
	return RoomPrefix(n.Vault, Records) + UUID(n.Backup) + "-" + strconv.FormatInt(n.Attempt, 10) + "-" + n.Random.String()
}

// Numbered is the parsed name of an object of Epochs or Incarnations. Names
// sort by their number.
type Numbered struct {
	Vault  ID
	Room   Room
	Number int64
	Who    ID // the session of an epoch, or the incarnation
	Random ID
}

// String returns the object's name.
func (n Numbered) String() string {
	return fmt.Sprintf("%s%020d-%s-%s", RoomPrefix(n.Vault, n.Room), n.Number, n.Who, n.Random)
}

// ParseNumbered parses the name of an object of a room of numbered ones.
func ParseNumbered(vault ID, room Room, name string) (Numbered, error) {
	n := Numbered{Vault: vault, Room: room}
	parts := strings.Split(strings.TrimPrefix(name, RoomPrefix(vault, room)), "-")
	if len(parts) != 3 {
		return n, errorf("no name in %s: %q", room, name)
	}
	var err error
	n.Number, err = strconv.ParseInt(parts[0], 10, 64)
	var ok [2]bool
	n.Who, ok[0] = ParseID(parts[1])
	n.Random, ok[1] = ParseID(parts[2])
	if err != nil || ok != [2]bool{true, true} || n.Number <= 0 || n.String() != name {
		return n, errorf("no name in %s: %q", room, name)
	}
	return n, nil
}

// RecordPrefix returns the prefix of a backup's records.
func RecordPrefix(vault, backup ID) string { return RoomPrefix(vault, Records) + UUID(backup) + "-" }

// ParseRecordName parses a record object's name.
func ParseRecordName(name string) (RecordName, error) {
	var n RecordName
	parts := strings.Split(name, "/")
	if len(parts) != 4 || parts[0]+"/" != Root || parts[2] != string(Records) || len(parts[3]) < 38 {
		return n, errorf("no record name: %q", name)
	}
	var ok bool
	if n.Vault, ok = ParseID(parts[1]); !ok {
		return n, errorf("no vault in record name %q", name)
	}
	if n.Backup, ok = ParseUUID(parts[3][:36]); !ok {
		return n, errorf("no backup in record name %q", name)
	}
	attempt, random, found := strings.Cut(parts[3][37:], "-")
	v, err := strconv.ParseInt(attempt, 10, 64)
	if !found || err != nil {
		return n, errorf("no attempt in record name %q", name)
	}
	n.Attempt = v
	if n.Random, ok = ParseID(random); !ok || n.String() != name {
		return n, errorf("no record name: %q", name)
	}
	return n, nil
}

// ParseID parses 32 lower-case hexadecimal digits.
func ParseID(s string) (ID, bool) {
	var id ID
	if len(s) != 2*len(id) || s != strings.ToLower(s) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil
}

// UUID writes an ID as a UUID: 8-4-4-4-12 digits.
func UUID(id ID) string {
	s := id.String()
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// ParseUUID parses a lower-case UUID.
func ParseUUID(s string) (ID, bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, false
	}
	return ParseID(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
}
