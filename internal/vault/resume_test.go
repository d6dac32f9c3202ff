package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

var errBroken = errors.New("broken")

// frequent has a vault write checkpoints all the time.
func frequent(cfg *vault.Config) { cfg.CheckpointBytes = 300 << 10 }

// TestResume has the store, then the fence, fail at each call in turn, and
// another attempt finish the session.
func TestResume(t *testing.T) {
	rng := newRand(3)
	first := make([]byte, 9<<20)
	fill(rng, first[:6<<20])
	second := append(bytes.Clone(first), make([]byte, 15<<20)...)
	fill(rng, second[3<<20:4<<20])
	for off := 10 << 20; off < len(second); off += 2 << 20 {
		fill(rng, second[off:off+1<<20])
	}
	clear(second[1<<20 : 2<<20])

	for _, kind := range []string{"put", "late put", "fence", "put, other source"} {
		for n := 1; ; n++ {
			if !resumeOnce(t, kind, n, first, second) {
				if n < 3 {
					t.Errorf("%s: only %d calls could fail", kind, n)
				}
				break
			}
		}
	}
}

// resumeOnce makes the n-th call fail and reports whether there was one.
func resumeOnce(t *testing.T, kind string, n int, first, second []byte) bool {
	t.Helper()
	store := fault.New(mem.New())
	r := newRig(t, func(cfg *vault.Config) { cfg.Store = store })
	ref1, _ := r.backup(r.request(&vaulttest.Volume{Data: first}, nil))

	r.open(frequent)
	req := r.request(&vaulttest.Volume{Data: second, Holes: 4096}, &ref1)
	switch kind {
	case "fence":
		r.fence.Fail(n+1, errBroken) // Begin is not of interest
	default:
		store.Add(fault.Fault{Op: fault.Put, Nth: n, Err: errBroken, Late: kind == "late put"})
	}
	_, err := r.vault.Backup(t.Context(), req)
	if err == nil {
		return false
	}
	if !errors.Is(err, errBroken) {
		t.Fatalf("%s %d: %v", kind, n, err)
	}
	if r.fence.Committed(req.Session) != nil {
		t.Fatalf("%s %d: committed all the same", kind, n)
	}
	store.Clear()
	r.same(ref1, first)

	want := second
	req.Session.Token++
	if kind == "put, other source" {
		want = bytes.Clone(second)
		fill(newRand(99), want[:5000])
		req.Source, req.SourceState = &vaulttest.Volume{Data: want}, "another"
	}
	r.open(frequent)
	ref2, _ := r.backup(req)
	r.same(ref1, first)
	r.same(ref2, want)
	return true
}

func TestRetryStoresNothingAgain(t *testing.T) {
	data := make([]byte, 24<<20)
	fill(newRand(5), data)
	for _, state := range []string{"same", ""} {
		r := newRig(t, frequent)
		req := r.request(&vaulttest.Volume{Data: data}, nil)
		req.SourceState = state
		r.fence.FailCommit(errBroken)
		if _, err := r.vault.Backup(t.Context(), req); !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		before := r.fence.Checkpointed(req.Session)
		if before == nil {
			t.Fatal("no checkpoint")
		}
		req.Session.Token++
		r.open(frequent)
		src := &vaulttest.Volume{Data: data}
		req.Source = src
		ref, result := r.backup(req)
		r.same(ref, data)
		if again := result.New - int64(len(data)); again > 5<<20 {
			t.Errorf("state %q: the retry stored %d bytes again", state, again)
		}
		if state != "" && src.Read() > int64(len(data))-before.Offset {
			t.Errorf("the retry read %d bytes, though %d of %d were done", src.Read(), before.Offset, len(data))
		}
	}
}

func TestFencedSessionStops(t *testing.T) {
	data := make([]byte, 24<<20)
	fill(newRand(6), data)
	store := fault.New(mem.New())
	r := newRig(t, frequent, func(cfg *vault.Config) { cfg.Store = store })
	req := r.request(&vaulttest.Volume{Data: data}, nil)
	later := req.Session
	later.Token++
	store.Add(fault.Fault{Op: fault.Put, Nth: 2, Before: func(ctx context.Context) error {
		_, err := r.fence.Begin(ctx, later)
		return err
	}})
	if _, err := r.vault.Backup(t.Context(), req); !errors.Is(err, vault.ErrFenced) {
		t.Fatalf("a session that was taken over ended with %v", err)
	}
	if r.fence.Committed(req.Session) != nil {
		t.Fatal("committed all the same")
	}
	calls := store.Calls(fault.Put)
	req.Session.Token++
	r.backup(req)
	if whole := store.Calls(fault.Put) - calls; calls > whole/2 {
		t.Errorf("%d puts before and after the takeover, %d of the whole session", calls, whole)
	}
}

func TestCancelledBackupWritesNoMore(t *testing.T) {
	data := make([]byte, 24<<20)
	fill(newRand(6), data)
	for n := 1; n < 9; n++ {
		store := fault.New(mem.New())
		r := newRig(t, frequent, func(cfg *vault.Config) { cfg.Store = store })
		ctx, cancel := context.WithCancel(t.Context())
		store.Add(fault.Fault{Op: fault.Put, Nth: n, Before: func(context.Context) error {
			cancel()
			return nil
		}})
		req := r.request(&vaulttest.Volume{Data: data}, nil)
		if _, err := r.vault.Backup(ctx, req); !errors.Is(err, context.Canceled) {
			t.Fatalf("put %d: %v", n, err)
		}
		// Those that were under way in the same moment may have ended.
		if calls := store.Calls(fault.Put); calls > n+3 {
			t.Errorf("%d puts after the %d-th, which cancelled", calls-n, n)
		}
		if r.fence.Committed(req.Session) != nil {
			t.Fatal("committed all the same")
		}
	}
}

type failingSource struct {
	*vaulttest.Volume
	at int64
}

func (f failingSource) ReadAt(p []byte, off int64) (int, error) {
	if off <= f.at && f.at < off+int64(len(p)) {
		return 0, errBroken
	}
	return f.Volume.ReadAt(p, off)
}

func TestErrorsOfSourceAndTargetAreTold(t *testing.T) {
	data := make([]byte, 9<<20)
	fill(newRand(7), data)
	r := newRig(t)
	var source *vault.SourceError
	_, err := r.vault.Backup(t.Context(), r.request(failingSource{&vaulttest.Volume{Data: data}, 5 << 20}, nil))
	if !errors.As(err, &source) || !errors.Is(err, errBroken) {
		t.Errorf("source: %v", err)
	}
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	var target *vault.TargetError
	err = r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: failingTarget{&vaulttest.Volume{Data: data}}})
	if !errors.As(err, &target) || !errors.Is(err, errBroken) {
		t.Errorf("target: %v", err)
	}
	small := &vaulttest.Volume{Data: make([]byte, len(data)-1)}
	err = r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: small})
	if !errors.Is(err, vault.ErrTooSmall) || !bytes.Equal(small.Data, make([]byte, len(data)-1)) {
		t.Errorf("small target: %v", err)
	}
}

type failingTarget struct{ *vaulttest.Volume }

func (failingTarget) WriteAt([]byte, int64) (int, error) { return 0, errBroken }

// TestRestoreGoesOn ends a restore at each window and goes on from there.
func TestRestoreGoesOn(t *testing.T) {
	const size = 300 << 20
	data := make([]byte, size)
	rng := newRand(8)
	for off := 0; off < size; off += 4 << 20 {
		fill(rng, data[off:off+4096])
	}
	r := newRig(t)
	ref, _ := r.backup(r.request(&vaulttest.Volume{Data: data, Holes: 4096}, nil))
	target := &vaulttest.Volume{Data: bytes.Repeat([]byte{1}, size)}
	var reached []int64
	from := int64(0)
	for {
		err := r.vault.Restore(t.Context(), vault.RestoreRequest{
			Record: ref, Target: target, From: from,
			Reached: func(off int64) error {
				reached = append(reached, off)
				from = off
				return errBroken
			},
		})
		if !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		if from == size {
			break
		}
	}
	if !bytes.Equal(target.Data, data) {
		t.Error("the restored volume differs")
	}
	if len(reached) < 2 || target.Syncs != len(reached) {
		t.Error(fmt.Sprint(reached), target.Syncs)
	}
}
