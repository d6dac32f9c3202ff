// Package changemap reads change maps: extents of a volume that may have
// changed since an earlier backup, as tools on the hypervisor's side report
// them.
package changemap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
)

// Map is a change map as it was sent.
type Map struct {
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
// It is strict and keeps no more in memory than the result. That an extent is said to be zeros is a hint without effect:
// it is read like the others.
func Parse(r io.Reader) (Map, error) {
	limited := &io.LimitedReader{R: r, N: maxBytes + 1}
	p := parser{dec: json.NewDecoder(limited)}
	p.dec.UseNumber()
	m, err := p.parse()
	if limited.N == 0 {
		return Map{}, invalid("it is longer than %d bytes", maxBytes)
	}
	if err != nil {
		return Map{}, err
	}
	return m, nil
}

type parser struct{ dec *json.Decoder }

func (p *parser) parse() (Map, error) {
	var m Map
	err := p.object(map[string]func() error{
		"volume":  func() error { return p.text("volume", &m.Volume) },
		"since":   func() error { return p.text("since", &m.Since) },
		"size":    func() error { return p.number("size", &m.Size) },
		"extents": func() error { return p.extents(&m) },
	}, "volume", "since", "size", "extents")
	if err != nil {
		return m, err
	}
	if _, err := p.dec.Token(); err != io.EOF {
		return m, invalid("something follows it")
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

// object reads an object with the members that fields names, each at most once
// and in any order.
func (p *parser) object(fields map[string]func() error, required ...string) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.dec.More() {
		t, err := p.token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		read := fields[key]
		if read == nil {
			return invalid("member %.64q is unknown or stands there twice", key)
		}
		delete(fields, key)
		if err := read(); err != nil {
			return err
		}
	}
	for _, key := range required {
		if fields[key] != nil {
			return invalid("it has no %s", key)
		}
	}
	return p.delim('}')
}

func (p *parser) extents(m *Map) error {
	if err := p.delim('['); err != nil {
		return err
	}
	end := int64(0)
	for p.dec.More() {
		e, err := p.extent()
		if err != nil {
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
	}
	return p.delim(']')
}

func (p *parser) extent() (vault.Extent, error) {
	var e vault.Extent
	err := p.object(map[string]func() error{
		"offset": func() error { return p.number("offset", &e.Offset) },
		"length": func() error { return p.number("length", &e.Length) },
		"zero":   p.bool,
	}, "offset", "length")
	return e, err
}

func (p *parser) bool() error {
	t, err := p.token()
	if err != nil {
		return err
	}
	if _, ok := t.(bool); !ok {
		return invalid("zero is neither true nor false")
	}
	return nil
}

func (p *parser) token() (json.Token, error) {
	t, err := p.dec.Token()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, invalid("%v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read change map: %w", err)
	}
	return t, nil
}

func (p *parser) delim(want json.Delim) error {
	t, err := p.token()
	if err != nil {
		return err
	}
	if t != want {
		return invalid("%v where %v was expected", t, want)
	}
	return nil
}

func (p *parser) text(key string, to *string) error {
	t, err := p.token()
	if err != nil {
		return err
	}
	s, ok := t.(string)
	if !ok || len(s) > maxString {
		return invalid("%s is no string of at most %d bytes", key, maxString)
	}
	*to = s
	return nil
}

// number reads a whole number that is not negative.
func (p *parser) number(key string, to *int64) error {
	t, err := p.token()
	if err != nil {
		return err
	}
	n, ok := t.(json.Number)
	if !ok {
		return invalid("%s is no number", key)
	}
	v, err := n.Int64()
	if err != nil || v < 0 {
		return invalid("%s is no whole number: %.64q", key, n.String())
	}
	*to = v
	return nil
}
