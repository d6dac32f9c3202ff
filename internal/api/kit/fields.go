package kit

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Field is a value that a body may leave out or set to null.
type Field[T any] struct {
	Value T    // zero where the key is absent or null
	Set   bool // the key is there, be it with null
	Null  bool
}

// Pointer returns the value for "change it if it was sent": nil where the key
// is absent; null counts as the zero value.
func (f Field[T]) Pointer() *T {
	if !f.Set {
		return nil
	}
	return &f.Value
}

// TextRule says which strings a field takes. Lengths are in characters.
type TextRule struct {
	Min, Max  int  // Max 0: 255
	NotNull   bool // null is refused
	Trim      bool // drop surrounding blanks before anything else
	Printable bool // no control characters
}

// Text reads a string.
func (o *Object) Text(key string, rule TextRule) Field[string] {
	v, f := lookup[string](o, key)
	if !f.Set || f.Null && !rule.NotNull {
		return f
	}
	s, ok := v.(string)
	if !ok {
		o.refuse(key, v, repr(v)+" is not of type 'string'"+orNull(rule.NotNull))
		return f
	}
	if rule.Trim {
		s = strings.TrimSpace(s)
	}
	limit := rule.Max
	if limit == 0 {
		limit = 255
	}
	switch n := utf8.RuneCountInString(s); {
	case n > limit:
		o.refuse(key, s, pyString(clip(s, maxShown))+" is too long")
	case n < rule.Min:
		o.refuse(key, s, pyString(s)+" is too short")
	case rule.Printable && !printable(s):
		o.refuse(key, s, pyString(clip(s, maxShown))+" is not printable")
	}
	f.Value = s
	return f
}

// printable allows line ends and tabs beside what Unicode calls graphic.
func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsGraphic(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

// UUID reads an id: any spelling of 32 hex digits, returned as the client
// wrote it in lower case with dashes. Null is accepted where notNull is
// false.
func (o *Object) UUID(key string, notNull bool) Field[string] {
	v, f := lookup[string](o, key)
	if !f.Set || f.Null && !notNull {
		return f
	}
	s, ok := v.(string)
	if !ok {
		o.refuse(key, v, repr(v)+" is not of type 'string'"+orNull(notNull))
		return f
	}
	id, ok := NormalizeUUID(s)
	if !ok {
		o.refuse(key, s, pyString(clip(s, maxShown))+" is not a 'uuid'")
	}
	f.Value = id
	return f
}

// NormalizeUUID returns an id in lower case with dashes, from any string that
// OpenStack takes for a UUID: 32 hex digits once dashes, braces and the
// prefixes urn: and uuid: are gone.
func NormalizeUUID(s string) (string, bool) {
	if len(s) > 64 {
		return "", false
	}
	hex := strings.NewReplacer("urn:", "", "uuid:", "", "-", "", "{", "", "}", "").Replace(s)
	id, err := uuid.Parse(hex)
	if err != nil || len(hex) != 32 {
		return "", false
	}
	return id.String(), true
}

// Bool reads a boolean or one of its spellings. Null is no boolean.
func (o *Object) Bool(key string) Field[bool] {
	v, f := lookup[bool](o, key)
	if !f.Set {
		return f
	}
	b, ok := bodyBool(v)
	if !ok {
		o.refuse(key, v, repr(v)+" is not one of "+boolChoices)
	}
	f.Value = b
	return f
}

// IntRule says which numbers a field takes.
type IntRule struct {
	Min, Max int64 // Max 0: 2147483647
	NotNull  bool
}

// digits is the form of a number in a string; as with every number, its
// length bounds what is parsed.
var digits = regexp.MustCompile(`^-?[0-9]+$`)

// Int reads a whole number, which may be spelled as a string of digits.
func (o *Object) Int(key string, rule IntRule) Field[int64] {
	v, f := lookup[int64](o, key)
	if !f.Set || f.Null && !rule.NotNull {
		return f
	}
	n, why := whole(v)
	limit := rule.Max
	if limit == 0 {
		limit = math.MaxInt32
	}
	switch {
	case why != "":
		o.refuse(key, v, why)
	case n < rule.Min:
		o.refuse(key, v, repr(v)+" is less than the minimum of "+strconv.FormatInt(rule.Min, 10))
	case n > limit:
		o.refuse(key, v, repr(v)+" is greater than the maximum of "+strconv.FormatInt(limit, 10))
	}
	f.Value = n
	return f
}

// whole returns a JSON value as a number, or why it is none. Numbers out of
// an int64's range become its ends, so that the range check words them.
func whole(v any) (n int64, why string) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = strings.TrimSuffix(v.String(), ".0")
		if !digits.MatchString(text) {
			return 0, repr(v) + " is not of type 'integer', 'string'"
		}
	case string:
		text = v
		if !digits.MatchString(text) {
			return 0, pyString(clip(v, maxShown)) + " does not match '^[0-9]+$'"
		}
	default:
		return 0, repr(v) + " is not of type 'integer', 'string'"
	}
	// ParseInt answers out of range with the nearest end.
	n, _ = strconv.ParseInt(text, 10, 64)
	return n, ""
}

// MetadataRule says what a metadata object may hold.
type MetadataRule struct {
	NotNull bool
	MaxKeys int // 0: 128
}

var metadataKey = regexp.MustCompile(`^[a-zA-Z0-9\-_:. /]{1,255}$`)

// Metadata reads an object of strings. Its Value is nil where the key is
// absent or null, else not nil.
func (o *Object) Metadata(key string, rule MetadataRule) Field[map[string]string] {
	v, f := lookup[map[string]string](o, key)
	if !f.Set || f.Null && !rule.NotNull {
		return f
	}
	in, ok := v.(map[string]any)
	if !ok {
		o.refuse(key, v, repr(v)+" is not of type 'object'"+orNull(rule.NotNull))
		return f
	}
	limit := rule.MaxKeys
	if limit == 0 {
		limit = 128
	}
	if len(in) > limit {
		o.refuse(key, v, repr(v)+" has too many properties")
	}
	f.Value = make(map[string]string, len(in))
	for _, k := range (&Object{values: in}).Keys() {
		s, ok := in[k].(string)
		switch {
		case !metadataKey.MatchString(k):
			o.refuse(key, v, "Additional properties are not allowed ("+pyString(clip(k, maxShown))+" was unexpected)")
		case !ok:
			o.refuse(k, in[k], repr(in[k])+" is not of type 'string'")
		case utf8.RuneCountInString(s) > 255:
			o.refuse(k, s, pyString(clip(s, maxShown))+" is too long")
		}
		f.Value[k] = s
	}
	return f
}

func lookup[T any](o *Object, key string) (any, Field[T]) {
	v, ok := o.values[key]
	return v, Field[T]{Set: ok, Null: ok && v == nil}
}

func orNull(notNull bool) string {
	if notNull {
		return ""
	}
	return ", 'null'"
}
