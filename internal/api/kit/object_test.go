package kit_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
)

func decode(t *testing.T, body string) *kit.Object {
	t.Helper()
	o, err := kit.Decode([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return o
}

func TestMalformedBodies(t *testing.T) {
	for _, body := range []string{
		``, ` `, `null`, `[]`, `"x"`, `1`, `{`, `{"a":1}}`, `{"a":1}{}`, `{'a':1}`, `{"a":01}`, `{"a":NaN}`, `{"a":1,}`,
		"{\"a\":\"\xff\"}", `{"a":"\u0000"}`, `{"\u0000":1}`, `{"a":["\u0000"]}`, "{\"a\":\"\n\"}",
		`{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
		strings.Repeat(`{"a":`, 100000),
	} {
		_, err := kit.Decode([]byte(body))
		if err == nil || err.Error() != "Malformed request body" || backup.KindOf(err) != backup.Invalid {
			t.Errorf("%.40q: %v", body, err)
		}
	}
}

func TestLastOfEqualKeysCounts(t *testing.T) {
	o := decode(t, `{"a":"x","a":"y"}`)
	if got := o.Text("a", kit.TextRule{}).Value; got != "y" || o.Err() != nil {
		t.Errorf("got %q, %v", got, o.Err())
	}
}

func TestNestingInStringsIsNone(t *testing.T) {
	decode(t, `{"a":"`+strings.Repeat(`[{\"`, 100)+`"}`)
}

// each reads one field of {"backup": …} and gives the text of the refusal.
func TestRefusals(t *testing.T) {
	text := func(rule kit.TextRule) func(*kit.Object) { return func(o *kit.Object) { o.Text("f", rule) } }
	number := func(rule kit.IntRule) func(*kit.Object) { return func(o *kit.Object) { o.Int("f", rule) } }
	metadata := func(rule kit.MetadataRule) func(*kit.Object) { return func(o *kit.Object) { o.Metadata("f", rule) } }
	id := func(o *kit.Object) { o.UUID("f", true) }
	boolean := func(o *kit.Object) { o.Bool("f") }
	const in = "Invalid input for field/attribute "
	const choices = "[True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', 'y', 't', " +
		"False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no', 'n', 'f']"
	for _, tc := range []struct {
		value string
		read  func(*kit.Object)
		want  string // empty: accepted
	}{
		{`"x"`, text(kit.TextRule{}), ""},
		{`null`, text(kit.TextRule{}), ""},
		{`null`, text(kit.TextRule{NotNull: true}), in + "f. Value: None. None is not of type 'string'"},
		{`1`, text(kit.TextRule{}), in + "f. Value: 1. 1 is not of type 'string', 'null'"},
		{`"abc"`, text(kit.TextRule{Max: 2}), in + "f. Value: abc. 'abc' is too long"},
		{`"äöü"`, text(kit.TextRule{Max: 3}), ""},
		{`" "`, text(kit.TextRule{Min: 1, Trim: true}), in + "f. Value: . '' is too short"},
		{`"a\u0007"`, text(kit.TextRule{Printable: true}), in + "f. Value: a\a. 'a\\a' is not printable"},
		{`"a\nb"`, text(kit.TextRule{Printable: true}), ""},
		{`"xyz"`, id, in + "f. Value: xyz. 'xyz' is not a 'uuid'"},
		{`"0123456789ABCDEF0123456789ABCDEF"`, id, ""},
		{`"urn:uuid:{01234567-89ab-cdef-0123-456789abcdef}"`, id, ""},
		{`null`, id, in + "f. Value: None. None is not of type 'string'"},
		{`true`, boolean, ""},
		{`"YES"`, boolean, ""},
		{`null`, boolean, in + "f. Value: None. None is not one of " + choices},
		{`1`, boolean, in + "f. Value: 1. 1 is not one of " + choices},
		{`"yEs"`, boolean, in + "f. Value: yEs. 'yEs' is not one of " + choices},
		{`1`, number(kit.IntRule{Min: 1}), ""},
		{`"1"`, number(kit.IntRule{Min: 1}), ""},
		{`1.0`, number(kit.IntRule{Min: 1}), ""},
		{`0`, number(kit.IntRule{Min: 1}), in + "f. Value: 0. 0 is less than the minimum of 1"},
		{`1.5`, number(kit.IntRule{}), in + "f. Value: 1.5. 1.5 is not of type 'integer', 'string'"},
		{`true`, number(kit.IntRule{}), in + "f. Value: True. True is not of type 'integer', 'string'"},
		{`"x"`, number(kit.IntRule{}), in + "f. Value: x. 'x' does not match '^[0-9]+$'"},
		{`99999999999999999999`, number(kit.IntRule{}), in + "f. Value: 99999999999999999999. 99999999999999999999 is greater than the maximum of 2147483647"},
		{`{"k":"v"}`, metadata(kit.MetadataRule{}), ""},
		{`null`, metadata(kit.MetadataRule{}), ""},
		{`null`, metadata(kit.MetadataRule{NotNull: true}), in + "f. Value: None. None is not of type 'object'"},
		{`{"k":1}`, metadata(kit.MetadataRule{}), in + "k. Value: 1. 1 is not of type 'string'"},
		{`{"ä":"v"}`, metadata(kit.MetadataRule{}), in + "f. Value: {'ä': 'v'}. Additional properties are not allowed ('ä' was unexpected)"},
		{`{"a":"1","b":"2"}`, metadata(kit.MetadataRule{MaxKeys: 1}), in + "f. Value: {'a': '1', 'b': '2'}. {'a': '1', 'b': '2'} has too many properties"},
		{`"x"`, func(o *kit.Object) { o.Only("g") }, in + "backup. Value: {'f': 'x'}. Additional properties are not allowed ('f' was unexpected)"},
		{`"x"`, func(o *kit.Object) { o.Require("volume_id") }, in + "backup. Value: {'f': 'x'}. 'volume_id' is a required property"},
		{`"x"`, func(o *kit.Object) { o.Child("f") }, in + "f. Value: x. 'x' is not of type 'object'"},
	} {
		body := decode(t, `{"backup":{"f":`+tc.value+`}}`)
		tc.read(body.Child("backup"))
		got := ""
		if err := body.Err(); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.value, got, tc.want)
		}
	}
}

func TestMissingTopLevelKey(t *testing.T) {
	o := decode(t, `{"volume":{}}`)
	in := o.Child("backup")
	in.Require("volume_id") // after the first error nothing replaces it
	if err := o.Err(); err == nil || err.Error() != "'backup' is a required property" {
		t.Errorf("got %v", err)
	}
}

func TestFieldsTellAbsentFromNull(t *testing.T) {
	o := decode(t, `{"null":null,"name":"x"}`)
	got := []kit.Field[string]{o.Text("absent", kit.TextRule{}), o.Text("null", kit.TextRule{}), o.Text("name", kit.TextRule{})}
	want := []kit.Field[string]{{}, {Set: true, Null: true}, {Set: true, Value: "x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[0].Pointer() != nil || *got[1].Pointer() != "" || *got[2].Pointer() != "x" {
		t.Error("pointers")
	}
}

func TestUUIDsAreNormalized(t *testing.T) {
	o := decode(t, `{"id":"{0123456789ABCDEF0123456789abcdef}"}`)
	if got := o.UUID("id", true).Value; got != "01234567-89ab-cdef-0123-456789abcdef" {
		t.Errorf("got %q", got)
	}
}

func TestHugeValuesAreNotSentBack(t *testing.T) {
	o := decode(t, `{"a":{"f":"`+strings.Repeat("ü", 100000)+`"}}`)
	o.Child("a").Text("f", kit.TextRule{})
	if n := len(o.Err().Error()); n > 2000 {
		t.Errorf("%d bytes of message", n)
	}
	o = decode(t, `{"a":{"`+strings.Repeat("k", 100000)+`":["`+strings.Repeat("x", 100000)+`"]}}`)
	o.Child("a").Only()
	if n := len(o.Err().Error()); n > 2000 {
		t.Errorf("%d bytes of message", n)
	}
}

func FuzzObject(f *testing.F) {
	for _, s := range []string{`{"a":{"f":"x"}}`, `{"a":{"f":1e9}}`, `{"a":{"f":{"k":"v"}}}`, `{"a":{"f":null}}`, `{"a":{"f":"1"}}`, `{"a":{"f":"on"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := kit.Decode(raw)
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q is no JSON", raw)
		}
		a := o.Child("a")
		name, on, n := a.Text("f", kit.TextRule{}), a.Bool("f"), a.Int("f", kit.IntRule{Min: 1, Max: 9})
		a.UUID("f", false)
		a.Metadata("f", kit.MetadataRule{})
		a.Only("f")
		if o.Err() == nil && (strings.ContainsRune(name.Value, 0) || n.Set && !n.Null && n.Value < 1 || on.Null) {
			t.Errorf("%q: accepted %v %v %v", raw, name, on, n)
		}
		if err := o.Err(); err != nil && len(err.Error()) > 4096 {
			t.Errorf("%d bytes of message", len(err.Error()))
		}
	})
}

func FuzzParseBool(f *testing.F) {
	for _, s := range []string{"1", " TRUE ", "nein", "", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		value, ok := kit.ParseBool(s)
		want := strings.ToLower(strings.TrimSpace(s))
		if value && !ok || ok && !strings.Contains(" 1 t true on y yes 0 f false off n no ", " "+want+" ") {
			t.Errorf("%q: %v %v", s, value, ok)
		}
	})
}
