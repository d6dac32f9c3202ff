package sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// crasher is a process that dies at its n-th call that changes anything, of
// the store or of the catalog. What it has under way to the store then may
// arrive or not, in any order.
type crasher struct {
	blob.Store
	*vaulttest.Fence

	mu   sync.Mutex
	left int  // calls until it dies
	late bool // the last call still has its effect
	dead bool
	rng  *rand.Rand
}

// step counts a call. It reports whether the call has its effect, and what the
// process hears.
func (c *crasher) step(changes bool) (effect bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return false, errKilled
	}
	if !changes {
		return true, nil
	}
	if c.left--; c.left > 0 {
		return true, nil
	}
	c.dead = true
	return c.late, errKilled
}

func (c *crasher) Put(ctx context.Context, name string, body *io.SectionReader) error {
	effect, err := c.step(true)
	if err != nil && !effect {
		c.mu.Lock()
		effect = c.rng.IntN(2) == 0 // sent before, arrived after
		c.mu.Unlock()
	}
	if effect {
		err = errors.Join(err, c.Store.Put(ctx, name, body))
	}
	return err
}

func (c *crasher) Delete(ctx context.Context, name string) error {
	effect, err := c.step(true)
	if effect {
		err = errors.Join(err, c.Store.Delete(ctx, name))
	}
	return err
}

func (c *crasher) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if _, err := c.step(false); err != nil {
		return 0, err
	}
	return c.Store.Get(ctx, name, p, off)
}

func (c *crasher) Stat(ctx context.Context, name string) (int64, error) {
	if _, err := c.step(false); err != nil {
		return 0, err
	}
	return c.Store.Stat(ctx, name)
}

func (c *crasher) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	if _, err := c.step(false); err != nil {
		return err
	}
	return c.Store.List(ctx, prefix, fn)
}

func (c *crasher) Begin(ctx context.Context, s vault.SessionRef) (b vault.Begun, err error) {
	effect, dead := c.step(true)
	if effect {
		b, err = c.Fence.Begin(ctx, s)
	}
	return b, errors.Join(dead, err)
}

func (c *crasher) Checkpoint(ctx context.Context, s vault.SessionRef, p vault.Checkpoint) (err error) {
	effect, dead := c.step(true)
	if effect {
		err = c.Fence.Checkpoint(ctx, s, p)
	}
	return errors.Join(dead, err)
}

func (c *crasher) Commit(ctx context.Context, s vault.SessionRef, p vault.Commit) (err error) {
	effect, dead := c.step(true)
	if effect {
		err = c.Fence.Commit(ctx, s, p)
	}
	return errors.Join(dead, err)
}

func (c *crasher) Survey(ctx context.Context, s vault.SessionRef, fn func(vault.PackRow) error) (v vault.Survey, err error) {
	effect, dead := c.step(true)
	if effect {
		v, err = c.Fence.Survey(ctx, s, fn)
	}
	return v, errors.Join(dead, err)
}

func (c *crasher) Condemn(ctx context.Context, s vault.SessionRef, packs []vault.PackGen) (epoch int64, err error) {
	effect, dead := c.step(true)
	if effect {
		epoch, err = c.Fence.Condemn(ctx, s, packs)
	}
	return epoch, errors.Join(dead, err)
}

func (c *crasher) Switch(ctx context.Context, s vault.SessionRef, w vault.Switch) (epoch int64, err error) {
	effect, dead := c.step(true)
	if effect {
		epoch, err = c.Fence.Switch(ctx, s, w)
	}
	return epoch, errors.Join(dead, err)
}

func (c *crasher) Forget(ctx context.Context, s vault.SessionRef, objects []string, done bool) (err error) {
	effect, dead := c.step(true)
	if effect {
		err = c.Fence.Forget(ctx, s, objects, done)
	}
	return errors.Join(dead, err)
}

// disk is a store and a catalog, with what they were promised to hold.
type disk struct {
	t     *testing.T
	store *mem.Store
	fence *vaulttest.Fence
	want  map[vault.RecordRef][]byte
	draws byte
}

var crashVault = vault.ID{9}

func (d *disk) clone() *disk {
	c := &disk{t: d.t, store: mem.New(), fence: d.fence.Clone(), want: d.want, draws: d.draws}
	err := d.store.List(d.t.Context(), "", func(o blob.Info) error {
		b := make([]byte, o.Size)
		if _, err := d.store.Get(d.t.Context(), o.Name, b, 0); err != nil {
			return err
		}
		return c.store.Put(d.t.Context(), o.Name, io.NewSectionReader(bytes.NewReader(b), 0, o.Size))
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// catalog is what a process talks to.
type catalog interface {
	vault.Fence
	vault.Ledger
}

func (d *disk) open(s blob.Store, f catalog) *vault.Vault {
	d.draws++
	v, err := vault.Open(vault.Config{
		Store: s, Fence: f, Keys: vaulttest.Keys{Vault: crashVault}, Workers: 1, CheckpointBytes: 300 << 10,
		Rand: rand.NewChaCha8([32]byte{d.draws}),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

// restoreAll compares every backup that is available.
func (d *disk) restoreAll(what string) {
	d.t.Helper()
	v := d.open(d.store, d.fence)
	for _, ref := range d.fence.Available() {
		want, ok := d.want[ref]
		if !ok {
			continue // the one that is being made; its own test compares it
		}
		got := &vaulttest.Volume{Data: bytes.Repeat([]byte{0xa5}, len(want))}
		if err := v.Restore(d.t.Context(), vault.RestoreRequest{Record: ref, Target: got}); err != nil {
			d.t.Fatalf("%s: restore %s: %v", what, ref.Object, err)
		}
		if !bytes.Equal(got.Data, want) {
			d.t.Fatalf("%s: %s restores to other bytes", what, ref.Object)
		}
	}
}

func (d *disk) request(n int, data []byte, parent *vault.RecordRef) vault.BackupRequest {
	return vault.BackupRequest{
		Session: d.fence.Session(crashVault, parent),
		Info: vault.Info{
			Backup: fmt.Sprintf("00000000-0000-4000-8000-%012x", n), Volume: "11111111-1111-4111-8111-111111111111",
			DataTime: time.Unix(int64(n), 0).UTC(),
		},
		Source: &vaulttest.Volume{Data: data, Holes: 4096}, SourceState: fmt.Sprintf("state %d", n),
	}
}

func (d *disk) backup(n int, data []byte, parent *vault.RecordRef) vault.RecordRef {
	req := d.request(n, data, parent)
	if _, err := d.open(d.store, d.fence).Backup(d.t.Context(), req); err != nil {
		d.t.Fatal(err)
	}
	ref := d.fence.Committed(req.Session).Record
	d.want[ref] = data
	return ref
}

func (d *disk) remove(ref vault.RecordRef) {
	d.fence.Delete(ref)
	name, err := format.ParseRecordName(ref.Object)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := vault.RemoveRecords(d.t.Context(), d.store, crashVault, format.UUID(name.Backup), ref); err != nil {
		d.t.Fatal(err)
	}
}

// operation is what crashes: it is called again, with a higher token, until it
// has ended well.
type operation func(ctx context.Context, v *vault.Vault, ledger vault.Ledger, token int64) error

// TestCrashPoints has each operation die at every call that changes the store
// or the catalog, with and without the call's effect, and another process go
// on: no backup is lost, and the operation can be finished.
func TestCrashPoints(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(d *disk) operation
	}{
		{"backup", (*disk).backupOperation},
		{"collect", func(d *disk) operation { return d.collectOperation(false) }},
		{"maintain", func(d *disk) operation { return d.collectOperation(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			base := newDisk(t)
			for _, late := range []bool{false, true} {
				step := 1
				if testing.Short() {
					step = 5
				}
				points := 0
				for n := 1; crashOnce(base.clone(), c.make, n, late); n += step {
					points++
				}
				t.Logf("%d crash points", points)
				if points*step < 6 {
					t.Errorf("only %d crash points", points)
				}
			}
		})
	}
}

// crashOnce has an operation die at call n, and reports whether it had so
// many.
func crashOnce(d *disk, start func(*disk) operation, n int, late bool) bool {
	d.t.Helper()
	do := start(d)
	what := fmt.Sprintf("call %d, late %v", n, late)
	c := &crasher{Store: d.store, Fence: d.fence, left: n, late: late, rng: rand.New(rand.NewPCG(uint64(n), 3))}
	err := do(d.t.Context(), d.open(c, c), c, 1)
	if !c.dead {
		if err != nil {
			d.t.Fatalf("%s: %v", what, err)
		}
		return false
	}
	if err == nil {
		d.t.Fatalf("%s: a dead process reports success", what)
	}
	d.restoreAll(what)
	if err := do(d.t.Context(), d.open(d.store, d.fence), d.fence, 2); err != nil && !errors.Is(err, vault.ErrFenced) {
		d.t.Fatalf("%s, going on: %v", what, err)
	}
	d.restoreAll(what + ", after going on")
	return true
}

// newDisk returns a vault with backups of two volumes, some of them deleted.
func newDisk(t *testing.T) *disk {
	d := &disk{t: t, store: mem.New(), fence: vaulttest.NewFence(), want: map[vault.RecordRef][]byte{}}
	rng := rand.New(rand.NewPCG(11, 12))
	a := make([]byte, 9<<20)
	for off := 0; off < 2<<20; off += 8 {
		a[off+off/4096%3*3<<20] = byte(rng.Uint32())
	}
	b := bytes.Clone(a)
	refs := []vault.RecordRef{d.backup(1, a, nil)}
	for n := 2; n <= 5; n++ {
		a = bytes.Clone(a)
		at := rng.IntN(len(a) - 200<<10)
		for i := range a[at : at+200<<10] {
			a[at+i] = byte(rng.Uint32())
		}
		refs = append(refs, d.backup(n, a, &refs[len(refs)-1]))
	}
	clear(b[3<<20 : 4<<20])
	d.backup(6, b, nil)
	d.remove(refs[0])
	d.remove(refs[2])
	return d
}

func (d *disk) backupOperation() operation {
	parent := d.fence.Available()[0]
	data := bytes.Clone(d.want[parent])
	rng := rand.New(rand.NewPCG(13, 14))
	for i := range data[1<<20 : 2<<20] {
		data[1<<20+i] = byte(rng.Uint32())
	}
	req := d.request(7, data, &parent)
	return func(ctx context.Context, v *vault.Vault, _ vault.Ledger, token int64) error {
		req.Session.Token = token
		_, err := v.Backup(ctx, req)
		if c := d.fence.Committed(req.Session); c != nil {
			d.want[c.Record] = data
		}
		return err
	}
}

func (d *disk) collectOperation(maintain bool) operation {
	s := d.fence.Session(crashVault, nil)
	return func(ctx context.Context, v *vault.Vault, ledger vault.Ledger, token int64) error {
		s.Token = token
		_, err := v.Collect(ctx, vault.CollectRequest{Session: s, Ledger: ledger, Maintain: maintain, Compression: vault.Balanced})
		return err
	}
}
