package vault_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/vault"
	"holdfast/internal/vault/vaulttest"
)

// machine is a volume, the backups taken of it, and what each must restore to.
type machine struct {
	*rig
	data    []byte
	backups []taken
}

type taken struct {
	ref   vault.RecordRef
	state string
	data  []byte
}

const modelSize = 6 << 20 // at most; two leaves

func (m *machine) rangeIn(t *rapid.T) (from, to int) {
	if len(m.data) == 0 {
		return 0, 0
	}
	from = rapid.IntRange(0, len(m.data)-1).Draw(t, "from")
	n := rapid.OneOf(rapid.IntRange(1, 9000), rapid.IntRange(1, 6<<20)).Draw(t, "length")
	if rapid.Bool().Draw(t, "aligned") {
		from = from / 4096 * 4096
		n = (n + 4095) / 4096 * 4096
	}
	return from, min(len(m.data), from+n)
}

// Write writes data that is new.
func (m *machine) Write(t *rapid.T) {
	from, to := m.rangeIn(t)
	fill(newRand(rapid.Uint64().Draw(t, "seed")), m.data[from:to])
}

// Copy writes data that is there already.
func (m *machine) Copy(t *rapid.T) {
	from, to := m.rangeIn(t)
	at, _ := m.rangeIn(t)
	copy(m.data[at:], m.data[from:to])
}

// Zero zeroes a range.
func (m *machine) Zero(t *rapid.T) {
	from, to := m.rangeIn(t)
	clear(m.data[from:to])
}

// Resize grows or shrinks the volume.
func (m *machine) Resize(t *rapid.T) {
	n := rapid.IntRange(0, modelSize).Draw(t, "size")
	if n <= len(m.data) {
		m.data = m.data[:n:n]
		return
	}
	m.data = append(m.data[:len(m.data):len(m.data)], make([]byte, n-len(m.data))...)
}

// Backup backs the volume up, with or without parent and change map.
func (m *machine) Backup(t *rapid.T) {
	src := &vaulttest.Volume{Data: bytes.Clone(m.data), Holes: rapid.SampledFrom([]int{0, 512, 4096, 65536}).Draw(t, "holes")}
	var parent *taken
	if len(m.backups) > 0 && rapid.IntRange(0, 3).Draw(t, "parent") > 0 {
		parent = &m.backups[rapid.IntRange(0, len(m.backups)-1).Draw(t, "of")]
	}
	var ref *vault.RecordRef
	if parent != nil {
		ref = &parent.ref
	}
	req := m.request(src, ref)
	req.Compression = rapid.SampledFrom([]vault.Compression{vault.Auto, vault.Fast, vault.Balanced, vault.Small}).Draw(t, "compression")
	lie := false
	if parent != nil {
		switch rapid.SampledFrom([]string{"none", "exact", "wide", "lie", "stale"}).Draw(t, "map") {
		case "exact":
			req.Changes = &vault.ChangeMap{Since: parent.state, Extents: differ(parent.data, m.data)}
		case "wide":
			req.Changes = &vault.ChangeMap{Since: parent.state, Extents: m.widen(t, differ(parent.data, m.data))}
		case "lie":
			ext := differ(parent.data, m.data)
			if len(ext) > 0 {
				i := rapid.IntRange(0, len(ext)-1).Draw(t, "left out")
				// Blocks behind the smaller size are read whatever the map says.
				from := int64(min(len(parent.data), len(m.data))) / (4 << 20) * (4 << 20)
				lie = len(parent.data) == len(m.data) || ext[i].Offset < from
				ext = append(ext[:i:i], ext[i+1:]...)
			}
			req.Changes = &vault.ChangeMap{Since: parent.state, Extents: ext}
		case "stale":
			req.Changes = &vault.ChangeMap{Since: "another state"}
			if _, err := m.vault.Backup(m.t.Context(), req); !errors.Is(err, vault.ErrStaleChangeMap) {
				t.Fatalf("a map of another state: %v", err)
			}
			return
		}
	}
	result, err := m.vault.Backup(m.t.Context(), req)
	if err != nil {
		t.Fatalf("backup: %v", err)
	}
	if result.MapLied && !lie {
		t.Fatal("an honest map is called a lie")
	}
	if lie && result.ChangeMap {
		t.Fatal("a lie was not found, though the audit reads all of so small a volume")
	}
	m.backups = append(m.backups, taken{m.fence.Committed(req.Session).Record, req.SourceState, src.Data})
}

// Delete removes a backup.
func (m *machine) Delete(t *rapid.T) {
	if len(m.backups) == 0 {
		t.Skip("no backup")
	}
	i := rapid.IntRange(0, len(m.backups)-1).Draw(t, "which")
	m.remove(m.backups[i].ref)
	if _, err := m.restored(m.backups[i].ref, modelSize); !errors.Is(err, vault.ErrCorrupt) {
		t.Fatalf("restore of a removed backup: %v", err)
	}
	m.backups = append(m.backups[:i:i], m.backups[i+1:]...)
}

// Forget opens the vault with an empty index, or with all packs condemned.
func (m *machine) Forget(t *rapid.T) {
	if rapid.Bool().Draw(t, "condemn") {
		m.fence.CondemnAll()
	}
	m.open()
}

// Restore compares what all backups restore to.
func (m *machine) Restore(t *rapid.T) {
	for i, b := range m.backups {
		got, err := m.restored(b.ref, len(b.data)+4096)
		if err != nil {
			t.Fatalf("restore %d: %v", i, err)
		}
		if !bytes.Equal(got[:len(b.data)], b.data) {
			t.Fatalf("backup %d restores to other bytes", i)
		}
		if !bytes.Equal(got[len(b.data):], bytes.Repeat([]byte{0xa5}, 4096)) {
			t.Fatalf("restore of backup %d wrote behind its end", i)
		}
	}
}

// differ returns the blocks that differ between two volumes, as extents.
func differ(a, b []byte) []vault.Extent {
	var out []vault.Extent
	block := func(v []byte, off int) []byte { return v[min(off, len(v)):min(off+4096, len(v))] }
	for off := 0; off < len(b); off += 4096 {
		if bytes.Equal(block(a, off), block(b, off)) {
			continue
		}
		n := int64(len(block(b, off)))
		if k := len(out); k > 0 && out[k-1].Offset+out[k-1].Length == int64(off) {
			out[k-1].Length += n
			continue
		}
		out = append(out, vault.Extent{Offset: int64(off), Length: n})
	}
	return out
}

// widen adds extents in which nothing changed.
func (m *machine) widen(t *rapid.T, ext []vault.Extent) []vault.Extent {
	var out []vault.Extent
	at := int64(0)
	for _, e := range append(ext, vault.Extent{Offset: int64(len(m.data))}) {
		if gap := e.Offset - at; gap > 1 && rapid.Bool().Draw(t, "widen") {
			from := at + rapid.Int64Range(0, gap-1).Draw(t, "gap")
			out = append(out, vault.Extent{Offset: from, Length: e.Offset - from})
		}
		if e.Length > 0 {
			out = append(out, e)
		}
		at = e.Offset + e.Length
	}
	return out
}

// TestModel compares backups with a byte array. A failure prints the seed that
// -rapid.seed replays.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{rig: newRig(t)}
		m.data = volume(rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)), rapid.IntRange(1, modelSize).Draw(rt, "size"))
		rt.Repeat(map[string]func(*rapid.T){
			"write": m.Write, "copy": m.Copy, "zero": m.Zero, "resize": m.Resize,
			"backup": m.Backup, "backup again": m.Backup, "delete": m.Delete, "forget": m.Forget, "restore": m.Restore,
		})
		m.Restore(rt)
	})
}
