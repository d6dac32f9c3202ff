//go:build !amd64

package lanes

const available = false

type many struct {
	sums [batch][32]byte
}

func (h *Hasher) sum([][]byte) { panic("lanes: not on this processor") }
