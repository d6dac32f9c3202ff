package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/vaulttest"
)

func sampleRecord() vault.Record {
	r := vault.Record{
		Info: vault.Info{
			Backup: "00000000-0000-4000-8000-000000000001", Project: "p", Volume: "v", Name: "n",
			DataTime: time.Unix(5, 0).UTC(), Extra: json.RawMessage(`{"a":1}`),
		},
		Size: 5 << 20, Height: 1, SourceState: "s", RunsSinceFull: 2,
		Root: maps.Ref{Pack: format.ID{1}, Page: 2, Hash: [32]byte{3}},
	}
	r.Result = vault.Result{Size: r.Size, Read: 1, New: 2, Stored: 3, Objects: 4, ChangeMap: true, Fingerprint: r.Root.Hash}
	return r
}

func TestRecordEncoding(t *testing.T) {
	r := sampleRecord()
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := vault.ParseRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Error(diff)
	}
	for _, change := range [][2]string{
		{`"version":1`, `"version":2`},
		{`"height":1`, `"height":2`},
		{`"block_size":4096`, `"block_size":512`},
		{`"size":5242880`, `"size":-1`},
		{`"size":5242880`, `"size":5242880,"more":1`},
		{`-0001`, `-000`},
		{`"hash":"03`, `"hash":"`},
	} {
		bad := bytes.Replace(b, []byte(change[0]), []byte(change[1]), 1)
		if _, err := vault.ParseRecord(bad); bytes.Equal(bad, b) == (err != nil) {
			t.Errorf("%s: %v", change[1], err)
		}
	}
	if _, err := vault.ParseRecord(append(b, '{')); !errors.Is(err, format.ErrFormat) {
		t.Errorf("a tail: %v", err)
	}
}

func samplePlacements() []vault.Placement {
	return []vault.Placement{
		{Pack: vault.ID{1}, Generation: 1, Kind: vault.DataPack, Object: "a", Length: 10, DirOffset: 5, DirObject: "b", DirAt: 160, Live: 8},
		{Pack: vault.ID{2}, Generation: 3, Kind: vault.PagePack, Object: "c", Offset: 100, Length: 10},
	}
}

func TestPlacementEncoding(t *testing.T) {
	want := samplePlacements()
	got, err := vault.ParsePlacements(vault.AppendPlacements(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzRecord(f *testing.F) {
	r := sampleRecord()
	b, err := r.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := vault.ParseRecord(b)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Skip("what was accepted can be too long once it is encoded")
		}
		if _, err := vault.ParseRecord(again); err != nil {
			t.Error(err)
		}
	})
}

func FuzzPlacements(f *testing.F) {
	f.Add(vault.AppendPlacements(nil, samplePlacements()))
	f.Fuzz(func(t *testing.T, b []byte) {
		places, err := vault.ParsePlacements(b)
		if err == nil && !bytes.Equal(vault.AppendPlacements(nil, places), b) {
			t.Error("the placements aren't what they were")
		}
	})
}

func FuzzState(f *testing.F) {
	r := newRig(f, frequent)
	data := make([]byte, 24<<20)
	fill(newRand(1), data)
	req := r.request(&vaulttest.Volume{Data: data}, nil)
	r.fence.FailCommit(errBroken)
	if _, err := r.vault.Backup(f.Context(), req); !errors.Is(err, errBroken) {
		f.Fatal(err)
	}
	f.Add(r.fence.Checkpointed(req.Session).State)
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := vault.ReparseState(b)
		if err != nil {
			return
		}
		if _, err := vault.ReparseState(again); err != nil {
			t.Error(err)
		}
	})
}
