package vault_test

import (
	"math"
	"testing"

	"holdfast/internal/vault"
)

// TestSampleKeepsItsOdds reads samples of a vault with one damaged group many
// times; the damage is found about as often as the odds say.
func TestSampleKeepsItsOdds(t *testing.T) {
	v := newVerifyRig(t)
	v.alter(v.packs[0].Object, flip(v.groups[3].Offset+9))
	found, read, n := 0, int64(0), 600
	for range n {
		report := v.verify(vault.VerifyRequest{Backups: v.refs[:], Sample: 0.25})
		read += report.Odds.Read
		if !report.OK() {
			found++
		}
	}
	share := float64(found) / float64(n)
	if math.Abs(share-0.25) > 0.08 || math.Abs(float64(read)/float64(13*n)-0.25) > 0.05 {
		t.Errorf("found %d times in %d, with %d groups read", found, n, read)
	}
	if _, err := v.vault.Verify(t.Context(), vault.VerifyRequest{Sample: 1.5}); err == nil {
		t.Error("a sample of 150 % is taken")
	}
}

func TestOdds(t *testing.T) {
	for _, c := range []struct {
		odds vault.Odds
		n    int64
		p    float64
	}{
		{vault.Odds{Groups: 1000, Read: 100}, 1, 0.1},
		{vault.Odds{Groups: 1000, Read: 100}, 2, 0.19},
		{vault.Odds{Groups: 1000, Read: 1000}, 1, 1},
		{vault.Odds{Groups: 1000}, 1000, 0},
		{vault.Odds{}, 5, 0},
	} {
		if got := c.odds.Chance(c.n); math.Abs(got-c.p) > 1e-12 {
			t.Errorf("%+v: damage of %d groups is found with %v", c.odds, c.n, got)
		}
	}
	for _, c := range []struct {
		odds vault.Odds
		says string
	}{
		{vault.Odds{Groups: 100_000, Read: 1000}, "1000 of 100000 groups of data (1 %), drawn at random, were read and checked. " +
			"A single damaged group is found with 1 %, damage of 1 % of the data with at least 99.99 %, damage of 0.92 % or more with at least 99.99 %."},
		{vault.Odds{Groups: 50, Read: 5}, "5 of 50 groups of data (10 %), drawn at random, were read and checked. " +
			"A single damaged group is found with 10 %, and no damage surely: the sample is too small."},
		{vault.Odds{Groups: 50, Read: 50}, "All 50 groups of data were read and checked."},
		{vault.Odds{Groups: 50}, "No data was read: the structure was checked, damage inside of the data is not seen."},
	} {
		if got := c.odds.String(); got != c.says {
			t.Errorf("it says %q", got)
		}
	}
}
