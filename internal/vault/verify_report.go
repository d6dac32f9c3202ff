package vault

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
)

// DamagedPack is a generation of a pack that is not as it was written.
type DamagedPack struct {
	Pack       ID       `json:"pack"`
	Generation uint32   `json:"generation"`
	Kind       PackKind `json:"kind"`
	Object     string   `json:"object"` // where it lies, or should; empty: nobody knows
	What       []string `json:"what"`   // the causes, the first few
	Blocks     int      `json:"blocks"` // of a data pack: how many blocks are damaged or missing, where that is known
	Whole      bool     `json:"whole"`  // nothing of it can be read
	// Spare says that only what restores don't read is damaged: a second copy
	// of the directory, a header or a footer.
	Spare bool `json:"spare"`
}

// DamagedBackup is a backup that can't be restored whole.
type DamagedBackup struct {
	Backup string   `json:"backup"` // UUID
	Record string   `json:"record"` // its object
	What   string   `json:"what"`   // the first cause
	Whole  bool     `json:"whole"`  // nothing of it can be restored: its record is damaged
	Size   int64    `json:"size"`   // of the volume, in bytes
	Bytes  int64    `json:"bytes"`  // that can't be restored
	Ranges []Extent `json:"ranges"` // where they lie in the volume: sorted, joined, the first maxRanges
	More   int      `json:"more"`   // ranges that are left out here
}

// maxRanges bounds what a report says of one backup.
const maxRanges = 1000

// VerifyReport is what a verification found.
type VerifyReport struct {
	Backups int   `json:"backups"` // that were checked
	Pages   int64 `json:"pages"`   // of their maps, each once
	Packs   int64 `json:"packs"`   // that they need, each once
	Objects int64 `json:"objects"`
	Read    int64 `json:"read"` // bytes of packs' data
	Odds    Odds  `json:"odds"`

	DamagedBackups []DamagedBackup `json:"damaged_backups"`
	DamagedPacks   []DamagedPack   `json:"damaged_packs"` // sorted by object; at most maxDamaged
	MorePacks      int             `json:"more_packs"`    // damaged packs that are left out here
}

// maxDamaged bounds how many damaged packs a report names; more are told of
// once these are healed.
const maxDamaged = 16 << 10

// OK reports whether nothing is damaged.
func (r *VerifyReport) OK() bool { return len(r.DamagedBackups) == 0 && len(r.DamagedPacks) == 0 }

// Odds says how much of the data was read, and so what a verification can have
// missed.
type Odds struct {
	Groups int64 `json:"groups"` // that the packs hold
	Read   int64 `json:"read"`   // of them, drawn at secret random places
}

// Chance returns the least probability with which damage of n groups,
// wherever they are, was found.
func (o Odds) Chance(n int64) float64 {
	if n <= 0 || o.Groups == 0 {
		return 0
	}
	// Drawing without putting back finds no less.
	return -math.Expm1(float64(n) * math.Log1p(-float64(o.Read)/float64(o.Groups)))
}

// sure is the probability that a report's statement is about.
const sure = 0.9999

// Surely returns the least share of the data, from 0 to 1, of which damage was
// found with a probability of 99.99 %; 1 where no share is large enough.
func (o Odds) Surely() float64 {
	if o.Groups == 0 || o.Read == 0 {
		return 1
	}
	if o.Read >= o.Groups {
		return 1 / float64(o.Groups)
	}
	n := math.Ceil(math.Log1p(-sure) / math.Log1p(-float64(o.Read)/float64(o.Groups)))
	return min(1, n/float64(o.Groups))
}

// String says it for operators.
func (o Odds) String() string {
	switch {
	case o.Groups == 0 || o.Read == 0:
		return "No data was read: the structure was checked, damage inside of the data is not seen."
	case o.Read >= o.Groups:
		return fmt.Sprintf("All %d groups of data were read and checked.", o.Groups)
	}
	s := fmt.Sprintf("%d of %d groups of data (%.3g %%), drawn at random, were read and checked. "+
		"A single damaged group is found with %s,", o.Read, o.Groups, 100*float64(o.Read)/float64(o.Groups), percent(o.Chance(1)))
	if one := (o.Groups + 99) / 100; one > 1 {
		s += fmt.Sprintf(" damage of 1 %% of the data with %s,", percent(o.Chance(one)))
	}
	if share := o.Surely(); share < 1 {
		return s + fmt.Sprintf(" damage of %.2g %% or more with at least 99.99 %%.", 100*share)
	}
	return s + " and no damage surely: the sample is too small."
}

// percent rounds down, so that nothing is promised that isn't so.
func percent(p float64) string {
	if p >= sure {
		return "at least 99.99 %"
	}
	return fmt.Sprintf("%.4g %%", math.Floor(p*10_000)/100)
}

// VerifyProgress is how far a verification got.
type VerifyProgress struct {
	Step VerifyStep
	Done int64 // of the step: backups or packs
	Size int64
	Read int64 // bytes of packs' data, in all
}

// VerifyStep is a part of a verification.
type VerifyStep string

// The steps, in their order. The last one is there where something is damaged.
const (
	VerifyMaps   VerifyStep = "maps"
	VerifyPacks  VerifyStep = "packs"
	VerifyRanges VerifyStep = "ranges"
)

// maxCauses bounds how much is said of one pack.
const maxCauses = 8

// packDamage is what is known of a damaged pack.
type packDamage struct {
	place  Placement
	what   []string
	whole  bool
	spare  bool
	blocks []blockSet // by container; nil: none are known
	pages  int
}

func (d *packDamage) because(what string) {
	if len(d.what) < maxCauses && !slices.Contains(d.what, what) {
		d.what = append(d.what, what)
	}
}

// bad reports whether a range of blocks holds a damaged one, and which.
func (d *packDamage) bad(container uint8, block int) bool {
	return d.whole || int(container) < len(d.blocks) && d.blocks[container].group(block/32)>>(block%32)&1 == 1
}

func (d *packDamage) report() DamagedPack {
	n := 0
	for i := range d.blocks {
		n += d.blocks[i].count()
	}
	return DamagedPack{
		Pack: d.place.Pack, Generation: d.place.Generation, Kind: d.place.Kind, Object: d.place.Object,
		What: d.what, Blocks: n, Whole: d.whole, Spare: d.spare,
	}
}

// packs returns the damaged packs, sorted, and how many don't fit.
func sortDamaged(all map[ID]*packDamage) (out []DamagedPack, more int) {
	for _, d := range all {
		out = append(out, d.report())
	}
	slices.SortFunc(out, func(a, b DamagedPack) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), bytes.Compare(a.Pack[:], b.Pack[:]))
	})
	if len(out) > maxDamaged {
		return slices.Clip(out[:maxDamaged]), len(out) - maxDamaged
	}
	return out, 0
}
