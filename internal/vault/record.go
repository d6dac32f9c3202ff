package vault

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/sealing"
)

// Record is what a vault keeps of a backup: enough to restore it, and to
// rebuild its row in a catalog.
type Record struct {
	Info        Info
	Result      Result // Stored and Objects as they stood before the record was put
	Size        int64  // exact, in bytes
	Root        maps.Ref
	Height      int
	SourceState string
	// RunsSinceFull counts the runs that took a change map's word since
	// everything was read.
	RunsSinceFull int
	Session       ID
}

const (
	recordVersion = 1
	maxRecord     = 256 << 10
	maxExtra      = 64 << 10
)

type recordJSON struct {
	Version       int        `json:"version"`
	Info          Info       `json:"info"`
	Size          int64      `json:"size"`
	BlockSize     int        `json:"block_size"`
	LeafBlocks    int        `json:"leaf_blocks"`
	FanOut        int        `json:"fan_out"`
	Height        int        `json:"height"`
	Root          *rootJSON  `json:"root"`
	SourceState   string     `json:"source_state"`
	RunsSinceFull int        `json:"runs_since_full"`
	Result        resultJSON `json:"result"`
}

type rootJSON struct {
	Pack string `json:"pack"`
	Page uint32 `json:"page"`
	Hash string `json:"hash"`
}

type resultJSON struct {
	Read      int64 `json:"read"`
	New       int64 `json:"new"`
	Stored    int64 `json:"stored"`
	Objects   int64 `json:"objects"`
	ChangeMap bool  `json:"change_map"`
	MapLied   bool  `json:"map_lied"`
}

func (r *Record) encode() ([]byte, error) {
	w := recordJSON{
		Version: recordVersion, Info: r.Info, Size: r.Size, BlockSize: format.BlockSize,
		LeafBlocks: format.LeafBlocks, FanOut: format.FanOut, Height: r.Height,
		SourceState: r.SourceState, RunsSinceFull: r.RunsSinceFull,
		Result: resultJSON{
			Read: r.Result.Read, New: r.Result.New, Stored: r.Result.Stored, Objects: r.Result.Objects,
			ChangeMap: r.Result.ChangeMap, MapLied: r.Result.MapLied,
		},
	}
	if !r.Root.IsNull() {
		w.Root = &rootJSON{Pack: r.Root.Pack.String(), Page: r.Root.Page, Hash: hex.EncodeToString(r.Root.Hash[:])}
	}
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	if len(b) > maxRecord {
		return nil, fmt.Errorf("encode record: %d bytes are too many", len(b))
	}
	return b, nil
}

func parseRecord(b []byte) (Record, error) {
	bad := func(err error) (Record, error) {
		return Record{}, fmt.Errorf("%w: record: %w", format.ErrFormat, err)
	}
	if len(b) > maxRecord {
		return bad(errors.New("too long"))
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var w recordJSON
	if err := dec.Decode(&w); err != nil {
		return bad(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return bad(errors.New("something follows it"))
	}
	if w.Version != recordVersion || w.BlockSize != format.BlockSize || w.LeafBlocks != format.LeafBlocks || w.FanOut != format.FanOut {
		return bad(fmt.Errorf("version %d, block %d, leaf %d, fan-out %d", w.Version, w.BlockSize, w.LeafBlocks, w.FanOut))
	}
	if w.Size < 0 || w.Size > format.MaxVolume || w.Height != maps.Height(w.Size) || w.RunsSinceFull < 0 {
		return bad(fmt.Errorf("size %d, height %d", w.Size, w.Height))
	}
	if _, ok := format.ParseUUID(w.Info.Backup); !ok {
		return bad(fmt.Errorf("backup %q", w.Info.Backup))
	}
	r := Record{
		Info: w.Info, Size: w.Size, Height: w.Height, SourceState: w.SourceState, RunsSinceFull: w.RunsSinceFull,
		Result: Result{
			Size: w.Size, Read: w.Result.Read, New: w.Result.New, Stored: w.Result.Stored, Objects: w.Result.Objects,
			ChangeMap: w.Result.ChangeMap, MapLied: w.Result.MapLied,
		},
	}
	if w.Root != nil {
		var ok bool
		if r.Root.Pack, ok = format.ParseID(w.Root.Pack); !ok || r.Root.IsNull() {
			return bad(errors.New("root"))
		}
		hash, err := hex.DecodeString(w.Root.Hash)
		if err != nil || len(hash) != len(r.Root.Hash) {
			return bad(errors.New("hash of root"))
		}
		r.Root.Page = w.Root.Page
		copy(r.Root.Hash[:], hash)
		r.Result.Fingerprint = r.Root.Hash
	}
	return r, nil
}

// record reads and checks a record.
func (r *reader) record(ctx context.Context, ref RecordRef) (Record, error) {
	rec, _, err := r.wholeRecord(ctx, ref)
	return rec, err
}

// wholeRecord is record that also returns the object.
func (r *reader) wholeRecord(ctx context.Context, ref RecordRef) (Record, []byte, error) {
	name, err := format.ParseRecordName(ref.Object)
	if err != nil || name.Vault != r.vault {
		return Record{}, nil, fmt.Errorf("read record: %q is no record of vault %s", ref.Object, r.vault)
	}
	h, plain, object, err := r.whole(ctx, ref.Object, format.KindRecord, sealing.RecordLabel)
	if err != nil {
		return Record{}, nil, err
	}
	if ref.Hash != [32]byte{} && blake3.Sum256(object) != ref.Hash {
		return Record{}, nil, &CorruptError{Object: ref.Object, What: "it is not the record that was committed"}
	}
	rec, err := parseRecord(plain)
	if err != nil {
		return Record{}, nil, &CorruptError{Object: ref.Object, What: "its content", Err: err}
	}
	if h.Identity != name.Backup || format.UUID(name.Backup) != rec.Info.Backup {
		return Record{}, nil, &CorruptError{Object: ref.Object, What: "it is the record of backup " + rec.Info.Backup}
	}
	rec.Session = h.Session
	return rec, object, nil
}

// writeRecord puts the record, the last object of a backup.
func (w *writer) writeRecord(ctx context.Context, rec *Record) (RecordRef, error) {
	backup, ok := format.ParseUUID(rec.Info.Backup)
	if !ok {
		return RecordRef{}, fmt.Errorf("write record: backup %q is no UUID", rec.Info.Backup)
	}
	random, err := w.random()
	if err != nil {
		return RecordRef{}, err
	}
	plain, err := rec.encode()
	if err != nil {
		return RecordRef{}, err
	}
	name := format.RecordName{Vault: w.v.id, Backup: backup, Attempt: w.ref.Token, Random: random}.String()
	object, err := w.putWhole(ctx, whole{
		name: name, kind: format.KindRecord, label: sealing.RecordLabel, identity: backup, plain: plain,
	})
	if err != nil {
		return RecordRef{}, err
	}
	return RecordRef{Object: name, Hash: blake3.Sum256(object)}, nil
}
