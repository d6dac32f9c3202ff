package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// garden is a vault in which backups come and go, and what each must restore
// to.
type garden struct {
	*rig
	faults *fault.Store
	rng    *rand.Rand
	alive  []taken
	vols   [][]byte
	doing  string
	busy   atomic.Bool
}

func newGarden(t testing.TB, seed uint64) *garden {
	g := &garden{faults: fault.New(mem.New()), rng: newRand(seed)}
	g.rig = newRig(t, func(cfg *vault.Config) { cfg.Store = g.faults })
	for range 3 {
		size := 5 << 20
		if testing.Short() {
			size = 600 << 10
		}
		v := make([]byte, size+g.rng.IntN(size/4096)*4096)
		fill(g.rng, v[:256<<10])
		fill(g.rng, v[len(v)-128<<10:])
		g.vols = append(g.vols, v)
	}
	return g
}

// change changes a volume, partly to what is there elsewhere.
func (g *garden) change(v []byte) {
	from, n := g.rng.IntN(len(v)/4096)*4096, (1+g.rng.IntN(40))*4096
	to := min(from+n, len(v))
	switch g.rng.IntN(4) {
	case 0:
		clear(v[from:to])
	case 1:
		o := g.vols[g.rng.IntN(len(g.vols))]
		copy(v[from:to], o[g.rng.IntN(len(o)/4096)*4096:])
	default:
		fill(g.rng, v[from:to])
	}
}

// backupOne backs a volume up, with or without a parent. Inside, if any, runs
// while the session is open.
func (g *garden) backupOne(inside func()) {
	g.t.Helper()
	v := g.vols[g.rng.IntN(len(g.vols))]
	g.change(v)
	var parent *vault.RecordRef
	if len(g.alive) > 0 && g.rng.IntN(4) > 0 {
		parent = &g.alive[g.rng.IntN(len(g.alive))].ref
	}
	data := bytes.Clone(v)
	req := g.request(&pausing{Volume: &vaulttest.Volume{Data: data, Holes: 4096}, read: inside}, parent)
	req.Compression = []vault.Compression{vault.Fast, vault.Auto}[g.rng.IntN(2)]
	if _, err := g.vault.Backup(g.t.Context(), req); err != nil {
		g.t.Errorf("backup: %v", err)
		return
	}
	g.alive = append(g.alive, taken{ref: g.fence.Committed(req.Session).Record, data: data})
}

// collectOne collects, in the middle of what is going on. What goes wrong is
// told without ending the goroutine, which may be anybody's.
func (g *garden) collectOne(maintain bool) vault.CollectResult {
	g.t.Helper()
	session := g.fence.Session(g.id, nil)
	res, err := g.vault.Collect(g.t.Context(), vault.CollectRequest{Session: session, Ledger: g.fence, Maintain: maintain})
	if res.Waiting {
		g.fence.Abandon(session) // the next one goes on
	}
	if err != nil || len(res.Damaged) > 0 {
		g.t.Errorf("collect: %+v, %v", res, err)
	}
	return res
}

func (g *garden) deleteOne() {
	g.t.Helper()
	if len(g.alive) == 0 {
		return
	}
	i := g.rng.IntN(len(g.alive))
	ref := g.alive[i].ref
	g.alive = append(g.alive[:i:i], g.alive[i+1:]...)
	name, err := format.ParseRecordName(ref.Object)
	if err == nil {
		err = vault.RemoveRecords(g.t.Context(), g.store, name.Vault, format.UUID(name.Backup), ref)
	}
	if err != nil {
		g.t.Errorf("delete: %v", err)
	}
	g.fence.Delete(ref)
}

// intact requires that all backups restore.
func (g *garden) intact(what string) {
	g.t.Helper()
	was := g.busy.Swap(true)
	defer g.busy.Store(was)
	for i, b := range g.alive {
		got, err := g.restored(b.ref, len(b.data))
		if err != nil || !bytes.Equal(got, b.data) {
			g.t.Errorf("%s: backup %d restores to other bytes: %v", what, i, err)
		}
	}
}

// fell deletes all, and requires that nothing is left.
func (g *garden) fell() {
	g.t.Helper()
	for len(g.alive) > 0 {
		g.deleteOne()
	}
	for range 2 { // the first may have something left from attempts that failed
		g.collectOne(false)
	}
	g.empty()
}

// grown returns a vault with garbage of all kinds.
func grown(t testing.TB, seed uint64) *garden {
	g := newGarden(t, seed)
	for range 7 {
		g.backupOne(nil)
	}
	for range 3 {
		g.deleteOne()
	}
	abandoned := g.request(failingSource{&vaulttest.Volume{Data: bytes.Clone(g.vols[0])}, int64(len(g.vols[0]) - 4096)}, nil)
	abandoned.Compression = vault.Fast
	if _, err := g.vault.Backup(t.Context(), abandoned); err == nil {
		t.Fatal("no error")
	}
	g.fence.Abandon(abandoned.Session)
	return g
}

// TestCollectionGoesOn has each call that a collection makes fail in turn, and
// another attempt, or another session, do the rest.
func TestCollectionGoesOn(t *testing.T) {
	kinds := []fault.Fault{
		{Op: fault.Put, Err: errBroken},
		{Op: fault.Put, Err: errBroken, Late: true},
		{Op: fault.Get, Err: errBroken},
		{Op: fault.Stat, Err: errBroken},
		{Op: fault.List, Err: errBroken},
		{Op: fault.Delete, Err: errBroken},
		{Op: fault.Delete, Err: errBroken, Late: true},
		{}, // of the ledger
	}
	for k, f := range kinds {
		t.Run(fmt.Sprintf("%d %s", k, f.Op), func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				if n > 12 && n%4 != 0 || testing.Short() && n%17 != 1 {
					continue
				}
				f.Nth = n
				if !collectOnce(t, uint64(n%3), f) {
					if n < 3 {
						t.Errorf("only %d calls could fail", n)
					}
					return
				}
			}
		})
	}
}

func collectOnce(t *testing.T, seed uint64, f fault.Fault) bool {
	g := grown(t, seed)
	what := fmt.Sprintf("%s %d", f.Op, f.Nth)
	req := vault.CollectRequest{Session: g.fence.Session(g.id, nil), Ledger: g.fence, Maintain: f.Nth%2 == 0}
	if f.Op == "" {
		g.fence.Fail(f.Nth, errBroken)
	} else {
		g.faults.Add(f)
	}
	_, err := g.vault.Collect(t.Context(), req)
	if err == nil {
		return false
	}
	if !errors.Is(err, errBroken) {
		t.Fatalf("%s: %v", what, err)
	}
	g.faults.Clear()
	g.intact(what)
	if f.Nth%3 == 0 {
		g.fence.Abandon(req.Session)
		req.Session = g.fence.Session(g.id, nil)
	}
	req.Session.Token++
	if res, err := g.vault.Collect(t.Context(), req); err != nil || len(res.Damaged) > 0 {
		t.Fatalf("%s, again: %+v, %v", what, res, err)
	}
	g.intact(what + ", again")
	g.backupOne(nil)
	g.intact(what + ", and a backup")
	g.fell()
	return true
}

// TestZombieCollector has an attempt sleep at each call that it makes, while
// another one does it all, another session collects, and backups come and go.
func TestZombieCollector(t *testing.T) {
	for _, op := range []fault.Op{fault.Put, fault.Get, fault.Delete, fault.List, fault.Stat} {
		for _, same := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, same session %v", op, same), func(t *testing.T) {
				t.Parallel()
				for n := 1; ; n++ {
					if n > 4 && n%8 != 0 || testing.Short() && n%16 != 0 {
						continue
					}
					if !zombieOnce(t, uint64(n), op, same) {
						return
					}
				}
			})
		}
	}
}

func zombieOnce(t *testing.T, n uint64, op fault.Op, same bool) bool {
	g := grown(t, n)
	req := vault.CollectRequest{Session: g.fence.Session(g.id, nil), Ledger: g.fence, Maintain: n%2 == 0}
	slept := false
	g.faults.Add(fault.Fault{Op: op, Nth: int(n), Before: func(context.Context) error {
		slept = true
		other := req
		other.Maintain = n%3 == 0
		other.Session.Token++
		if !same {
			other.Session = g.fence.Session(g.id, nil)
		}
		g.backupOne(nil)
		g.deleteOne()
		if _, err := g.vault.Collect(t.Context(), other); err != nil {
			t.Errorf("%s %d: the other: %v", op, n, err)
		}
		g.backupOne(nil)
		return nil
	}})
	_, err := g.vault.Collect(t.Context(), req)
	g.faults.Clear()
	if same && slept && err != nil && !errors.Is(err, vault.ErrFenced) && !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("%s %d: the zombie: %v", op, n, err)
	}
	what := fmt.Sprintf("%s %d: %v", op, n, err)
	g.intact(what)
	g.backupOne(nil)
	g.collectOne(false)
	g.intact(what)
	if !same {
		g.fence.Abandon(req.Session)
	}
	g.fell()
	return slept
}

// TestBackupsAndCollections has backups, deletions and collections, also
// within each other, in any order.
func TestBackupsAndCollections(t *testing.T) {
	seeds := 6
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			g := newGarden(t, uint64(seed)+100)
			for range 25 {
				g.step("")
			}
			g.faults.Clear()
			g.collectOne(true)
			g.intact("at the end")
			g.fell()
		})
	}
}

// step does something; what it does may have something else done inside, but
// no collection in a collection: see TestZombieCollector.
func (g *garden) step(within string) {
	what := []string{"backup", "backup", "delete", "collect", "surprise"}[g.rng.IntN(5)]
	switch {
	case what == "backup":
		g.backupOne(g.inside(what))
	case what == "delete":
		g.deleteOne()
	case what == "collect" && within != what:
		g.doing = what
		res := g.collectOne(g.rng.IntN(3) == 0)
		if res.Waiting && !g.busy.Load() {
			g.t.Errorf("it waits for nobody: %+v", res)
		}
		g.doing = within
		g.intact(what + " within " + within)
	case what == "surprise" && within == "":
		ops := []fault.Op{fault.Put, fault.Get, fault.Delete, fault.List}
		g.faults.Add(fault.Fault{Op: ops[g.rng.IntN(4)], Nth: 1 + g.rng.IntN(30), Before: func(context.Context) error {
			g.inside(g.doing)()
			return nil
		}})
	}
}

// inside returns some steps, of which there are one's only at a time.
func (g *garden) inside(within string) func() {
	return func() {
		if g.busy.CompareAndSwap(false, true) {
			defer g.busy.Store(false)
			for range 1 + g.rng.IntN(3) {
				g.step(within)
			}
		}
	}
}
