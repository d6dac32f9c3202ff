package config_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gopkg.in/yaml.v3"

	"holdfast/internal/config"
)

const examplePath = "../../docs/holdfast.example.yaml"

func readExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// uncomment takes the "#" off the examples, which have no space after it.
func uncomment(text string) string {
	return regexp.MustCompile(`(?m)^( *)#([a-z-].*|  +[a-z-].*)$`).ReplaceAllString(text, "$1$2")
}

func TestExampleHoldsTheDefaults(t *testing.T) {
	got, err := config.Load(examplePath, config.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default().Resolve()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable()); diff != "" {
		t.Errorf("what the example gives differs from the default (-default +example):\n%s", diff)
	}
}

// The uncommented example is read as YAML with the struct's own fields, so that
// a misspelled key in a comment is found, and every value in it is one that
// would be accepted.
func TestExampleNamesEveryKey(t *testing.T) {
	text := uncomment(readExample(t))
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatalf("the example without its comment signs: %v", err)
	}
	inFile, inStruct := map[string]bool{}, map[string]bool{}
	keysOfTree(tree, "", inFile)
	keysOfType(reflect.TypeFor[config.Config](), "", inStruct)
	if diff := cmp.Diff(inStruct, inFile); diff != "" {
		t.Errorf("keys (-struct +example):\n%s", diff)
	}
}

func keysOfTree(v any, path string, keys map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			keys[path+"."+k] = true
			keysOfTree(child, path+"."+k, keys)
		}
	case []any:
		for _, child := range v {
			keysOfTree(child, path, keys)
		}
	}
}

func keysOfType(typ reflect.Type, path string, keys map[string]bool) {
	if typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ.PkgPath() != reflect.TypeFor[config.Config]().PkgPath() {
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag := f.Tag.Get("yaml")
		if tag == "-" {
			continue
		}
		keys[path+"."+tag] = true
		keysOfType(f.Type, path+"."+tag, keys)
	}
}

// With the files that the example names put in place, all of it is accepted.
func TestExampleIsAcceptedWithEverythingOn(t *testing.T) {
	dir := t.TempDir()
	writeKeyPair(t, dir, "tls")
	writeKeyPair(t, dir, "volume")
	write(t, dir, "alice.password", "correct horse\n", 0o600)
	write(t, dir, "database.url", "postgres://holdfast@db.example.org/holdfast\n", 0o600)
	write(t, dir, "database.password", "p@ss/word\n", 0o600)
	write(t, dir, "master.passphrase", "a b\n", 0o600)
	write(t, dir, "s3.access", "AKIA-known\n", 0o600)
	write(t, dir, "s3.secret", "battery staple\n", 0o600)
	writeKeyPair(t, dir, "s3-ca")

	text := strings.ReplaceAll(uncomment(readExample(t)), "/etc/holdfast/", dir+"/")
	text = regexp.MustCompile(`(?m)^  url: .*\n`).ReplaceAllString(text, "")    // url_file says it
	text = regexp.MustCompile(`(?m)^    path: .*\n`).ReplaceAllString(text, "") // the bucket stands in its place
	c, err := config.Load(write(t, dir, "holdfast.yaml", text, 0o640), config.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Database.URL.Reveal(), "postgres://holdfast:p%40ss%2Fword@db.example.org/holdfast"; got != want {
		t.Errorf("database URL = %s, want %s", got, want)
	}
	if got := c.MasterKeyPassphrase.Reveal(); got != "a b" {
		t.Errorf("passphrase of the master key = %q", got)
	}
	if got := c.Store.S3.AccessKey.Reveal() + c.Store.S3.SecretKey.Reveal(); got != "AKIA-knownbattery staple" {
		t.Errorf("keys of the bucket = %q", got)
	}
	if got := c.Store.String(); got != "s3://backups/cloud1/holdfast" {
		t.Errorf("store = %s", got)
	}
	if got := c.Identity.Users[0].Password.Reveal(); got != "correct horse" {
		t.Errorf("alice's password = %q", got)
	}
	if got, want := c.Listeners[0].PublicURL, "https://volume.example.org"; got != want {
		t.Errorf("public URL = %s, want %s", got, want)
	}
}
