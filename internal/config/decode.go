package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// maxFile bounds the configuration file in bytes.
const maxFile = 1 << 20

// keyError is a problem with one key, written "identity.users[0].name".
type keyError struct {
	key     string
	problem error
}

func (e *keyError) Error() string { return e.key + ": " + e.problem.Error() }

func (e *keyError) Unwrap() error { return e.problem }

func badKey(key, format string, args ...any) error {
	return &keyError{key: key, problem: fmt.Errorf(format, args...)}
}

// decode lays the YAML document in text over c. The yaml package's own strict
// mode names Go types and lines; this names the key, and refuses what a file
// of settings has no use for: aliases, merges, tags and second documents.
func decode(text []byte, c *Config) error {
	if len(text) > maxFile {
		return fmt.Errorf("larger than %d bytes", maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return syntaxError(err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return errors.New("holds more than one document")
	} else if !errors.Is(err, io.EOF) {
		return syntaxError(err)
	}
	if len(doc.Content) != 1 {
		return nil
	}
	return decodeNode(doc.Content[0], reflect.ValueOf(c).Elem(), "")
}

func syntaxError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	return errors.New(strings.Join(strings.Fields(text), " "))
}

func decodeNode(n *yaml.Node, v reflect.Value, key string) error {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return badKey(orFile(key), "anchors and aliases are not supported (line %d)", n.Line)
	}
	if v.Kind() == reflect.Struct && !isText(v) {
		return decodeMapping(n, v, key)
	}
	if v.Kind() == reflect.Slice {
		return decodeSequence(n, v, key)
	}
	return decodeScalar(n, v, key)
}

func orFile(key string) string {
	if key == "" {
		return "file"
	}
	return key
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func decodeMapping(n *yaml.Node, v reflect.Value, key string) error {
	if isNull(n) {
		return nil // all its keys are commented out
	}
	if n.Kind != yaml.MappingNode {
		return badKey(orFile(key), "must hold keys and values (line %d)", n.Line)
	}
	fields := fieldsByKey(v)
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		if name.Kind != yaml.ScalarNode {
			return badKey(orFile(key), "a key must be a word (line %d)", name.Line)
		}
		path := printable(name.Value)
		if key != "" {
			path = key + "." + path
		}
		field, ok := fields[name.Value]
		if !ok {
			return badKey(path, "unknown key (line %d)", name.Line)
		}
		if seen[name.Value] {
			return badKey(path, "given twice (line %d)", name.Line)
		}
		seen[name.Value] = true
		if err := decodeNode(n.Content[i+1], field, path); err != nil {
			return err
		}
	}
	return nil
}

// printable keeps an unknown key to one line of bounded length.
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64] + "..."
	}
	if q := strconv.Quote(s); q != `"`+s+`"` || s == "" {
		return q
	}
	return s
}

func fieldsByKey(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "-" {
			fields[tag] = v.Field(i)
		}
	}
	return fields
}

func decodeSequence(n *yaml.Node, v reflect.Value, key string) error {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return badKey(key, "must be a list (line %d)", n.Line)
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if err := decodeNode(item, list.Index(i), fmt.Sprintf("%s[%d]", key, i)); err != nil {
			return err
		}
	}
	if len(n.Content) == 0 {
		list = reflect.Zero(v.Type())
	}
	v.Set(list)
	return nil
}

func isText(v reflect.Value) bool {
	_, ok := v.Addr().Interface().(encoding.TextUnmarshaler)
	return ok
}

func decodeScalar(n *yaml.Node, v reflect.Value, key string) error {
	if n.Kind != yaml.ScalarNode {
		return badKey(key, "must be a single value (line %d)", n.Line)
	}
	if isNull(n) {
		return badKey(key, "has no value (line %d)", n.Line)
	}
	if problem := setScalar(v, n); problem != nil {
		return &keyError{key: key, problem: problem}
	}
	return nil
}

// setScalar stores the scalar's text in v. Only what can't be a secret is
// repeated in its errors.
func setScalar(v reflect.Value, n *yaml.Node) error {
	text := n.Value
	if t, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if t.UnmarshalText([]byte(text)) != nil {
			return fmt.Errorf("%q is not a network such as 10.0.0.0/8", text)
		}
		return nil
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 90s or 1h", text)
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(strings.EqualFold(text, "true"))
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(f)
	case reflect.String:
		if n.ShortTag() == "!!binary" {
			return errors.New("must be plain text")
		}
		v.SetString(text)
	default:
		return fmt.Errorf("no value can be given for a %s", v.Type())
	}
	return nil
}
