package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"holdfast/internal/config"
)

// Whatever the file holds, Load ends with one line that names the file, or with
// a configuration that it would accept again and that resolves to itself.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile(examplePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Add("listen: '[::1]:1'\ntrusted_proxies: [::/0]\n")
	f.Add("identity: {projects: [{name: a}], users: [{name: b, password_hash: '" + hash + "'}]}")
	f.Add("data: &a [*a]\n? {}\n: !!binary x\n--- |\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "holdfast.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, config.Overrides{})
		if err != nil {
			message := err.Error()
			if !strings.HasPrefix(message, path+": ") || strings.ContainsAny(message, "\n\r") || !utf8.ValidString(message) {
				t.Fatalf("not one clear line: %q", message)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("accepted, and then refused: %v", err)
		}
		if diff := cmp.Diff(c, c.Resolve(), cmpopts.EquateComparable()); diff != "" {
			t.Fatalf("not resolved:\n%s", diff)
		}
	})
}
