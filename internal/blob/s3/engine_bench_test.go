package s3_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/limit"
	"holdfast/internal/blob/local"
	"holdfast/internal/blob/retry"
	"holdfast/internal/s3test"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

const engineSize = 512 << 20

// engineStores are the stores that the engine is measured on.
var engineStores = []struct {
	name string
	open func(*testing.B) (blob.Store, *fault.Store)
}{
	{"local", func(b *testing.B) (blob.Store, *fault.Store) {
		s, err := local.Create(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		counted := fault.New(s)
		return counted, counted
	}},
	{"s3", func(b *testing.B) (blob.Store, *fault.Store) { return installed(b) }},
	{"s3+20ms", func(b *testing.B) (blob.Store, *fault.Store) {
		return installed(b, fault.Latency(20*time.Millisecond)...)
	}},
}

// installed opens a store as an installation has it, with faults between the
// limits and the network, and what counts the requests there.
func installed(b *testing.B, faults ...fault.Fault) (blob.Store, *fault.Store) {
	server := s3test.Start(b)
	server.Bucket("bucket")
	inner := fault.New(open(b, config(server)), faults...)
	return retry.New(limit.New(inner, limit.Config{Reads: 32, Writes: 32}), retry.Config{Tries: 12, Rand: rand.Int64N}), inner
}

// engineVolume is 512 MiB: an eighth each random and holes, the rest compresses
// by half.
func engineVolume() *vaulttest.Volume {
	v := &vaulttest.Volume{Data: make([]byte, engineSize), Holes: 64 << 10}
	source := rand.NewChaCha8([32]byte{9})
	source.Read(v.Data[:engineSize/8])
	for off := engineSize / 8; off < engineSize*7/8; off += 4096 {
		source.Read(v.Data[off : off+2048])
	}
	return v
}

// BenchmarkEngine takes a first backup and restores it, over each kind of
// store. Seconds of the processor are this process's, without the server's.
func BenchmarkEngine(b *testing.B) {
	v := engineVolume()
	for _, kind := range engineStores {
		b.Run("backup/"+kind.name, func(b *testing.B) {
			b.SetBytes(engineSize)
			before := processor()
			for b.Loop() {
				b.StopTimer()
				e := newEngine(b, kind.open)
				b.StartTimer()
				e.backup(v)
				b.ReportMetric(float64(e.calls.Calls(fault.Put)), "puts/op")
			}
			b.ReportMetric((processor()-before).Seconds()/float64(b.N), "cpu-s/op")
		})
		b.Run("restore/"+kind.name, func(b *testing.B) {
			e := newEngine(b, kind.open)
			ref := e.backup(v)
			gets := e.calls.Calls(fault.Get)
			target := &vaulttest.Volume{Data: make([]byte, engineSize)}
			b.SetBytes(engineSize)
			before := processor()
			for b.Loop() {
				if err := e.vault.Restore(b.Context(), vault.RestoreRequest{Record: ref, Target: target}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((processor()-before).Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(float64(e.calls.Calls(fault.Get)-gets)/float64(b.N), "gets/op")
		})
	}
}

// processor returns what this process has used of it.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// engine is a vault over a store.
type engine struct {
	b     *testing.B
	vault *vault.Vault
	fence *vaulttest.Fence
	id    vault.ID
	calls *fault.Store
	n     int
}

func newEngine(b *testing.B, open func(*testing.B) (blob.Store, *fault.Store)) *engine {
	store, calls := open(b)
	e := &engine{b: b, fence: vaulttest.NewFence(), id: vault.ID{7}, calls: calls}
	var err error
	e.vault, err = vault.Open(vault.Config{
		Store: store, Keys: vaulttest.Keys{Vault: e.id}, Fence: e.fence, Workers: runtime.GOMAXPROCS(0),
		Rand: rand.NewChaCha8([32]byte{1}),
	})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func (e *engine) backup(v *vaulttest.Volume) vault.RecordRef {
	e.n++
	session := e.fence.Session(e.id, nil)
	_, err := e.vault.Backup(context.Background(), vault.BackupRequest{
		Session: session, Source: v, SourceState: fmt.Sprint("state ", e.n), Compression: vault.Fast,
		Info: vault.Info{
			Backup: fmt.Sprintf("00000000-0000-4000-8000-%012x", e.n), Volume: "11111111-1111-4111-8111-111111111111",
			DataTime: time.Unix(int64(e.n), 0).UTC(),
		},
	})
	if err != nil {
		e.b.Fatal(err)
	}
	return e.fence.Committed(session).Record
}

// BenchmarkPut and BenchmarkGet are requests of the sizes that the engine
// makes, one after the other.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, _ := installed(b)
			data := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			before := processor()
			for i := 0; b.Loop(); i++ {
				if err := s.Put(b.Context(), fmt.Sprint("packs/", i%8), blobtest.Body(data)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processor()-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{4 << 10, 128 << 10, 8 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, _ := installed(b)
			p := make([]byte, size)
			if err := s.Put(b.Context(), "packs/0", blobtest.Body(make([]byte, 32<<20))); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			before := processor()
			for i := int64(0); b.Loop(); i++ {
				if _, err := s.Get(b.Context(), "packs/0", p, i%4*int64(size)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((processor()-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}
