package vault

import (
	"encoding/json"
	"io"
	"time"
)

// Source is what is backed up: one instant of a volume, which does not change
// while it is read. ReadAt may be called concurrently.
type Source interface {
	io.ReaderAt
	// Size returns the volume's exact size in bytes.
	Size() int64
	// NextData returns the first range at or after off that may hold data;
	// all between off and start reads as zeros. Where there is no more,
	// start and end are Size.
	NextData(off int64) (start, end int64, err error)
}

// Target is what a restore writes. WriteAt and Zero may be called
// concurrently on ranges that do not touch.
type Target interface {
	io.WriterAt
	// Size returns how many bytes the target can hold.
	Size() int64
	// Zero makes n bytes from off read as zeros, whatever they were.
	Zero(off, n int64) error
	// Sync returns once all that was written is durable. Other ranges may be
	// written meanwhile.
	Sync() error
}

// Extent is a range of a volume in bytes.
type Extent struct {
	Offset int64
	Length int64
}

// ChangeMap names all ranges that may differ from an earlier source state,
// sorted and without overlap. What it leaves out is taken from the parent,
// which it names by its source state, by its backup, or by both: where either
// is another, the map is refused.
type ChangeMap struct {
	Since   string // the parent's source state; empty: see Parent
	Parent  string // UUID of the parent; empty: see Since
	Extents []Extent
}

// continues reports whether the map begins at a parent.
func (m *ChangeMap) continues(parent *Record) bool {
	return (m.Since != "" || m.Parent != "") &&
		(m.Since == "" || m.Since == parent.SourceState) && (m.Parent == "" || m.Parent == parent.Info.Backup)
}

// Compression says how groups are compressed.
type Compression string

// The settings. Auto takes S2 for a first backup, where the processor limits,
// but zstd while packs have to wait for the store, or while the smaller part of
// what is read is new; and zstd for later backups.
const (
	Auto     Compression = "auto"
	Fast     Compression = "fast"
	Balanced Compression = "balanced"
	Small    Compression = "small"
)

// Info is what a record says of its backup besides the data; a vault can be
// read, and its catalog be rebuilt, from these alone.
type Info struct {
	Backup      string    `json:"backup"` // UUID
	Project     string    `json:"project"`
	Volume      string    `json:"volume"` // UUID
	VolumeName  string    `json:"volume_name,omitempty"`
	Name        string    `json:"name,omitempty"`
	Description string    `json:"description,omitempty"`
	Parent      string    `json:"parent,omitempty"` // UUID of the backup it continues
	Incremental bool      `json:"incremental,omitempty"`
	DataTime    time.Time `json:"data_time"`
	Created     time.Time `json:"created"`
	// Extra is the catalog's own, a JSON object of at most 64 KiB.
	Extra json.RawMessage `json:"extra,omitempty"`
}

// BackupRequest asks for one backup.
type BackupRequest struct {
	Session SessionRef
	Info    Info
	Source  Source
	// SourceState names the immutable instant that Source shows. A resumed
	// session goes on only where it is the same and not empty; otherwise it
	// reads the source again from the start.
	SourceState string
	Changes     *ChangeMap // nil: read everything
	Compression Compression
	Progress    func(Progress) // may be nil; called from one goroutine at a time
}

// Progress is a running operation's state in bytes.
type Progress struct {
	Done   int64 // of the volume, holes included
	Size   int64
	Read   int64
	New    int64
	Stored int64
}

// Result is what a finished backup says of itself, in bytes.
type Result struct {
	Size        int64
	Read        int64 // from the source, in this and earlier attempts
	New         int64 // of these, in blocks that the vault did not have
	Stored      int64 // of all objects put, metadata included
	Objects     int64
	ChangeMap   bool     // a change map was used
	MapLied     bool     // an audit found a change outside the map: everything was read
	Fingerprint [32]byte // the root page's hash
	Groups      Groups   // sealed in this attempt
}

// Groups counts groups of blocks by how they are compressed.
type Groups struct {
	Raw, S2, Zstd int64
}

// RestoreRequest asks for one backup's bytes.
type RestoreRequest struct {
	Record RecordRef
	Target Target
	Range  *Range // nil: the whole volume
	From   int64  // go on from this offset of the volume; what is before was restored by an earlier attempt
	// Reached is called after each window, when all below offset, one of the
	// volume, is durable in the target; may be nil. An error ends the restore.
	Reached func(offset int64) error
	// Progress tells of the wanted bytes, holes included. It is called from
	// one goroutine at a time, and not while Reached is; may be nil.
	Progress func(Progress)
}
