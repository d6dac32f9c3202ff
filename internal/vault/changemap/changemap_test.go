package changemap_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/vault"
	"holdfast/internal/vault/changemap"
)

const head = `{"volume":"11111111-1111-4111-8111-111111111111","since":"s1","size":1000000,"extents":[`

func TestParse(t *testing.T) {
	got, err := changemap.Parse(strings.NewReader(head + `
		{"offset":0,"length":10},{"offset":10,"length":5,"zero":true},{"zero":false,"length":1,"offset":4096}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := changemap.Map{
		Volume: "11111111-1111-4111-8111-111111111111", Since: "s1", Size: 1000000,
		Extents: []vault.Extent{{Offset: 0, Length: 15}, {Offset: 4096, Length: 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           ``,
		"a half list":       `[{"offset":0,"length":1}`,
		"a list of numbers": `[1]`,
		"a list's tail":     `[]]`,
		"a comma too many":  head + `{"offset":0,"length":1},]}`,
		"no comma":          head + `{"offset":0,"length":1}{"offset":4096,"length":1}]}`,
		"a leading zero":    head + `{"offset":01,"length":1}]}`,
		"a long number":     head + `{"offset":1,"length":99999999999999999999999}]}`,
		"an exponent":       head + `{"offset":1e3,"length":1}]}`,
		"half a word":       head + `{"offset":1,"length":1,"zero":tru}]}`,
		"a bad escape":      strings.Replace(head, `"s1"`, `"\x"`, 1) + `]}`,
		"half":              head,
		"a tail":            head + `]} {}`,
		"another member":    head + `],"more":1}`,
		"a doubled member":  head + `],"size":1}`,
		"no since":          strings.Replace(head, `"s1"`, `""`, 1) + `]}`,
		"a bad volume":      strings.Replace(head, `1111-4111`, `x111-4111`, 1) + `]}`,
		"a huge size":       strings.Replace(head, `1000000`, `9000000000000000`, 1) + `]}`,
		"a negative size":   strings.Replace(head, `1000000`, `-1`, 1) + `]}`,
		"overlap":           head + `{"offset":0,"length":10},{"offset":9,"length":5}]}`,
		"disorder":          head + `{"offset":100,"length":10},{"offset":9,"length":5}]}`,
		"an empty extent":   head + `{"offset":100,"length":0}]}`,
		"out of range":      head + `{"offset":999999,"length":2}]}`,
		"overflow":          head + `{"offset":1,"length":9223372036854775807}]}`,
		"a fraction":        head + `{"offset":1.5,"length":1}]}`,
		"a string":          head + `{"offset":"1","length":1}]}`,
		"no extents":        strings.Replace(head, `,"extents":[`, `}`, 1),
		"no length":         head + `{"offset":1}]}`,
		"zero is a number":  head + `{"offset":1,"length":1,"zero":1}]}`,
		"a long since":      strings.Replace(head, `s1`, strings.Repeat("s", 513), 1) + `]}`,
		"an unknown member": head + `{"offset":1,"length":1,"one":true}]}`,
	} {
		if _, err := changemap.Parse(strings.NewReader(text)); !errors.Is(err, changemap.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBareList(t *testing.T) {
	m, err := changemap.Parse(strings.NewReader(` [ {"offset":4096,"length":10} ]` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	extents := []vault.Extent{{Offset: 4096, Length: 10}}
	if diff := cmp.Diff(changemap.Map{Bare: true, Extents: extents}, m); diff != "" {
		t.Error(diff)
	}
	const volume = "11111111-1111-4111-8111-111111111111"
	if _, err := m.For(volume, 1<<20, ""); !errors.Is(err, changemap.ErrInvalid) {
		t.Errorf("without a parent: %v", err)
	}
	if _, err := m.For(volume, 4100, "p"); !errors.Is(err, changemap.ErrInvalid) {
		t.Errorf("of a smaller volume: %v", err)
	}
	got, err := m.For(volume, 1<<20, "p")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&vault.ChangeMap{Parent: "p", Extents: extents}, got); diff != "" {
		t.Error(diff)
	}
}

func TestForAnotherVolume(t *testing.T) {
	m, err := changemap.Parse(strings.NewReader(head + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.For("22222222-2222-4222-8222-222222222222", m.Size, ""); !errors.Is(err, changemap.ErrInvalid) {
		t.Errorf("of another volume: %v", err)
	}
	if _, err := m.For(m.Volume, m.Size+1, ""); !errors.Is(err, changemap.ErrInvalid) {
		t.Errorf("of another size: %v", err)
	}
	got, err := m.For(m.Volume, m.Size, "")
	if err != nil || got.Since != "s1" || got.Parent != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestReadErrorIsTheReaders(t *testing.T) {
	broken := errors.New("broken pipe")
	_, err := changemap.Parse(iotest.ErrReader(broken))
	if !errors.Is(err, broken) || errors.Is(err, changemap.ErrInvalid) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(head + `{"offset":0,"length":10},{"offset":10,"length":5,"zero":true}]}`)
	f.Add(head + `]}`)
	f.Add(`[{"offset":4096,"length":4096}]`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := changemap.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		end := int64(-1)
		for _, e := range m.Extents {
			if e.Offset <= end || e.Length <= 0 || !m.Bare && e.Offset+e.Length > m.Size {
				t.Fatalf("extent %+v after %d of %d", e, end, m.Size)
			}
			end = e.Offset + e.Length
		}
		if !json.Valid([]byte(text)) {
			t.Fatal("it is no JSON")
		}
	})
}
