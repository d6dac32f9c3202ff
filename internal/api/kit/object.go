package kit

import (
	"bytes"
	"encoding/json"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"holdfast/internal/backup"
)

// maxDepth bounds the nesting of a body.
const maxDepth = 16

// Object is a JSON object of a request's body with typed access. The first
// thing that is wrong is kept and reported by Err; what is read afterwards is
// worthless but harmless, so that a handler reads all its fields and then
// asks once. Values read from an object that failed must not be used.
//
// Errors have kind Invalid and OpenStack's validation texts, as in "Invalid
// input for field/attribute size. Value: 0. 0 is less than the minimum of 1".
type Object struct {
	field  string // its key in the parent; empty: the body
	values map[string]any
	err    *error // shared with parents and children
}

// Decode reads one JSON object, strictly: no other top-level value, nothing
// after it, nesting of at most 16, no NUL in strings. Of a key that comes
// twice the last counts.
func Decode(raw []byte) (*Object, error) {
	malformed := backup.Errorf(backup.Invalid, textMalformed)
	if !utf8.Valid(raw) || !shallow(raw) {
		return nil, malformed
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var values map[string]any
	if err := dec.Decode(&values); err != nil || values == nil {
		return nil, malformed
	}
	if _, err := dec.Token(); err != io.EOF || !storable(values) {
		return nil, malformed
	}
	return &Object{values: values, err: new(error)}, nil
}

// shallow reports whether a text's brackets nest within maxDepth, before
// anything is allocated for it.
func shallow(raw []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

func storable(v any) bool {
	switch v := v.(type) {
	case string:
		return !strings.ContainsRune(v, 0)
	case []any:
		for _, e := range v {
			if !storable(e) {
				return false
			}
		}
	case map[string]any:
		for k, e := range v {
			if !storable(k) || !storable(e) {
				return false
			}
		}
	}
	return true
}

// Err returns the first error of this object, its parents and its children.
func (o *Object) Err() error { return *o.err }

// Fail records an error that the caller found itself; the first one stays.
func (o *Object) Fail(err error) {
	if *o.err == nil {
		*o.err = err
	}
}

// Keys returns the object's keys, sorted.
func (o *Object) Keys() []string {
	keys := make([]string, 0, len(o.values))
	for k := range o.values {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Has reports whether a key is there, be it with null.
func (o *Object) Has(key string) bool {
	_, ok := o.values[key]
	return ok
}

// IsNull reports whether a key is there with null.
func (o *Object) IsNull(key string) bool {
	v, ok := o.values[key]
	return ok && v == nil
}

// Only refuses keys that are not named.
func (o *Object) Only(keys ...string) {
	var extra []string
	for _, k := range o.Keys() {
		if !containsString(keys, k) {
			extra = append(extra, pyString(clip(k, 255)))
		}
	}
	switch {
	case len(extra) == 0:
	case len(extra) == 1:
		o.refuseSelf("Additional properties are not allowed (" + extra[0] + " was unexpected)")
	default:
		o.refuseSelf("Additional properties are not allowed (" + strings.Join(extra[:min(len(extra), 8)], ", ") + " were unexpected)")
	}
}

// Require refuses the object if one of the keys is missing.
func (o *Object) Require(keys ...string) {
	for _, k := range keys {
		if !o.Has(k) {
			o.refuseSelf("'" + k + "' is a required property")
		}
	}
}

// Child returns the object under a key, which must be there. After an error
// it is empty.
func (o *Object) Child(key string) *Object {
	child := &Object{field: key, values: map[string]any{}, err: o.err}
	v, ok := o.values[key]
	if !ok {
		o.refuseSelf("'" + key + "' is a required property")
		return child
	}
	values, ok := v.(map[string]any)
	if !ok {
		o.refuse(key, v, repr(v)+" is not of type 'object'")
		return child
	}
	child.values = values
	return child
}

// Raw returns the value under a key as encoding/json gives it with numbers
// as json.Number: for parts that have no fixed shape.
func (o *Object) Raw(key string) (any, bool) {
	v, ok := o.values[key]
	return v, ok
}

// refuse records what is wrong with a value.
func (o *Object) refuse(field string, value any, why string) {
	o.Fail(&backup.Error{
		Kind:    backup.Invalid,
		Message: "Invalid input for field/attribute " + field + ". Value: " + display(value) + ". " + why,
	})
}

// refuseSelf records what is wrong with the object. Of the body itself only
// that is told, as OpenStack does.
func (o *Object) refuseSelf(why string) {
	if o.field == "" {
		o.Fail(&backup.Error{Kind: backup.Invalid, Message: why})
		return
	}
	o.refuse(o.field, o.values, why)
}

func containsString(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// display shows a value at the end of a sentence: strings bare, all else as
// Python would.
func display(v any) string {
	if s, ok := v.(string); ok {
		return clip(s, maxShown)
	}
	return repr(v)
}

// maxShown bounds what of a value is sent back.
const maxShown = 512

// repr returns about what Python's repr gives, with sorted keys, shortened.
func repr(v any) string {
	var b strings.Builder
	writeRepr(&b, v)
	return clip(b.String(), maxShown)
}

func writeRepr(b *strings.Builder, v any) {
	if b.Len() > maxShown {
		return
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case json.Number:
		b.WriteString(v.String())
	case string:
		b.WriteString(pyString(clip(v, maxShown)))
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, e)
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, k := range (&Object{values: v}).Keys() {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(pyString(clip(k, maxShown)))
			b.WriteString(": ")
			writeRepr(b, v[k])
		}
		b.WriteByte('}')
	}
}

// pyString quotes a string as Python does: single quotes unless it holds one
// and no double quote.
func pyString(s string) string {
	q := strconv.Quote(s)
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	if strings.Contains(q, "'") && !strings.Contains(q, `"`) {
		return `"` + q + `"`
	}
	return "'" + strings.ReplaceAll(q, "'", `\'`) + "'"
}

// clip shortens a text to about n bytes without cutting a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
