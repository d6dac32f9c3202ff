package fault

import (
	"context"
	"time"

	"holdfast/internal/blob"
)

// Ops returns all methods.
func Ops() []Op { return []Op{Put, Get, Stat, Delete, List} }

// Latency has each request take so much longer, as a network of such a round
// trip would. It ends early with the context.
func Latency(d time.Duration) []Fault {
	wait := func(ctx context.Context) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var all []Fault
	for _, op := range Ops() {
		all = append(all, Fault{Op: op, Before: wait})
	}
	return all
}

// Missing has the objects whose names contain match be missing: for Get, Stat
// and List.
func Missing(match string) []Fault {
	return []Fault{
		{Op: Get, Match: match, Err: blob.ErrNotFound},
		{Op: Stat, Match: match, Err: blob.ErrNotFound},
		{Op: List, Hide: match},
	}
}

// Flaky has one in oneIn calls of each method fail with err, half of them
// after they were carried out, chosen by seed.
func Flaky(seed uint64, oneIn int, err error) []Fault {
	var all []Fault
	for i, op := range Ops() {
		at := seed*uint64(2*len(Ops())) + uint64(2*i)
		all = append(all,
			Fault{Op: op, OneIn: 2 * oneIn, Seed: at, Err: err},
			Fault{Op: op, OneIn: 2 * oneIn, Seed: at + 1, Err: err, Late: true})
	}
	return all
}
