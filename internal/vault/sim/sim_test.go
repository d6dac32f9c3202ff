package sim_test

import (
	"flag"
	"slices"
	"testing"
	"testing/synctest"
)

var (
	rounds = flag.Int("sim.rounds", 10, "how many simulations are run")
	seed   = flag.Uint64("sim.seed", 1, "the seed of the first simulation")
)

// TestSimulation lets two writers, a collector and their zombies work on one
// vault, a call of store or catalog at a time, in an order that the seed
// decides. Processes die and are overtaken at any call; backups are deleted,
// the parents of running sessions too; clocks are up to a day apart; the
// catalog is replaced by an old dump. No backup that was acknowledged may ever
// lose a block, and no key may seal twice.
func TestSimulation(t *testing.T) {
	n := *rounds
	if testing.Short() {
		n = min(n, 2)
	}
	total := map[string]int{}
	for s := *seed; s < *seed+uint64(n); s++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, s)
			defer func() {
				if t.Failed() {
					t.Logf("replay with -sim.seed=%d -sim.rounds=1", s)
				}
			}()
			w.run(3000)
			for k, v := range w.counts {
				total[k] += v
			}
		})
	}
	t.Log(total)
	for _, what := range []string{"backups", "backups deleted", "objects deleted", "takeovers", "kills"} {
		if total[what] == 0 {
			t.Errorf("nothing was tried of: %s", what)
		}
	}
}

// run lets n things happen, then everything end.
func (w *world) run(n int) {
	for range n {
		synctest.Wait()
		w.reap()
		if w.counts["refused as an old catalog"] > 20 {
			break // it will not change its mind
		}
		if w.removed > w.checked {
			w.compare()
		}
		w.disturb()
		w.sched.next()
	}
	w.settle()
}

// disturb sometimes starts, overtakes, kills or deletes something.
func (w *world) disturb() {
	writers := w.live(false)
	if len(writers) < 2 && w.rng.IntN(20) == 0 {
		v := w.volumes[w.rng.IntN(len(w.volumes))]
		if !slices.ContainsFunc(writers, func(k *task) bool { return k.volume == v }) {
			w.backup(v)
		}
	}
	if len(w.live(true)) == 0 && w.rng.IntN(60) == 0 {
		w.collect()
	}
	switch w.rng.IntN(400) {
	case 0, 1, 2, 3:
		w.remove()
	case 4, 5:
		if k := w.any(); k != nil && k.attempts < 4 {
			w.counts["takeovers"]++
			w.begin(k)
		}
	case 6, 7:
		if k := w.any(); k != nil && len(k.running) > 0 {
			w.counts["kills"]++
			k.running[w.rng.IntN(len(k.running))].kill()
		}
	case 8:
		if w.old == nil && w.newest {
			w.old = w.fence.Clone()
		}
	case 9:
		w.bringBack()
	}
}

// live returns the tasks that aren't done.
func (w *world) live(collect bool) []*task {
	return slices.DeleteFunc(slices.Clone(w.tasks), func(k *task) bool { return k.done || k.collect != collect })
}

func (w *world) any() *task {
	all := append(w.live(false), w.live(true)...)
	if len(all) == 0 {
		return nil
	}
	return all[w.rng.IntN(len(all))]
}

// bringBack replaces the catalog by an old dump. Every process dies with the
// new one: it finds the database gone.
func (w *world) bringBack() {
	if w.old == nil || w.rng.IntN(4) > 0 {
		return
	}
	w.counts["old dumps brought back"]++
	for _, k := range w.tasks {
		k.done = true
		for _, a := range k.running {
			a.kill()
		}
	}
	w.compare()
	w.fence, w.old, w.newest = w.old, nil, false
	for _, v := range w.volumes {
		v.last = nil
	}
}

// settle lets what runs end, collects until nothing more is to be done, and
// compares everything.
func (w *world) settle() {
	w.drain()
	w.compareAll()
	if w.newest {
		for range 3 {
			w.collect()
			w.drain()
		}
	}
	w.compareAll()
	w.end()
}

func (w *world) compareAll() {
	if w.newest {
		w.compare()
	}
	w.compareBare()
}

// drain runs what was begun to its end.
func (w *world) drain() {
	for range 100_000 {
		synctest.Wait()
		w.reap()
		if w.sched.next() == nil && len(w.tasks) == 0 {
			return
		}
	}
	w.t.Fatalf("%d tasks don't end", len(w.tasks))
}

// end stops what is left, so that no goroutine outlives the simulation.
func (w *world) end() {
	for _, k := range w.tasks {
		for _, a := range k.running {
			a.cancel(errKilled)
		}
	}
	synctest.Wait()
}
