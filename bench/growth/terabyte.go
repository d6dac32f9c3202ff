package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"holdfast/internal/blob/local"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

const (
	volumeSize = 1 << 40
	dataSize   = 20 << 30
	// extentSize is the length of each range of data; they lie evenly.
	extentSize = 64 << 20
	stride     = volumeSize / (dataSize / extentSize)
)

// volume is a synthetic one: each block of its data differs from all others
// and compresses to a quarter or so.
type volume struct {
	text []byte
}

func newVolume() *volume {
	r := rand.New(rand.NewPCG(1, 20))
	b := make([]byte, 16<<20)
	words := []string{"volume ", "snapshot ", "attached to server ", "00000000", "\x00\x00\x00\x00\x00\x00\x00\x00", "status=available ", "error: "}
	for i := 0; i < len(b); {
		i += copy(b[i:], words[r.IntN(len(words))])
		if i+4 <= len(b) {
			binary.LittleEndian.PutUint32(b[i:], r.Uint32())
			i += 2
		}
	}
	return &volume{b}
}

// Size implements vault.Source.
func (v *volume) Size() int64 { return volumeSize }

// NextData implements vault.Source.
func (v *volume) NextData(off int64) (start, end int64, err error) {
	if in := off % stride; in >= extentSize {
		off += stride - in
	}
	if off >= volumeSize {
		return volumeSize, volumeSize, nil
	}
	return off, off - off%stride + extentSize, nil
}

// ReadAt implements vault.Source.
func (v *volume) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > volumeSize || off%format.BlockSize != 0 {
		return 0, fmt.Errorf("read of %d bytes at %d", len(p), off)
	}
	for i := 0; i < len(p); i += format.BlockSize {
		b := p[i:min(i+format.BlockSize, len(p))]
		at := off + int64(i)
		if at%stride >= extentSize {
			clear(b)
			continue
		}
		number := at / format.BlockSize
		copy(b, v.text[number*1237%(int64(len(v.text))-format.BlockSize):])
		binary.LittleEndian.PutUint64(b, uint64(number)+1)
	}
	return len(p), nil
}

func backTerabyteUp(ctx context.Context, folder string) error {
	debug.SetGCPercent(50) // as the holdfast command does
	store, err := local.Create(folder)
	if err != nil {
		return err
	}
	fence, id := vaulttest.NewFence(), vault.ID{1}
	v, err := vault.Open(vault.Config{Store: store, Keys: vaulttest.Keys{Vault: id}, Fence: fence})
	if err != nil {
		return err
	}
	_, err = v.Backup(ctx, vault.BackupRequest{
		Session: fence.Session(id, nil),
		Info: vault.Info{
			Backup: "00000000-0000-4000-8000-000000000001", Volume: "11111111-1111-4111-8111-111111111111", DataTime: time.Unix(1, 0).UTC(),
		},
		Source: newVolume(),
	})
	return err
}
