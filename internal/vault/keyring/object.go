package keyring

import (
	"encoding/binary"
	"fmt"
	"slices"

	"holdfast/internal/vault/format"
)

// purpose says what a key object keeps.
type purpose uint16

const (
	naming   purpose = 1 // the naming secret and the seed, of key version 0
	vaultKey purpose = 2 // a vault key, of a version from 1 on
)

func (p purpose) String() string {
	switch p {
	case naming:
		return "naming"
	case vaultKey:
		return "vault"
	}
	return fmt.Sprintf("purpose %d", uint16(p))
}

// size returns how many bytes are kept.
func (p purpose) size() int {
	if p == naming {
		return 2 * keySize
	}
	return keySize
}

// fits reports whether a key of the purpose can have the version.
func (p purpose) fits(version uint32) bool {
	return p == naming && version == 0 || p == vaultKey && version > 0
}

// recipient says for whom a wrap is. Those that are unknown are passed over.
type recipient uint16

const (
	toMaster   recipient = 1
	toRecovery recipient = 2
)

// The shape of a key object in bytes.
const (
	boundSize  = format.HeaderSize + 4
	listAt     = boundSize + 4
	wrapHeader = 24
	maxWraps   = 64
	maxWrap    = 4 << 10
	maxObject  = listAt + maxWraps*(wrapHeader+maxWrap)
)

// object is a key object.
type object struct {
	header  format.Header
	purpose purpose
	wraps   []wrap
}

type wrap struct {
	recipient recipient
	id        format.ID
	data      []byte
}

// bound returns what every wrap is bound to: the object's encoded header and
// purpose.
func (o *object) bound() []byte {
	b := o.header.Append(make([]byte, 0, boundSize))
	b = binary.LittleEndian.AppendUint16(b, uint16(o.purpose))
	return append(b, 0, 0)
}

// encode returns the object's bytes.
func (o *object) encode() []byte {
	le := binary.LittleEndian
	b := le.AppendUint16(o.bound(), uint16(len(o.wraps)))
	b = append(b, 0, 0)
	for _, w := range o.wraps {
		b = le.AppendUint16(b, uint16(w.recipient))
		b = append(b, 0, 0)
		b = le.AppendUint32(b, uint32(len(w.data)))
		b = append(b, w.id[:]...)
		b = append(b, w.data...)
	}
	return b
}

// parseObject decodes a key object. What it takes, encode gives back.
func parseObject(b []byte) (*object, error) {
	if len(b) < listAt || len(b) > maxObject {
		return nil, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(b))
	}
	header, err := format.ParseHeader(b, format.KindKeys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	le := binary.LittleEndian
	o := &object{header: header, purpose: purpose(le.Uint16(b[format.HeaderSize:]))}
	if header.DigestLen != 0 || header.Generation != 0 || !o.purpose.fits(header.KeyVersion) {
		return nil, fmt.Errorf("%w: header of %s, key version %d", ErrCorrupt, o.purpose, header.KeyVersion)
	}
	if le.Uint16(b[boundSize-2:])|le.Uint16(b[listAt-2:]) != 0 {
		return nil, fmt.Errorf("%w: reserved bytes are not zero", ErrCorrupt)
	}
	count := int(le.Uint16(b[boundSize:]))
	if count == 0 || count > maxWraps {
		return nil, fmt.Errorf("%w: %d wraps", ErrCorrupt, count)
	}
	b = b[listAt:]
	o.wraps = make([]wrap, count)
	for i := range o.wraps {
		if o.wraps[i], b, err = parseWrap(b); err != nil {
			return nil, fmt.Errorf("wrap %d: %w", i, err)
		}
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the last wrap", ErrCorrupt, len(b))
	}
	return o, nil
}

// parseWrap takes a wrap off b. Those of recipients that this version doesn't
// know are taken as well: a later one may have added them.
func parseWrap(b []byte) (wrap, []byte, error) {
	if len(b) < wrapHeader {
		return wrap{}, nil, fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	le := binary.LittleEndian
	w := wrap{recipient: recipient(le.Uint16(b)), id: format.ID(b[8:])}
	size := le.Uint32(b[4:])
	if w.recipient == 0 || le.Uint16(b[2:]) != 0 || size == 0 || size > maxWrap {
		return wrap{}, nil, fmt.Errorf("%w: recipient of type %d, %d bytes", ErrCorrupt, w.recipient, size)
	}
	b = b[wrapHeader:]
	if len(b) < int(size) {
		return wrap{}, nil, fmt.Errorf("%w: it is cut off", ErrCorrupt)
	}
	w.data = b[:size]
	return w, b[size:], nil
}

// seal makes the key object that keeps plain for some.
func seal(to []wrapper, header format.Header, p purpose, plain []byte) ([]byte, error) {
	o := &object{header: header, purpose: p}
	for _, r := range to {
		data, err := r.wrap(plain, o)
		if err != nil {
			return nil, err
		}
		kind, id := r.addressee()
		o.wraps = append(o.wraps, wrap{recipient: kind, id: id, data: data})
	}
	return o.encode(), nil
}

// isFor reports whether the object is wrapped for these and no others.
func (o *object) isFor(to []wrapper) bool {
	if len(o.wraps) != len(to) {
		return false
	}
	for _, r := range to {
		kind, id := r.addressee()
		if !slices.ContainsFunc(o.wraps, func(w wrap) bool {
			return w.recipient == kind && w.id == id && (kind != toRecovery || len(w.data) == recoverySize(o.purpose))
		}) {
			return false
		}
	}
	return true
}

// open returns what a key object keeps.
func (o *object) open(key Opener) ([]byte, error) {
	kind, id := key.addressee()
	for _, w := range o.wraps {
		if w.recipient != kind || w.id != id {
			continue
		}
		plain, err := key.unwrap(w.data, o)
		if err != nil {
			return nil, err
		}
		if len(plain) != o.purpose.size() {
			return nil, fmt.Errorf("%w: it keeps %d bytes", ErrCorrupt, len(plain))
		}
		return plain, nil
	}
	return nil, fmt.Errorf("%w: it is not wrapped for the %s", ErrWrongKey, key)
}
