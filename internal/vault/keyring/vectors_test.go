package keyring_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/keyring"
	"holdfast/internal/vault/naming"
)

// vectors are known answers, computed by another implementation. They pin the
// format: what was stored once can be read for ever.
type vectors struct {
	Master   string            `json:"master"` // the key's line
	MasterID string            `json:"master_id"`
	Vault    string            `json:"vault"`
	Random   string            `json:"random"` // what CreateVault reads
	Objects  map[string]string `json:"objects"`
	Derive   []struct {
		Version uint32 `json:"version"`
		Label   string `json:"label"`
		Context string `json:"context"`
		Size    int    `json:"size"`
		Key     string `json:"key"`
	} `json:"derive"`
	Names struct { // of a vault with these keys
		Digest string `json:"digest"`
		Leaf   string `json:"leaf"`
		Page   string `json:"page"`
	} `json:"names"`
	Recovery struct {
		Identity    string            `json:"identity"`
		Recipient   string            `json:"recipient"`
		RecipientID string            `json:"recipient_id"`
		Objects     map[string]string `json:"objects"`  // the same keys, for a recipient too, and a version 2
		Version2    string            `json:"version2"` // a key of version 2
	} `json:"recovery"`
	Protected struct {
		Passphrase string `json:"passphrase"`
		Text       string `json:"text"`     // the master key's line
		Identity   string `json:"identity"` // the identity's
	} `json:"protected"`
}

func readVectors(t testing.TB) (v vectors, m *keyring.Master, vault [16]byte) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if m, err = keyring.ParseMaster([]byte(v.Master)); err != nil {
		t.Fatal(err)
	}
	return v, m, [16]byte(unhex(t, v.Vault))
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectors(t *testing.T) {
	v, m, id := readVectors(t)
	if got := m.ID(); hex.EncodeToString(got[:]) != v.MasterID {
		t.Errorf("master key id %x, want %s", got, v.MasterID)
	}
	var text strings.Builder
	if err := m.Export(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(text.String(), "\n"+v.Master+"\n") {
		t.Errorf("exported: %s", text.String())
	}

	created := mem.New()
	if _, err := keyring.CreateVault(context.Background(), newVault(created, m, id, bytes.NewReader(unhex(t, v.Random)), &choice{})); err != nil {
		t.Fatal(err)
	}
	objects := make(map[string]string)
	for name := range blobtest.List(t, created, "") {
		objects[name] = hex.EncodeToString(blobtest.Get(t, created, name))
	}
	if diff := cmp.Diff(v.Objects, objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}

	keys := open(t, vectorStore(t, v), m, id)
	for _, d := range v.Derive {
		got := keys.Derive(d.Version, d.Label, unhex(t, d.Context), d.Size)
		if hex.EncodeToString(got) != d.Key {
			t.Errorf("Derive(%d, %q, %s, %d) = %x, want %s", d.Version, d.Label, d.Context, d.Size, got, d.Key)
		}
	}
}

// What blocks, leaves and pages of a vault are known by.
func TestNameVectors(t *testing.T) {
	v, m, id := readVectors(t)
	names, err := naming.New(open(t, vectorStore(t, v), m, id))
	if err != nil {
		t.Fatal(err)
	}
	h := names.Hasher()
	block := make([]byte, format.BlockSize)
	for i := range block {
		block[i] = byte(i*7 + i/251)
	}
	leaf := [format.LeafBlocks]format.Digest{h.Block(block)}
	check, page := h.Leaf(&leaf), h.Page([]byte("page"))
	got := []string{hex.EncodeToString(leaf[0][:]), hex.EncodeToString(check[:]), hex.EncodeToString(page[:])}
	if diff := cmp.Diff([]string{v.Names.Digest, v.Names.Leaf, v.Names.Page}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// Keys that are wrapped for a master key and a recovery recipient open with
// either, and are those that the master key alone was wrapped for.
func TestRecoveryVectors(t *testing.T) {
	v, m, id := readVectors(t)
	key, err := keyring.LoadAny(keyFile(t, v.Recovery.Identity+"\n"), "")
	if err != nil {
		t.Fatal(err)
	}
	identity, ok := key.(*keyring.Identity)
	if !ok || identity.Recipient().String() != v.Recovery.Recipient {
		t.Fatalf("%s, want one of %s", key, v.Recovery.Recipient)
	}
	s := mem.New()
	for name, content := range v.Recovery.Objects {
		b := unhex(t, content)
		if !bytes.Contains(b, unhex(t, v.Recovery.RecipientID)) {
			t.Errorf("%s does not name the recipient", name)
		}
		blobtest.Put(t, s, name, b)
	}
	var context []byte
	for i := range byte(68) {
		context = append(context, i)
	}
	for _, opener := range []keyring.Opener{m, identity} {
		keys := open(t, s, opener, id)
		for _, d := range v.Derive {
			got := keys.Derive(d.Version, d.Label, unhex(t, d.Context), d.Size)
			if hex.EncodeToString(got) != d.Key {
				t.Errorf("opened with the %s, Derive(%d, %q, %s, %d) = %x, want %s", opener, d.Version, d.Label, d.Context, d.Size, got, d.Key)
			}
		}
		if got := keys.Derive(2, "holdfast/1 pack", context, 32); hex.EncodeToString(got) != v.Recovery.Version2 || keys.Current() != 2 {
			t.Errorf("opened with the %s, version %d is %x", opener, keys.Current(), got)
		}
	}
}

// Key files that another implementation protected open.
func TestProtectedVectors(t *testing.T) {
	v, m, _ := readVectors(t)
	loaded, err := keyring.Load(keyFile(t, v.Protected.Text), v.Protected.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.ID() != m.ID() {
		t.Errorf("opened %s", loaded)
	}
	key, err := keyring.LoadAny(keyFile(t, v.Protected.Identity), v.Protected.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if want := "recovery identity of " + v.Recovery.Recipient; key.String() != want {
		t.Errorf("opened the %s, want the %s", key, want)
	}
}

// keyFile writes a key file.
func keyFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := keyring.WriteNew(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return path
}

// vectorStore returns a store that holds the vectors' objects.
func vectorStore(t testing.TB, v vectors) *mem.Store {
	t.Helper()
	s := mem.New()
	for name, content := range v.Objects {
		blobtest.Put(t, s, name, unhex(t, content))
	}
	return s
}

func open(t testing.TB, s blob.Store, m keyring.Opener, vault [16]byte) *keyring.Vault {
	t.Helper()
	keys, err := keyring.OpenVault(context.Background(), s, m, vault)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
