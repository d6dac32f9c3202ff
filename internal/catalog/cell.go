package catalog

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"holdfast/internal/backup"
)

// ID is 128 bits that name a vault, a pack or a session.
type ID = [16]byte

// Cell stores a Go value as the catalog stores its type, and reads it back:
// P points to a string, backup.Status, int64, bool, time.Time, map of strings,
// json.RawMessage, ID, [32]byte or []byte. It can be given to Exec and to Scan.
type Cell struct{ P any }

// Value implements driver.Valuer.
func (c Cell) Value() (driver.Value, error) {
	switch p := c.P.(type) {
	case *string:
		return *p, nil
	case *backup.Status:
		return string(*p), nil
	case *json.RawMessage:
		return string(*p), nil
	case *int64:
		return *p, nil
	case *uint32:
		return int64(*p), nil
	case *uint8:
		return int64(*p), nil
	case *bool:
		if *p {
			return int64(1), nil
		}
		return int64(0), nil
	case *time.Time:
		if p.IsZero() {
			return int64(0), nil
		}
		return p.UnixMicro(), nil
	case *map[string]string:
		return encodeMap(*p)
	case *ID:
		return append([]byte{}, p[:]...), nil
	case *[32]byte:
		return append([]byte{}, p[:]...), nil
	case *[]byte:
		return append([]byte{}, *p...), nil
	}
	return nil, fmt.Errorf("catalog: a %T can't be stored", c.P)
}

// Scan implements sql.Scanner.
func (c Cell) Scan(src any) error {
	switch v := src.(type) {
	case string:
		return c.scanText(v)
	case int64:
		return c.scanInt(v)
	case []byte:
		return c.scanBytes(v)
	}
	return c.mismatch(src)
}

func (c Cell) scanText(v string) error {
	switch p := c.P.(type) {
	case *string:
		*p = v
	case *backup.Status:
		*p = backup.Status(v)
	case *json.RawMessage:
		*p = json.RawMessage(v)
	case *map[string]string:
		*p = map[string]string{}
		if err := json.Unmarshal([]byte(v), p); err != nil {
			return fmt.Errorf("catalog: read a map: %w", err)
		}
	default:
		return c.mismatch(v)
	}
	return nil
}

func (c Cell) scanInt(v int64) error {
	switch p := c.P.(type) {
	case *int64:
		*p = v
	case *uint32:
		*p = uint32(v)
	case *uint8:
		*p = uint8(v)
	case *bool:
		*p = v != 0
	case *time.Time:
		*p = time.Time{}
		if v != 0 {
			*p = time.UnixMicro(v).UTC()
		}
	default:
		return c.mismatch(v)
	}
	return nil
}

func (c Cell) scanBytes(v []byte) error {
	switch p := c.P.(type) {
	case *ID:
		if copy(p[:], v) != len(p) || len(v) != len(p) {
			return fmt.Errorf("catalog: an id of %d bytes", len(v))
		}
	case *[32]byte:
		if copy(p[:], v) != len(p) || len(v) != len(p) {
			return fmt.Errorf("catalog: a hash of %d bytes", len(v))
		}
	case *[]byte:
		*p = append([]byte{}, v...)
	default:
		return c.scanText(string(v))
	}
	return nil
}

func (c Cell) mismatch(src any) error {
	return fmt.Errorf("catalog: a %T can't be read into a %T", src, c.P)
}

// encodeMap returns m as JSON with its keys in order: metadata filters look
// for `"key":"value"` in it.
func encodeMap(m map[string]string) (string, error) {
	if m == nil {
		return "{}", nil
	}
	text, err := json.Marshal(m)
	return string(text), err
}
