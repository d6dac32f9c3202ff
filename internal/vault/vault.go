package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/vault/naming"
	"holdfast/internal/vault/sealing"
)

// Keys derives the keys of one vault.
type Keys = sealing.Keys

// Config is what a vault stands on.
type Config struct {
	Store   blob.Store
	Keys    Keys
	Fence   Fence
	Index   *Index           // may be shared by all vaults of a process; nil: every backup has one of its own
	Rand    io.Reader        // nil: crypto/rand
	Workers int              // goroutines that hash and compress in a job; 0: GOMAXPROCS
	Log     *slog.Logger     // nil: nothing is logged
	Now     func() time.Time // nil: time.Now

	CheckpointEvery time.Duration // 0: 15 s
	CheckpointBytes int64         // newly stored between two checkpoints; 0: 512 MiB
}

// maxWorkers bounds a job's goroutines, whose buffers its budget holds.
const maxWorkers = 8

// Vault reads and writes one vault. It may be used concurrently.
type Vault struct {
	cfg   Config
	id    ID
	names *naming.Secret
}

// Open returns a vault. It reads and writes nothing yet.
func Open(cfg Config) (*Vault, error) {
	if cfg.Store == nil || cfg.Keys == nil || cfg.Fence == nil {
		return nil, errors.New("open vault: store, keys and fence are needed")
	}
	names, err := naming.New(cfg.Keys)
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	if cfg.Index == nil {
		cfg.Index = NewIndex(IndexConfig{})
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	cfg.Rand = &lockedReader{r: cfg.Rand}
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	cfg.Workers = min(cfg.Workers, maxWorkers)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CheckpointEvery <= 0 {
		cfg.CheckpointEvery = 15 * time.Second
	}
	if cfg.CheckpointBytes <= 0 {
		cfg.CheckpointBytes = 512 << 20
	}
	return &Vault{cfg: cfg, id: ID(cfg.Keys.ID()), names: names}, nil
}

// Record reads a backup's record. The reference's hash is checked where it is
// not zero.
func (v *Vault) Record(ctx context.Context, ref RecordRef) (Record, error) {
	return v.reader().record(ctx, ref)
}

func (v *Vault) reader() *reader {
	return newReader(readerConfig{store: v.cfg.Store, keys: v.cfg.Keys, names: v.names, locate: v.cfg.Fence.Locate})
}

// lockedReader makes a source of randomness safe for concurrent use.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return io.ReadFull(l.r, p)
}
