package keyring_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"holdfast/internal/vault/keyring"
)

func protectCheaply(t testing.TB, text, passphrase string) string {
	t.Helper()
	b, err := keyring.ProtectCheaply([]byte(text), passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProtect(t *testing.T) {
	if testing.Short() {
		t.Skip("a passphrase's full work")
	}
	text := export(t, newMaster(t, 1))
	protected, err := keyring.Protect([]byte(text), "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	if !keyring.Protected(protected) || keyring.Protected([]byte(text)) || bytes.Contains(protected, []byte("HOLDFAST")) {
		t.Errorf("protected:\n%s", protected)
	}
	if back, err := keyring.Unprotect(protected, "open sesame"); err != nil || string(back) != text {
		t.Errorf("%v: %s", err, back)
	}
	if back, err := keyring.Unprotect([]byte(text), ""); err != nil || string(back) != text {
		t.Errorf("a plain one: %v: %s", err, back)
	}
	if _, err := keyring.Protect([]byte(text), ""); err == nil {
		t.Error("an empty passphrase was taken")
	}
}

func TestCreateProtected(t *testing.T) {
	if testing.Short() {
		t.Skip("a passphrase's full work")
	}
	path := filepath.Join(t.TempDir(), "master.key")
	made, err := keyring.Create(path, "open sesame", random(1))
	if err != nil {
		t.Fatal(err)
	}
	if loaded, err := keyring.Load(path, "open sesame"); err != nil || loaded.ID() != made.ID() {
		t.Errorf("loaded %v, %v", loaded, err)
	}
}

// Whatever a protected file is wrong in, it takes one line to say so, and not
// much work to find out.
func TestLoadProtectedRefuses(t *testing.T) {
	text := export(t, newMaster(t, 1))
	good := protectCheaply(t, text, "open sesame")
	v, _, _ := readVectors(t)
	identity := v.Recovery.Identity + "\n"
	for what, test := range map[string]struct{ text, passphrase, want string }{
		"no passphrase":    {good, "", "it is protected by a passphrase"},
		"another one":      {good, "open barley", "wrong passphrase"},
		"much work":        {work(t, good, "19"), "open sesame", "scrypt work factor too large: 19"},
		"absurd work":      {work(t, good, "99999999999999999999"), "open sesame", "work factor"},
		"cut":              {good[:len(good)-100], "open sesame", "is damaged"},
		"no armor's end":   {good[:strings.LastIndex(good, "-----END")], "open sesame", "is damaged"},
		"something after":  {good + "x", "open sesame", "is damaged"},
		"for a recipient":  {forRecipient(t, v.Recovery.Recipient), "open sesame", "it is an age file, but not one with a passphrase"},
		"another content":  {protectCheaply(t, "hello", "open sesame"), "open sesame", "neither a comment nor a key"},
		"much content":     {protectCheaply(t, strings.Repeat("#\n", 8193), "open sesame"), "open sesame", "too many for a key"},
		"too large":        {strings.Repeat("\n", 33<<10), "", "more than 32768 bytes"},
		"protected twice":  {protectCheaply(t, good, "open sesame"), "open sesame", "neither a comment nor a key"},
		"two identities":   {identity + identity, "", "line 2 holds a second key"},
		"both":             {text + identity, "", "neither a comment nor a key"},
		"a typo":           {identity[:len(identity)-3] + string(identity[len(identity)-3]^1) + identity[len(identity)-2:], "", "checksum is wrong"},
		"an identity only": {identity, "", "holds a recovery identity, which reads vaults and makes none"},
	} {
		path := keyFile(t, test.text)
		_, err := keyring.Load(path, test.passphrase)
		if err == nil {
			t.Errorf("%s: taken", what)
			continue
		}
		if got := err.Error(); !strings.Contains(got, test.want) || !strings.Contains(got, path) || strings.Contains(got, "\n") {
			t.Errorf("%s: error %q, want one line with %q and %q", what, got, test.want, path)
		}
		if strings.Contains(err.Error(), v.Recovery.Identity[20:30]) {
			t.Errorf("%s: error shows the key: %v", what, err)
		}
	}
	if _, err := keyring.Load(keyFile(t, good), ""); !errors.Is(err, keyring.ErrNoPassphrase) {
		t.Errorf("error %v", err)
	}
	if _, err := keyring.Load(keyFile(t, good), "x"); !errors.Is(err, keyring.ErrWrongPassphrase) {
		t.Errorf("error %v", err)
	}
}

// work changes the work factor that a protected file asks for, as whoever can
// write it could.
func work(t *testing.T, protected, factor string) string {
	t.Helper()
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(armor.NewReader(strings.NewReader(protected))); err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(raw.String(), " 1\n")
	var out strings.Builder
	w := armor.NewWriter(&out)
	if _, err := w.Write([]byte(head + " " + factor + "\n" + rest)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func forRecipient(t *testing.T, recipient string) string {
	t.Helper()
	r, err := age.ParseX25519Recipient(recipient)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	w := armor.NewWriter(&out)
	e, err := age.Encrypt(w, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestReplace(t *testing.T) {
	path := keyFile(t, export(t, newMaster(t, 1)))
	if err := keyring.Replace(path, []byte(export(t, newMaster(t, 2)))); err != nil {
		t.Fatal(err)
	}
	if m, err := keyring.Load(path, ""); err != nil || m.ID() != newMaster(t, 2).ID() {
		t.Errorf("loaded %v, %v", m, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("file: %v, %v", info.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("in the folder: %v, %v", list, err)
	}
}

func FuzzKeyFile(f *testing.F) {
	v, _, _ := readVectors(f)
	text := export(f, newMaster(f, 1))
	f.Add([]byte(text))
	f.Add([]byte(v.Recovery.Identity))
	f.Add([]byte(protectCheaply(f, text, "x")))
	f.Add([]byte(protectCheaply(f, v.Recovery.Identity, "x")))
	f.Add([]byte(v.Protected.Text))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := keyring.OpenCheaply(b, "x")
		if err == nil && key.String() == "" {
			t.Error("a key without a name")
		}
	})
}

func FuzzRecipient(f *testing.F) {
	v, _, _ := readVectors(f)
	f.Add(v.Recovery.Recipient)
	f.Add("age1")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := keyring.ParseRecipient(text); err == nil && r.String() != text {
			t.Errorf("%q was taken for %s", text, r)
		}
	})
}
