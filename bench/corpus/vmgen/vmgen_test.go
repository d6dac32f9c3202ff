package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

// TestContentsAreFixed keeps a corpus what it was: figures of different
// versions are compared.
func TestContentsAreFixed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"logs", "5", "300000"}, "5a3e27db4fe414c0"},
		{[]string{"json", "5", "300000"}, "9816e06e3912c94e"},
		{[]string{"rand", "5", "300000"}, "99eeb2792027f1d9"},
		{[]string{"db", "5", "300000"}, "db545e4d5f4575c5"},
		{[]string{"dbmod", "6", "40"}, "5434b3abcc1e26f5"},
		{[]string{"poke", "7", "5", "2048"}, "1cd03dd27614f85c"},
		{[]string{"edit", "8"}, "f45ec264869034a5"},
	} {
		if err := run(append(c.args, path)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:8]); got != c.want {
			t.Errorf("%s makes %s, not %s", c.args[0], got, c.want)
		}
	}
}

func TestChangeMap(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	content := bytes.Repeat([]byte{1}, 5<<20)
	if err := os.WriteFile(a, content, 0o600); err != nil {
		t.Fatal(err)
	}
	content[70000] = 2
	content[4<<20] = 3
	clear(content[128<<10 : 256<<10])
	if err := os.WriteFile(b, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := printMap(&out, a, b, 64<<10); err != nil {
		t.Fatal(err)
	}
	want := `[{"offset":65536,"length":65536},{"offset":131072,"length":131072,"zero":true},{"offset":4194304,"length":65536}]` + "\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}
