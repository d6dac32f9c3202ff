package vault

import "holdfast/internal/vault/compress"

// pace says, pack by pack, whether groups are compressed more densely than the
// processor likes: where packs have to wait for the store, it limits, and what
// is made smaller goes faster.
type pace struct {
	waits int // how often packs waited lately
	dense bool
}

// A few packs in a row have to wait, or not to, before the pace changes.
const (
	denseFrom = 3
	maxWaits  = 4
)

// begin notes whether the pack that begins had to wait, and returns whether it
// is to be dense.
func (p *pace) begin(waited bool) bool {
	if waited {
		p.waits = min(p.waits+1, maxWaits)
	} else {
		p.waits = max(p.waits-1, 0)
	}
	p.dense = p.waits >= denseFrom || p.dense && p.waits > 0
	return p.dense
}

// method returns how groups are compressed. A first backup is limited by the
// processor, later ones by what they read.
func method(c Compression, again bool) compress.Method {
	switch {
	case c == Small:
		return compress.ZstdBetter
	case c == Balanced:
		return compress.ZstdDefault
	case c == Fast || !again:
		return compress.S2
	}
	return compress.ZstdFastest
}

// methods returns how a backup's groups are compressed, and how in dense packs.
func methods(c Compression, again bool) (usual, dense compress.Method) {
	usual = method(c, again)
	if c == Fast {
		return usual, usual
	}
	return usual, max(usual, compress.ZstdFastest)
}
