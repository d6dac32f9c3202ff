package vault_test

import (
	"bytes"
	"testing"

	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

func TestNeighboursAreFound(t *testing.T) {
	rng := newRand(21)
	data := make([]byte, 36<<20)
	fill(rng, data)
	// Another volume with the same content, moved by 3 blocks, in other order.
	other := make([]byte, len(data)+1<<20)
	copy(other[3*4096:], data[20<<20:])
	copy(other[16<<20+5*4096:], data[:20<<20])

	store, fence := mem.New(), vaulttest.NewFence()
	dir := t.TempDir()
	config := func(cfg *vault.Config) {
		cfg.Store, cfg.Fence = store, fence
		cfg.Index = vault.NewIndex(vault.IndexConfig{Dir: dir})
	}
	r := newRig(t, config)
	r.fence = fence
	r.backup(r.request(&vaulttest.Volume{Data: data}, nil))

	for _, index := range []string{"warm", "from the store", "from the cache"} {
		if index != "warm" {
			r.open(config)
		}
		if index == "from the cache" {
			for _, o := range objects(t, store, "index") {
				if err := store.Delete(t.Context(), o.Name); err != nil {
					t.Fatal(err)
				}
			}
		}
		req := r.request(&vaulttest.Volume{Data: other}, nil)
		ref, result := r.backup(req)
		if result.New > 1<<20 {
			t.Errorf("index %s: %d bytes of a known volume were new", index, result.New)
		}
		r.same(ref, other)
	}

	fence.CondemnAll()
	r.open(config)
	ref, result := r.backup(r.request(&vaulttest.Volume{Data: other}, nil))
	if result.New < 35<<20 {
		t.Errorf("only %d bytes were stored again, though all packs are condemned", result.New)
	}
	r.same(ref, other)
}

func TestRepeatsInsideAVolumeAreStoredOnce(t *testing.T) {
	rng := newRand(22)
	data := make([]byte, 64<<20)
	fill(rng, data[:24<<20])
	copy(data[40<<20:], data[:24<<20])
	r := newRig(t)
	ref, result := r.backup(r.request(&vaulttest.Volume{Data: data, Holes: 4096}, nil))
	if result.New > 25<<20 {
		t.Errorf("%d bytes are new of 24 MiB that stand there twice", result.New)
	}
	r.same(ref, data)
}

func TestGonePackIsStoredAgain(t *testing.T) {
	data := make([]byte, 9<<20)
	fill(newRand(23), data)
	r := newRig(t)
	ref1, _ := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
	for _, o := range objects(t, r.store, "packs") {
		if err := r.store.Delete(t.Context(), o.Name); err != nil {
			t.Fatal(err)
		}
	}
	rec, err := r.vault.Record(t.Context(), ref1)
	if err != nil {
		t.Fatal(err)
	}
	for _, changes := range []*vault.ChangeMap{nil, {Since: rec.SourceState}} {
		req := r.request(&vaulttest.Volume{Data: data}, &ref1)
		req.Changes = changes
		ref2, result := r.backup(req)
		r.same(ref2, data)
		if changes == nil && result.New != int64(len(data)) {
			t.Errorf("%d bytes were stored again", result.New)
		}
	}
}

// TestTenthRunReadsEverything takes an honest map's word nine times.
func TestTenthRunReadsEverything(t *testing.T) {
	const size = 100 << 20
	data := make([]byte, size)
	rng := newRand(24)
	for off := 0; off < size; off += 1 << 20 {
		fill(rng, data[off:off+4096])
	}
	r := newRig(t)
	req := r.request(&vaulttest.Volume{Data: data}, nil)
	ref, _ := r.backup(req)
	for run := 1; run <= 11; run++ {
		changes := &vault.ChangeMap{Since: req.SourceState}
		req = r.request(&vaulttest.Volume{Data: data}, &ref)
		req.Changes = changes
		var result vault.Result
		ref, result = r.backup(req)
		full := run == 10
		if result.ChangeMap == full || (result.Read == size) != full {
			t.Errorf("run %d: %+v", run, result)
		}
		if !full && result.Read > 65<<20 {
			t.Errorf("run %d: the audit read %d bytes", run, result.Read)
		}
	}
	r.same(ref, data)
}

func TestVaultsShareNothing(t *testing.T) {
	data := make([]byte, 6<<20)
	fill(newRand(25), data)
	store := mem.New()
	index := vault.NewIndex(vault.IndexConfig{})
	var results []vault.Result
	for i := range 2 {
		r := &rig{t: t, store: store, fence: vaulttest.NewFence(), id: vault.ID{byte(i + 1)}, backups: 10 * i}
		r.open(func(cfg *vault.Config) { cfg.Index = index })
		ref, result := r.backup(r.request(&vaulttest.Volume{Data: data}, nil))
		r.same(ref, data)
		results = append(results, result)
		// The other vault's record can't be read.
		other := &rig{t: t, store: store, fence: r.fence, id: vault.ID{9}}
		other.open()
		if _, err := other.vault.Record(t.Context(), ref); err == nil {
			t.Error("a record was read by another vault")
		}
	}
	if results[0].New != results[1].New || results[1].New != int64(len(data)) {
		t.Errorf("the second vault stored %d bytes, the first %d", results[1].New, results[0].New)
	}
	if results[0].Fingerprint == results[1].Fingerprint {
		t.Error("the vaults know the volume under one hash")
	}
	// Nor do their objects share bytes, but for the first fields of headers.
	const window = 48
	seen := map[string]string{}
	for _, o := range objects(t, store, "") {
		b := content(t, store, o)
		for off := format.HeaderSize; off+window <= len(b); off += window {
			seen[string(b[off:off+window])] = o.Name
		}
	}
	for _, o := range objects(t, store, "packs") {
		b := content(t, store, o)
		for off := 0; off+window <= len(b); off++ {
			if name, ok := seen[string(b[off:off+window])]; ok && name[:40] != o.Name[:40] {
				t.Fatalf("%s holds bytes of %s", o.Name, name)
			}
		}
	}
}

// TestNothingIsInTheClear looks for content and names in the store.
func TestNothingIsInTheClear(t *testing.T) {
	canary := []byte("CANARY-of-content-that-nobody-may-see")
	name := []byte("canary volume's name")
	data := bytes.Repeat([]byte{0}, 6<<20)
	for off := 0; off < len(data)-len(canary); off += 4096 {
		copy(data[off:], canary)
	}
	copy(data[3<<20:], bytes.Repeat(canary, 20000))
	r := newRig(t, frequent)
	for _, how := range []vault.Compression{vault.Fast, vault.Small} {
		req := r.request(&vaulttest.Volume{Data: data}, nil)
		req.Compression = how
		req.Info.VolumeName, req.Info.Name, req.Info.Project = string(name), string(name), string(name)
		req.SourceState = string(name)
		ref, _ := r.backup(req)
		rec, err := r.vault.Record(t.Context(), ref)
		if err != nil || rec.Info.VolumeName != string(name) {
			t.Fatal(rec.Info, err)
		}
	}
	for _, o := range objects(t, r.store, "") {
		b := content(t, r.store, o)
		for _, secret := range [][]byte{canary[:12], name, []byte(`"version"`), bytes.Repeat([]byte{0}, 64)} {
			if bytes.Contains(b, secret) {
				t.Errorf("%s holds %q", o.Name, secret)
			}
		}
		if bytes.Contains([]byte(o.Name), []byte("canary")) {
			t.Error(o.Name)
		}
	}
}

// TestKeysAreNeverUsedTwice collects what keys are derived from.
func TestKeysAreNeverUsedTwice(t *testing.T) {
	data := make([]byte, 24<<20)
	fill(newRand(26), data)
	r := newRig(t, frequent)
	req := r.request(&vaulttest.Volume{Data: data}, nil)
	for range 3 { // an attempt that fails at the end seals the same blocks anew
		r.fence.FailCommit(errBroken)
		req.SourceState = ""
		if _, err := r.vault.Backup(t.Context(), req); err == nil {
			t.Fatal("no error")
		}
		req.Session.Token++
	}
	r.backup(req)
	salts := map[[32]byte]string{}
	for _, o := range objects(t, r.store, "") {
		b := content(t, r.store, o)
		salt := [32]byte(b[104:136])
		if other, ok := salts[salt]; ok || salt == [32]byte{} {
			t.Errorf("%s and %s have one salt", o.Name, other)
		}
		salts[salt] = o.Name
	}
}
