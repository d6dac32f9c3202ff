// Package changemap reads change maps from files: extents of a volume that may
// have changed since an earlier backup, as tools on the hypervisor's side
// report them.
package changemap

import (
	"errors"
	"fmt"
	"io"

	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
)

// Map is a change map as it was given.
type Map struct {
	// Bare says that it is a list of extents and nothing more: Volume, Since
	// and Size are empty, and whoever gives it names the parent.
	Bare   bool
	Volume string // UUID
	Since  string // the source state of the earlier backup
	Size   int64  // of the volume in bytes
	// Extents are sorted and don't overlap; those that touch are joined.
	Extents []vault.Extent
}

// MaxExtents is how many extents a map may have once those that touch are
// joined.
const MaxExtents = 1 << 20

const (
	maxString = 512     // bytes of a string
	maxBytes  = 1 << 28 // of a map
)

// ErrInvalid is wrapped by all errors but the reader's own.
var ErrInvalid = errors.New("invalid change map")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// Parse reads one map:
//
//	{"volume": UUID, "since": STATE, "size": BYTES,
//	 "extents": [{"offset": BYTES, "length": BYTES, "zero": true}, …]}
//
// or the list of extents alone. It is strict, and keeps no more in memory than
// the result. That an extent is said to be zeros is a hint without effect: it
// is read like the others.
func Parse(r io.Reader) (Map, error) {
	p := newParser(r)
	m, err := p.parse()
	if p.err != nil {
		return Map{}, fmt.Errorf("read change map: %w", p.err)
	}
	if err != nil {
		return Map{}, err
	}
	return m, nil
}

// For returns the map for a backup of a volume of size bytes. Parent is the
// backup that the caller says it continues, empty for whichever has the map's
// source state; a bare list needs it. That the parent is the one is checked by
// vault.Backup.
func (m *Map) For(volume string, size int64, parent string) (*vault.ChangeMap, error) {
	switch {
	case m.Bare && parent == "":
		return nil, invalid("a list of extents needs the parent named")
	case !m.Bare && m.Volume != volume:
		return nil, invalid("it is of volume %s, not %s", m.Volume, volume)
	case !m.Bare && m.Size != size:
		return nil, invalid("it is of a volume of %d bytes, not %d", m.Size, size)
	}
	if n := len(m.Extents); n > 0 && m.Extents[n-1].Offset+m.Extents[n-1].Length > size {
		return nil, invalid("an extent ends behind the volume's end at %d", size)
	}
	return &vault.ChangeMap{Since: m.Since, Parent: parent, Extents: m.Extents}, nil
}

func (p *parser) parse() (Map, error) {
	var m Map
	first, err := p.peek()
	if err != nil {
		return m, err
	}
	if first == '[' {
		m.Bare = true
		if err := p.extents(&m); err != nil {
			return m, err
		}
		return m, p.end()
	}
	err = p.object([]member{
		{"volume", func() error { return p.text("volume", &m.Volume) }, true},
		{"since", func() error { return p.text("since", &m.Since) }, true},
		{"size", func() error { return p.number("size", &m.Size) }, true},
		{"extents", func() error { return p.extents(&m) }, true},
	})
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return m, err
	}
	if _, ok := format.ParseUUID(m.Volume); !ok {
		return m, invalid("volume %q is no UUID", m.Volume)
	}
	if m.Since == "" {
		return m, invalid("since is empty")
	}
	if m.Size > format.MaxVolume {
		return m, invalid("size %d", m.Size)
	}
	if n := len(m.Extents); n > 0 && m.Extents[n-1].Offset+m.Extents[n-1].Length > m.Size {
		return m, invalid("an extent ends behind the volume's end")
	}
	return m, nil
}

func (p *parser) extents(m *Map) error {
	var e vault.Extent
	fields := []member{
		{"offset", func() error { return p.number("offset", &e.Offset) }, true},
		{"length", func() error { return p.number("length", &e.Length) }, true},
		{"zero", p.bool, false},
	}
	end := int64(0)
	return p.list(func() error {
		e = vault.Extent{}
		if err := p.object(fields); err != nil {
			return err
		}
		if e.Offset < end || e.Length == 0 || e.Offset > format.MaxVolume || e.Length > format.MaxVolume-e.Offset {
			return invalid("extent at %d of %d bytes is out of order or range", e.Offset, e.Length)
		}
		n := len(m.Extents)
		switch {
		case n > 0 && e.Offset == end:
			m.Extents[n-1].Length += e.Length
		case n == MaxExtents:
			return invalid("more than %d extents", MaxExtents)
		default:
			m.Extents = append(m.Extents, e)
		}
		end = e.Offset + e.Length
		return nil
	})
}
