package keyring_test

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/vault/keyring"
)

// random returns bytes that differ for each seed.
func random(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func newMaster(t testing.TB, seed byte) *keyring.Master {
	t.Helper()
	m, err := keyring.NewMaster(random(seed))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func export(t testing.TB, m *keyring.Master) string {
	t.Helper()
	var b strings.Builder
	if err := m.Export(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCreateThenLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	made, err := keyring.Create(path, "", random(1))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := keyring.Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if export(t, made) != export(t, loaded) || made.ID() != loaded.ID() {
		t.Error("another key was loaded than made")
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("file: %v, %v", info.Mode(), err)
	}
	if other := newMaster(t, 2); other.ID() == made.ID() {
		t.Error("two keys have one id")
	}

	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Create(path, "", random(2)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("second Create changed the file: %v", err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("in the folder: %v, %v", list, err)
	}
}

func TestCreateWithoutRandomness(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	if _, err := keyring.Create(path, "", strings.NewReader("too few")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("file: %v", err)
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode fs.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := export(t, newMaster(t, 1))
	for _, test := range []struct {
		path string
		want string
	}{
		{file("group", text, 0o640), "chmod 600 " + dir + "/group"},
		{file("other", text, 0o604), "chmod 600 " + dir + "/other"},
		{file("write", text, 0o602), "chmod 600 " + dir + "/write"},
		{file("empty", "", 0o600), "no line with a key"},
		{filepath.Join(dir, "none"), "without it no backup can be read"},
		{dir, "not a regular file"},
	} {
		_, err := keyring.Load(test.path, "")
		if err == nil {
			t.Errorf("%s was taken", test.path)
			continue
		}
		if got := err.Error(); !strings.Contains(got, test.want) || !strings.Contains(got, test.path) || strings.Contains(got, "\n") {
			t.Errorf("error %q, want one line with %q and %q", got, test.path, test.want)
		}
	}
	if _, err := keyring.Load(filepath.Join(dir, "none"), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := keyring.Load(file("read-only", text, 0o400), ""); err != nil {
		t.Errorf("mode 0400: %v", err)
	}
}

func TestLoadRefusesAnotherUsersFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "master.key")
	if _, err := keyring.Create(path, "", random(1)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1234, -1); err != nil {
		t.Fatal(err)
	}
	_, err := keyring.Load(path, "")
	if err == nil || !strings.Contains(err.Error(), "belongs to user 1234") || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("error %v", err)
	}
}

func TestParseMaster(t *testing.T) {
	text := export(t, newMaster(t, 1))
	at := strings.LastIndex(text, "HOLDFAST-")
	line := strings.TrimSuffix(text[at:], "\n")
	for what, text := range map[string]string{
		"no comments":    line,
		"comments after": line + "\n# end\n\n",
		"carriage return": strings.ReplaceAll(
			text, "\n", "\r\n"),
	} {
		if m, err := keyring.ParseMaster([]byte(text)); err != nil || m.ID() != newMaster(t, 1).ID() {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, bad := range map[string]string{
		"nothing":        "",
		"only comments":  text[:at],
		"two keys":       text + line,
		"leading space":  " " + line,
		"trailing space": line + " ",
		"lower case":     strings.ToLower(line),
		"lower digits":   line[:30] + strings.ToLower(line[30:]),
		"other version":  strings.Replace(line, "KEY-1", "KEY-2", 1),
		"no prefix":      line[22:],
		"cut":            line[:len(line)-1],
		"cut group":      line[:len(line)-9],
		"longer":         line + "A",
		"another group":  line + "-AAAAAAAA",
		"padding":        line[:len(line)-1] + "=",
		"no dashes":      line[:22] + strings.ReplaceAll(line[22:], "-", ""),
		"words":          "my key\n" + line,
		"too much":       strings.Repeat("#\n", 10000) + line,
	} {
		_, err := keyring.ParseMaster([]byte(bad))
		if err == nil {
			t.Errorf("%s: taken", what)
		} else if strings.Contains(err.Error(), line[25:31]) {
			t.Errorf("%s: error shows the key: %v", what, err)
		}
	}
}

func TestChecksumFindsTypos(t *testing.T) {
	text := export(t, newMaster(t, 1))
	start := strings.LastIndex(text, ":") + 1
	for i := start; i < len(text)-1; i++ {
		for _, c := range []byte("A7Q-") {
			if bad := text[:i] + string(c) + text[i+1:]; bad != text {
				if _, err := keyring.ParseMaster([]byte(bad)); err == nil {
					t.Errorf("%q in place of %q at digit %d was taken", c, text[i], i-start)
				}
			}
		}
		if swapped := text[:i] + text[i+1:i+2] + text[i:i+1] + text[i+2:]; swapped != text && i < len(text)-2 {
			if _, err := keyring.ParseMaster([]byte(swapped)); err == nil {
				t.Errorf("digits %d and %d swapped were taken", i-start, i-start+1)
			}
		}
	}
}

func TestExportThenParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		m, err := keyring.NewMaster(bytes.NewReader(key))
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := m.Export(&text); err != nil {
			t.Fatal(err)
		}
		back, err := keyring.ParseMaster([]byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		var again strings.Builder
		if err := back.Export(&again); err != nil {
			t.Fatal(err)
		}
		if back.ID() != m.ID() || again.String() != text.String() {
			t.Fatalf("%s became %s", m, back)
		}
	})
}

func FuzzParseMaster(f *testing.F) {
	text := export(f, newMaster(f, 1))
	f.Add([]byte(text))
	f.Add([]byte(text[strings.LastIndex(text, "HOLD"):]))
	f.Add([]byte("# comment\n\nHOLDFAST-MASTER-KEY-1:AAAAAAAA-AAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := keyring.ParseMaster(b)
		if err != nil {
			return
		}
		text := export(t, m)
		if line := text[strings.LastIndex(text, "HOLDFAST-"):]; !bytes.Contains(b, []byte(strings.TrimSuffix(line, "\n"))) {
			t.Errorf("took another key than the text has: %q", b)
		}
	})
}

// However a key is printed, none of its bytes show.
func TestKeysAreNotPrinted(t *testing.T) {
	v, m, id := readVectors(t)
	keys := open(t, vectorStore(t, v), m, id)
	var secrets [][]byte
	digits := strings.ReplaceAll(v.Master[strings.Index(v.Master, ":")+1:], "-", "")
	key, err := base32.StdEncoding.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, key[:32], unhex(t, v.Random)[64:96], unhex(t, v.Random)[96:])
	type holder struct {
		M *keyring.Master
		m *keyring.Master
		n keyring.Master
		v keyring.Vault
		w *keyring.Vault
	}
	things := []any{m, *m, keys, *keys, holder{m, m, *m, *keys, keys}, &holder{m, m, *m, *keys, keys}, []*keyring.Master{m}, []keyring.Vault{*keys}}
	var out bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&out, nil))
	jsonLogger := slog.New(slog.NewJSONHandler(&out, nil))
	for _, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		logger.Info("x", "thing", thing)
		jsonLogger.Info("x", "thing", thing)
		if b, err := json.Marshal(thing); err == nil {
			out.Write(b)
		}
	}
	for _, secret := range secrets {
		part := secret[8:12]
		for _, form := range []string{
			string(part), hex.EncodeToString(part), strings.ToUpper(hex.EncodeToString(part)), strings.Trim(fmt.Sprint(part), "[]"),
			fmt.Sprintf("0x%x, 0x%x", part[0], part[1]), digits[8:16],
		} {
			if strings.Contains(out.String(), form) {
				t.Errorf("output shows a key as %q", form)
			}
		}
	}
	if !strings.Contains(out.String(), "master key "+v.MasterID) {
		t.Error("output does not name the master key")
	}
}
