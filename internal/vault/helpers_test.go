package vault_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// rig is a vault over stores and fences in memory.
type rig struct {
	t       testing.TB
	store   blob.Store
	fence   *vaulttest.Fence
	vault   *vault.Vault
	id      vault.ID
	backups int
}

func newRig(t testing.TB, change ...func(*vault.Config)) *rig {
	t.Helper()
	r := &rig{t: t, store: mem.New(), fence: vaulttest.NewFence(), id: vault.ID{7}}
	r.open(change...)
	return r
}

// open opens the vault anew, with an empty index.
func (r *rig) open(change ...func(*vault.Config)) {
	r.t.Helper()
	cfg := vault.Config{
		Store: r.store, Keys: vaulttest.Keys{Vault: r.id}, Fence: r.fence, Workers: 2,
		Rand: rand.NewChaCha8([32]byte{byte(r.backups + 1)}),
	}
	for _, c := range change {
		c(&cfg)
	}
	r.store = cfg.Store
	v, err := vault.Open(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.vault = v
}

// request returns a request for a backup of a volume.
func (r *rig) request(src vault.Source, parent *vault.RecordRef) vault.BackupRequest {
	r.backups++
	return vault.BackupRequest{
		Session: r.fence.Session(r.id, parent),
		Info: vault.Info{
			Backup:   fmt.Sprintf("00000000-0000-4000-8000-%012x", r.backups),
			Volume:   "11111111-1111-4111-8111-111111111111",
			DataTime: time.Unix(int64(r.backups), 0).UTC(),
		},
		Source:      src,
		SourceState: fmt.Sprintf("state %d", r.backups),
	}
}

// backup backs a volume up and returns its record.
func (r *rig) backup(req vault.BackupRequest) (vault.RecordRef, vault.Result) {
	r.t.Helper()
	result, err := r.vault.Backup(r.t.Context(), req)
	if err != nil {
		r.t.Fatalf("backup: %v", err)
	}
	return r.fence.Committed(req.Session).Record, result
}

// remove removes a backup.
func (r *rig) remove(ref vault.RecordRef) {
	r.t.Helper()
	name, err := format.ParseRecordName(ref.Object)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := vault.RemoveRecords(r.t.Context(), r.store, name.Vault, format.UUID(name.Backup), ref); err != nil {
		r.t.Fatal(err)
	}
}

// restored restores a record to a target full of other bytes.
func (r *rig) restored(ref vault.RecordRef, size int) ([]byte, error) {
	target := &vaulttest.Volume{Data: bytes.Repeat([]byte{0xa5}, size)}
	err := r.vault.Restore(context.Background(), vault.RestoreRequest{Record: ref, Target: target})
	return target.Data, err
}

// same restores a record and compares it.
func (r *rig) same(ref vault.RecordRef, want []byte) {
	r.t.Helper()
	got, err := r.restored(ref, len(want))
	if err != nil {
		r.t.Fatalf("restore: %v", err)
	}
	if !bytes.Equal(got, want) {
		for i := range got {
			if got[i] != want[i] {
				r.t.Fatalf("restored volume differs from byte %d (block %d) on", i, i/4096)
			}
		}
	}
}

// fill writes data that compresses to about half.
func fill(rng *rand.Rand, b []byte) {
	const digits = "0123456789abcdef"
	for i := 0; i < len(b); i += 16 {
		v := rng.Uint64()
		for k := range b[i:min(i+16, len(b))] {
			b[i+k] = digits[v>>(4*k)&15]
		}
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// volume returns a volume with data here and there.
func volume(rng *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for range 1 + size>>20 {
		at := rng.IntN(size)
		fill(rng, b[at:min(size, at+rng.IntN(1<<20))])
	}
	return b
}
