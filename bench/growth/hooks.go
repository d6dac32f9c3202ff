package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
)

// budget is the default of engine.index_budget_mib.
const budget = 512 << 20

// segmentContainers is how many containers one segment has: as many as one of
// 256 GiB of new data, the largest that a backup writes.
const segmentContainers = 64 << 10

// holdHooks fills an index as backups of unique data would, and prints how
// many MiB it holds then.
func holdHooks(tib int) error {
	index := hooks.NewIndex(budget)
	vault := format.ID{1}
	containers := tib << 40 / (format.ContainerBlocks * format.BlockSize)
	r := rand.New(rand.NewPCG(1, 2))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	last := uint64(0)
	for first := 0; first < containers; first += segmentContainers {
		s := segment(r, first)
		last = s.Hooks[0].Tag
		index.Add(vault, fmt.Sprintf("segment %d", first), s)
	}
	if _, ok := index.View(vault).Lookup(last); !ok && tib == 1 {
		return errors.New("a hook is not found")
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(index)
	_, err := fmt.Printf("{\"held\": %.1f}\n", float64(after.HeapAlloc-before.HeapAlloc)/(1<<20))
	return err
}

// segment returns the hooks of containers whose blocks' digests are random.
func segment(r *rand.Rand, first int) *hooks.Segment {
	s := &hooks.Segment{Bits: hooks.Sampling}
	for c := range segmentContainers {
		p := hooks.Place{Generation: 1, Container: uint8(c % format.PackContainers)}
		binary.LittleEndian.PutUint64(p.Pack[:], uint64((first+c)/format.PackContainers))
		s.Places = append(s.Places, p)
		for range format.ContainerBlocks >> hooks.Sampling {
			tag := r.Uint64() >> 16 &^ (1<<hooks.Sampling - 1)
			s.Hooks = append(s.Hooks, hooks.Hook{Tag: tag, Place: uint32(c)})
		}
	}
	slices.SortFunc(s.Hooks, func(a, b hooks.Hook) int {
		if a.Tag < b.Tag {
			return -1
		}
		return int(min(a.Tag-b.Tag, 1))
	})
	s.Hooks = slices.CompactFunc(s.Hooks, func(a, b hooks.Hook) bool { return a.Tag == b.Tag })
	return s
}
