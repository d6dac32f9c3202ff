package sim_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

var errFault = errors.New("the store is out of order")

// faulty is a model whose store fails at random.
type faulty struct {
	*model
	faults *fault.Store
	lossy  bool // the store said that it had stored what it had not
}

// TestStoreFaults does operations over a store that fails in every way that a
// store can. Each ends with an error or does what it is for; and whatever
// happened, a restore gives the right bytes or an error.
func TestStoreFaults(t *testing.T) {
	n := 25
	if testing.Short() {
		n = 2
	}
	total := map[string]int{}
	for s := *seed; s < *seed+uint64(n); s++ {
		m := newModel(t, s)
		f := &faulty{model: m, faults: fault.New(m.store)}
		for range 40 {
			f.do()
		}
		f.faults.Clear()
		f.compare(f.lossy)
		if t.Failed() {
			t.Fatalf("replay with -sim.seed=%d", s)
		}
		for k, v := range f.counts {
			total[k] += v
		}
	}
	t.Log(total)
	for _, what := range []string{"backups that failed", "backups that ended well", "restores that failed", "restores that ended well", "collections that failed"} {
		if total[what] == 0 {
			t.Errorf("there were no %s", what)
		}
	}
}

// arm makes the store fail in one way.
func (f *faulty) arm() {
	f.faults.Clear()
	nth := 1 + f.rng.IntN(12)
	one := func(op fault.Op) fault.Fault { return fault.Fault{Op: op, Nth: nth, Err: errFault} }
	switch f.rng.IntN(14) {
	case 0:
		f.faults.Add(one(fault.Put))
	case 1:
		x := one(fault.Put)
		x.Late = true
		f.faults.Add(x)
	case 2:
		x := one(fault.Put)
		x.Since = true
		f.faults.Add(x)
	case 3:
		f.faults.Add(fault.Fault{Op: fault.Put, Nth: nth, Short: true})
		f.lossy = true
	case 4:
		f.faults.Add(one(fault.Get))
	case 5:
		f.faults.Add(fault.Fault{Op: fault.Get, Nth: nth, Short: true})
	case 6, 7:
		f.faults.Add(fault.Fault{Op: fault.Get, Nth: nth, Since: true, Flip: true, FlipAt: f.rng.Int64N(1 << 20)})
	case 8:
		f.faults.Add(one(fault.Stat))
	case 9:
		f.faults.Add(one(fault.List))
	case 10:
		x := one(fault.Delete)
		x.Late = f.rng.IntN(2) == 0
		f.faults.Add(x)
	case 11:
		f.faults.SetSpace(f.rng.Int64N(1 << 20))
	case 12:
		f.faults.Add(fault.Fault{Op: fault.Get, Nth: nth, Since: true, Err: blob.ErrNotFound})
	}
}

// do does one operation over a store that may fail.
func (f *faulty) do() {
	f.write()
	f.arm()
	switch f.rng.IntN(6) {
	case 0, 1, 2:
		f.tryBackup()
	case 3:
		f.remove()
	case 4:
		f.tryCollect()
	case 5:
		f.compare(true)
	}
}

func (f *faulty) tryBackup() {
	parent := f.parent()
	req := f.request(parent)
	if parent != nil && f.rng.IntN(2) == 0 {
		req.Changes = &vault.ChangeMap{Since: parent.state, Extents: blocksThatDiffer(parent.data, f.data)}
	}
	_, err := f.vault(f.faults, f.fence).Backup(f.t.Context(), req)
	switch {
	case err == nil:
		f.counts["backups that ended well"]++
		f.keep(req)
	case f.fence.Committed(req.Session) != nil:
		f.t.Fatalf("a backup is committed and said to have failed: %v", err)
	default:
		f.counts["backups that failed"]++
		f.faults.Clear()
		if f.rng.IntN(2) == 0 { // another attempt, over a store that works
			req.Session.Token++
			if _, err := f.vault(f.faults, f.fence).Backup(f.t.Context(), req); err != nil && !f.lossy {
				f.t.Fatalf("the next attempt: %v", err)
			} else if err == nil {
				f.keep(req)
				return
			}
		}
		f.fence.Abandon(req.Session)
	}
}

func (f *faulty) tryCollect() {
	s := f.fence.Session(f.keys.Vault, nil)
	_, err := f.vault(f.faults, f.fence).Collect(f.t.Context(), vault.CollectRequest{
		Session: s, Ledger: f.fence, Maintain: f.rng.IntN(3) == 0, Compression: vault.Balanced,
	})
	if err != nil {
		f.counts["collections that failed"]++
		f.fence.Abandon(s)
	}
}

// compare restores all backups. Where that may fail, it may not lie.
func (f *faulty) compare(mayFail bool) {
	f.t.Helper()
	for _, b := range f.backups {
		got := &vaulttest.Volume{Data: bytes.Repeat([]byte{0xa5}, len(b.data))}
		err := f.vault(f.faults, f.fence).Restore(context.Background(), vault.RestoreRequest{Record: b.ref, Target: got})
		switch {
		case err != nil && mayFail:
			f.counts["restores that failed"]++
		case err != nil:
			f.t.Fatalf("restore %s: %v", b.ref.Object, err)
		case !bytes.Equal(got.Data, b.data):
			f.t.Fatalf("%s restores to other bytes", b.ref.Object)
		default:
			f.counts["restores that ended well"]++
		}
	}
}

// sparse is a volume of which only some blocks hold data.
type sparse struct {
	size   int64
	blocks map[int64][]byte // by offset, 4 KiB each
}

func (s *sparse) Size() int64 { return s.size }

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	for at, b := range s.blocks {
		if off <= at && at+4096 <= off+int64(len(p)) {
			copy(p[at-off:], b)
		}
	}
	return len(p), nil
}

func (s *sparse) NextData(off int64) (start, end int64, err error) {
	start = s.size
	for at := range s.blocks {
		if at >= off {
			start = min(start, at)
		}
	}
	return start, min(s.size, start+4096), nil
}

// TestLyingMap measures how often the audit finds a change of one leaf that a
// map leaves out, in a volume of which it reads a part only.
func TestLyingMap(t *testing.T) {
	const leaves, audited = 64, 16 // of 4 MiB; the audit reads 64 MiB
	m := newModel(t, *seed)
	backup := func(src *sparse, parent *kept, changes *vault.ChangeMap) (kept, vault.Result) {
		req := m.request(parent)
		req.Source, req.Changes = src, changes
		res, err := m.vault(m.store, m.fence).Backup(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return kept{ref: m.fence.Committed(req.Session).Record, state: req.SourceState}, res
	}
	first := &sparse{size: leaves << 22, blocks: map[int64][]byte{}}
	for i := range int64(leaves) {
		first.blocks[i<<22] = bytes.Repeat([]byte{byte(i + 1)}, 4096)
	}
	parent, _ := backup(first, nil, nil)
	rng := rand.New(rand.NewPCG(*seed, 5))
	const runs = 60
	found := 0
	for range runs {
		changed := rng.Int64N(leaves) << 22
		next := &sparse{size: first.size, blocks: maps.Clone(first.blocks)}
		next.blocks[changed] = bytes.Repeat([]byte{0xff}, 4096)
		child, res := backup(next, &parent, &vault.ChangeMap{Since: parent.state})
		if res.MapLied == res.ChangeMap {
			t.Fatalf("lied %v, and the map was used: %v", res.MapLied, res.ChangeMap)
		}
		want := first
		if res.MapLied {
			found++
			want = next
		}
		got := &vaulttest.Volume{Data: make([]byte, 4096)}
		if err := m.vault(m.store, m.fence).Restore(t.Context(), vault.RestoreRequest{Record: child.ref, Target: &piece{got, first.size, changed}}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Data, want.blocks[changed]) {
			t.Fatal("the backup is neither what was read nor what was inherited")
		}
	}
	// One in four is expected: 15 of 60, with a deviation of 3.4.
	if found < 3 || found > 30 {
		t.Errorf("%d of %d lies were found, where %d of %d leaves are read", found, runs, audited, leaves)
	}
}

// piece is a target of which one block is kept.
type piece struct {
	*vaulttest.Volume
	size, at int64
}

func (p *piece) Size() int64 { return p.size }

func (p *piece) WriteAt(b []byte, off int64) (int, error) {
	if off <= p.at && p.at < off+int64(len(b)) {
		copy(p.Data, b[p.at-off:])
	}
	return len(b), nil
}

func (p *piece) Zero(int64, int64) error { return nil }
