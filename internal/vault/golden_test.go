package vault_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

var update = flag.Bool("update", false, "write testdata/golden anew: only for a new version of the format")

const golden = "testdata/golden/v1"

// goldenVolumes returns two states of a volume of 5 MiB and 100 bytes: all
// codecs, holes, and a range that is zeroed in the second.
func goldenVolumes() [2][]byte {
	rng := newRand(77)
	first := make([]byte, 5<<20+100)
	fill(rng, first[:70_000])
	for i := 200_000; i < 220_000; i++ {
		first[i] = byte(rng.Uint32())
	}
	copy(first[4<<20+512:], bytes.Repeat([]byte("words that come again "), 2000))
	first[len(first)-1] = 1
	second := bytes.Clone(first)
	clear(second[10_000:30_000])
	copy(second[1<<20:], bytes.Repeat([]byte("words of the second day "), 1000))
	return [2][]byte{first, second}
}

// TestGolden reads a vault that was written once and must stay readable.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	store := mem.New()
	err := filepath.WalkDir(golden, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(golden, path)
		if err != nil {
			return err
		}
		replace(t, store, filepath.ToSlash(name), b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := vault.OpenBare(t.Context(), store, testKeys)
	if err != nil {
		t.Fatal(err)
	}
	volumes := goldenVolumes()
	if len(bare.Backups()) != len(volumes) {
		t.Fatalf("%d backups", len(bare.Backups()))
	}
	for i, b := range bare.Backups() {
		if b.Err != nil {
			t.Fatal(b.Err)
		}
		want := vault.Info{
			Backup: b.Record.Info.Backup, Volume: "11111111-1111-4111-8111-111111111111",
			Name: "golden", DataTime: b.Record.Info.DataTime, Incremental: i == 1,
		}
		if diff := cmp.Diff(want, b.Record.Info); diff != "" {
			t.Error(diff)
		}
		target := &vaulttest.Volume{Data: bytes.Repeat([]byte{1}, len(volumes[i]))}
		if err := bare.Restore(t.Context(), vault.RestoreRequest{Record: b.Ref, Target: target}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(target.Data, volumes[i]) {
			t.Errorf("backup %d restores to other bytes", i)
		}
	}
}

func writeGolden(t *testing.T) {
	r := newRig(t, func(cfg *vault.Config) { cfg.Workers = 1 })
	volumes := goldenVolumes()
	req := r.request(&vaulttest.Volume{Data: volumes[0]}, nil)
	req.Info.Name, req.Compression = "golden", vault.Fast
	ref, _ := r.backup(req)
	req = r.request(&vaulttest.Volume{Data: volumes[1]}, &ref)
	req.Info.Name, req.Info.Incremental = "golden", true
	r.backup(req)
	if err := os.RemoveAll(golden); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects(t, r.store, "") {
		path := filepath.Join(golden, filepath.FromSlash(o.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content(t, r.store, o), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
