package keyring

import (
	"fmt"

	"holdfast/internal/vault/format"
)

// Opener opens key objects: a *Master, or an *Identity. However it is printed,
// nothing secret shows.
type Opener interface {
	fmt.Stringer
	// addressee says which wraps are for it.
	addressee() (recipient, format.ID)
	// unwrap opens one of them.
	unwrap(wrapped []byte, o *object) ([]byte, error)
}

// wrapper is whom a key object can be made for: a *Master or a *Recipient.
type wrapper interface {
	addressee() (recipient, format.ID)
	wrap(plain []byte, o *object) ([]byte, error)
}

// wrappers returns for whom key objects are made: the master key, then those
// for recovery.
func wrappers(m *Master, recovery []*Recipient) []wrapper {
	all := []wrapper{m}
	for _, r := range recovery {
		all = append(all, r)
	}
	return all
}
