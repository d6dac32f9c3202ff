package catalog

import (
	"bytes"
	"cmp"
	"slices"
)

func compareID(a, b ID) int { return bytes.Compare(a[:], b[:]) }

// eachChunk calls fn with parts of all that one statement takes.
func eachChunk[T any](all []T, fn func(part []T) error) error {
	for part := range slices.Chunk(all, chunk) {
		if err := fn(part); err != nil {
			return err
		}
	}
	return nil
}

// eachGeneration calls fn with parts of the packs, each once, that have the same
// generation and that one statement takes.
func eachGeneration(packs []PackGen, fn func(generation uint32, ids []ID) error) error {
	sorted := slices.Clone(packs)
	slices.SortFunc(sorted, func(a, b PackGen) int {
		return cmp.Or(cmp.Compare(a.Generation, b.Generation), compareID(a.ID, b.ID))
	})
	sorted = slices.Compact(sorted)
	for len(sorted) > 0 {
		generation := sorted[0].Generation
		var ids []ID
		for len(sorted) > 0 && len(ids) < chunk && sorted[0].Generation == generation {
			ids = append(ids, sorted[0].ID)
			sorted = sorted[1:]
		}
		if err := fn(generation, ids); err != nil {
			return err
		}
	}
	return nil
}

// cells returns ids as arguments of a statement.
func cells(ids []ID) []any {
	all := make([]any, len(ids))
	for i := range ids {
		all[i] = Cell{&ids[i]}
	}
	return all
}
