package vault

import "holdfast/internal/vault/compress"

// pace says, pack by pack, whether groups are compressed more densely than the
// processor likes, where it isn't what limits: packs have to wait for the store,
// or most of what is read is there already.
type pace struct {
	waits int // how often packs waited lately
	slow  bool
}

const (
	// A few packs in a row have to wait, or not to, before the pace changes.
	slowFrom = 3
	maxWaits = 4

	// underWay is what may be read and not yet be found to be new.
	underWay = 32 << 20
)

// begin notes whether the pack that begins had to wait for the store, and returns
// whether it is to be dense, from what was read and was new so far, in bytes.
func (p *pace) begin(waited bool, read, fresh int64) bool {
	if waited {
		p.waits = min(p.waits+1, maxWaits)
	} else {
		p.waits = max(p.waits-1, 0)
	}
	p.slow = p.waits >= slowFrom || p.slow && p.waits > 0
	return p.slow || fresh+underWay < read/2
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
