package vault

import (
	"cmp"
	"errors"
	"slices"
	"sync"

	"holdfast/internal/vault/format"
)

// maxCandidates bounds the memory that places of packs take: four times of what
// a vault of 16 TiB has.
const maxCandidates = 4 << 20

var errCandidates = errors.New("the store names more places of packs than can be looked at")

// candidate is a place where a generation of a pack may lie: a placement
// segment or an object's footer says so, and neither is to be believed.
type candidate struct {
	pack       ID
	generation uint32
	object     int32 // in the table's names
	copied     int32 // the object of the directory's copy; -1: there is none
	offset     uint32
	length     uint32
	dirOffset  uint32
	copyAt     uint32
	live       uint32
	kind       PackKind
	proof      proof
}

// proof says what is known of a candidate.
type proof uint8

const (
	unproven  proof = iota
	authentic       // its directory opens
	outlined        // only the copy of its directory is good: what a data pack held is known, and lost
	refuted         // nothing of it is good
	vanished        // there is no such object
)

// placeTable holds candidates in little memory, some 120 bytes for each.
type placeTable struct {
	vault ID

	mu       sync.Mutex
	sessions []ID
	session  map[ID]uint32
	names    []shortName
	odd      map[int32]string // names that format.Name didn't make
	last     [2]lastName
	rows     []candidate // once they are sorted: by pack, the highest generation first
	copies   []candidate // of directories: pack, generation, object, offset and length
}

// shortName is an object's name without what all have in common.
type shortName struct {
	random  ID
	attempt int64
	session uint32
	room    uint8 // in placeRooms; else the name is odd
}

type lastName struct {
	name string
	at   int32
}

var placeRooms = [...]format.Room{format.Packs, format.Pages, format.Dirs}

const oddRoom = uint8(len(placeRooms))

func newPlaceTable(vault ID) *placeTable {
	return &placeTable{vault: vault, session: map[ID]uint32{}, odd: map[int32]string{}}
}

// intern returns a name's number; t.mu is held. Names that follow each other
// in a slot, and are the same, have the same one.
func (t *placeTable) intern(slot int, name string) int32 {
	if l := &t.last[slot]; l.name == name {
		return l.at
	}
	at := int32(len(t.names))
	short := shortName{room: oddRoom}
	for i, room := range placeRooms {
		n, ok := format.ParseName(t.vault, room, name)
		if !ok {
			continue
		}
		s, known := t.session[n.Session]
		if !known {
			s = uint32(len(t.sessions))
			t.session[n.Session] = s
			t.sessions = append(t.sessions, n.Session)
		}
		short = shortName{random: n.Random, attempt: n.Attempt, session: s, room: uint8(i)}
	}
	if short.room == oddRoom {
		t.odd[at] = name
	}
	t.names = append(t.names, short)
	t.last[slot] = lastName{name, at}
	return at
}

// name returns the name of a number.
func (t *placeTable) name(at int32) string {
	n := &t.names[at]
	if n.room == oddRoom {
		return t.odd[at]
	}
	return format.Name(t.vault, placeRooms[n.room], t.sessions[n.session], n.attempt, n.random)
}

// writer returns the session in a name, and false for an odd one.
func (t *placeTable) writer(at int32) (ID, bool) {
	n := &t.names[at]
	if n.room == oddRoom {
		return ID{}, false
	}
	return t.sessions[n.session], true
}

// add adds what a placement segment says.
func (t *placeTable) add(places []Placement) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range places {
		p := &places[i]
		c := candidate{
			pack: p.Pack, generation: p.Generation, object: t.intern(0, p.Object), copied: -1, kind: p.Kind,
			offset: uint32(p.Offset), length: uint32(p.Length), dirOffset: uint32(p.DirOffset), live: uint32(p.Live),
		}
		if p.DirObject != "" {
			c.copied, c.copyAt = t.intern(1, p.DirObject), uint32(p.DirAt)
		}
		t.rows = append(t.rows, c)
	}
	if len(t.rows) > maxCandidates {
		return errCandidates
	}
	return nil
}

// addFooter adds what an object's footer says; of packs, or of copies of
// directories.
func (t *placeTable) addFooter(room format.Room, object string, entries []format.FooterEntry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		c := candidate{
			pack: e.Pack, generation: e.Generation, object: t.intern(0, object), copied: -1, kind: DataPack,
			offset: uint32(e.Offset), length: uint32(e.Length), dirOffset: uint32(e.DirOffset),
		}
		if e.Kind == format.KindPagePack {
			c.kind = PagePack
		}
		if room == format.Dirs {
			t.copies = append(t.copies, c)
		} else {
			t.rows = append(t.rows, c)
		}
	}
	if len(t.rows) > maxCandidates || len(t.copies) > maxCandidates {
		return errCandidates
	}
	return nil
}

// sort brings the rows into their order, joins those that say the same, and
// gives those the copies of their directories that were found.
func (t *placeTable) sort() {
	slices.SortFunc(t.rows, func(a, b candidate) int {
		return cmp.Or(compareID(a.pack, b.pack), cmp.Compare(b.generation, a.generation), t.compareNames(a.object, b.object),
			cmp.Compare(a.offset, b.offset), cmp.Compare(a.length, b.length), cmp.Compare(a.dirOffset, b.dirOffset),
			cmp.Compare(b.copied, a.copied), cmp.Compare(b.proof, a.proof))
	})
	t.rows = slices.CompactFunc(t.rows, func(a, b candidate) bool {
		return a.pack == b.pack && a.generation == b.generation && t.compareNames(a.object, b.object) == 0 &&
			a.offset == b.offset && a.length == b.length && a.dirOffset == b.dirOffset && a.kind == b.kind
	})
	slices.SortFunc(t.copies, compareCopies)
	for i := range t.rows {
		if c := &t.rows[i]; c.copied < 0 {
			t.findCopy(c)
		}
	}
	t.copies = nil
}

func compareCopies(a, b candidate) int {
	return cmp.Or(compareID(a.pack, b.pack), cmp.Compare(a.generation, b.generation))
}

// findCopy looks for the copy that the attempt which wrote a generation made of
// its directory: that of another attempt is another one.
func (t *placeTable) findCopy(c *candidate) {
	i, ok := slices.BinarySearchFunc(t.copies, *c, compareCopies)
	for ; ok && i < len(t.copies) && compareCopies(t.copies[i], *c) == 0; i++ {
		d := &t.copies[i]
		a, b := &t.names[c.object], &t.names[d.object]
		if a.room != oddRoom && b.room != oddRoom && a.session == b.session && a.attempt == b.attempt && d.length == c.length-c.dirOffset {
			c.copied, c.copyAt = d.object, d.offset
			return
		}
	}
}

func (t *placeTable) compareNames(a, b int32) int {
	x, y := &t.names[a], &t.names[b]
	if a == b {
		return 0
	}
	if x.room == oddRoom && y.room == oddRoom {
		return cmp.Compare(t.odd[a], t.odd[b])
	}
	return cmp.Or(cmp.Compare(x.room, y.room), cmp.Compare(x.session, y.session), cmp.Compare(x.attempt, y.attempt),
		compareID(x.random, y.random))
}

// of returns the candidates of a pack.
func (t *placeTable) of(pack ID) []candidate {
	first, ok := slices.BinarySearchFunc(t.rows, pack, func(c candidate, id ID) int { return compareID(c.pack, id) })
	if !ok {
		return nil
	}
	return t.pack(first)
}

// pack returns the candidates of the pack whose rows begin at first.
func (t *placeTable) pack(first int) []candidate {
	end := first + 1
	for end < len(t.rows) && t.rows[end].pack == t.rows[first].pack {
		end++
	}
	return t.rows[first:end]
}

// placement returns a candidate as a placement.
func (t *placeTable) placement(c *candidate) Placement {
	p := Placement{
		Pack: c.pack, Generation: c.generation, Kind: c.kind, Object: t.name(c.object),
		Offset: int64(c.offset), Length: int64(c.length), DirOffset: int64(c.dirOffset), Live: int64(c.live),
	}
	if c.copied >= 0 {
		p.DirObject, p.DirAt = t.name(c.copied), int64(c.copyAt)
	}
	return p
}
