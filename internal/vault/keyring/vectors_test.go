package keyring_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault/keyring"
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

// vectorStore returns a store that holds the vectors' objects.
func vectorStore(t testing.TB, v vectors) *mem.Store {
	t.Helper()
	s := mem.New()
	for name, content := range v.Objects {
		blobtest.Put(t, s, name, unhex(t, content))
	}
	return s
}

func open(t testing.TB, s blob.Store, m *keyring.Master, vault [16]byte) *keyring.Vault {
	t.Helper()
	keys, err := keyring.OpenVault(context.Background(), s, m, vault)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
