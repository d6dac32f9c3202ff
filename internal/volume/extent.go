package volume

const (
	// grain is what change maps are aligned to.
	grain = 4096
	// maxExtents bounds a change map's memory.
	maxExtents = 1 << 16
)

// Extent is a range of a volume in bytes.
type Extent struct {
	Offset int64
	Length int64
}

// extents collects ranges in rising order of a volume of a given size. It
// widens them to whole grains and joins neighbours; beyond max of them it
// joins over ever larger gaps, so that what was added stays covered.
type extents struct {
	size int64
	max  int
	gap  int64
	list []Extent
}

func (x *extents) add(start, end int64) {
	start = max(start, 0) / grain * grain
	end = min((end+grain-1)/grain*grain, x.size)
	if start >= end {
		return
	}
	if !x.join(start, end) {
		x.list = append(x.list, Extent{start, end - start})
	}
	for len(x.list) > x.max {
		x.widen()
	}
}

// join adds a range to the last extent where that is near enough.
func (x *extents) join(start, end int64) bool {
	if len(x.list) == 0 {
		return false
	}
	last := &x.list[len(x.list)-1]
	if start > last.Offset+last.Length+x.gap {
		return false
	}
	last.Length = max(last.Length, end-last.Offset)
	return true
}

func (x *extents) widen() {
	x.gap = max(2*x.gap, grain)
	list := x.list
	x.list = list[:0]
	for _, e := range list {
		if !x.join(e.Offset, e.Offset+e.Length) {
			x.list = append(x.list, e)
		}
	}
}
