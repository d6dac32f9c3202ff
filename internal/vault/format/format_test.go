package format_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdfast/internal/vault/format"
)

func sampleHeader() format.Header {
	return format.Header{
		Kind: format.KindDataPack, KeyVersion: 3, Generation: 2, DigestLen: format.DigestSize, LockedUntil: -5,
		Vault: format.ID{1}, Incarnation: format.ID{2}, Identity: format.ID{3}, Session: format.ID{4}, Salt: [32]byte{5},
	}
}

func TestHeader(t *testing.T) {
	h := sampleHeader()
	b := h.Append(nil)
	if len(b) != format.HeaderSize {
		t.Fatalf("%d bytes", len(b))
	}
	got, err := format.ParseHeader(b, format.KindDataPack)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, got); diff != "" {
		t.Error(diff)
	}
	if _, err := format.ParseHeader(b, format.KindPagePack); !errors.Is(err, format.ErrFormat) {
		t.Errorf("another kind: %v", err)
	}
	// Magic, kind, version, flags, digest length and reserved bytes are all checked.
	for _, at := range []int{0, 7, 8, 9, 10, 11, 12, 15, 24, 25, 31, 136, 159} {
		bad := bytes.Clone(b)
		bad[at] ^= 0x40
		if _, err := format.ParseHeader(bad, format.KindDataPack); !errors.Is(err, format.ErrFormat) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
	h.DigestLen = 0
	if _, err := format.ParseHeader(h.Append(nil), format.KindDataPack); err == nil {
		t.Error("a pack without digest length is accepted")
	}
}

func TestFooter(t *testing.T) {
	entries := []format.FooterEntry{
		{Pack: format.ID{1}, Generation: 1, Kind: format.KindDataPack, Length: 1000, DirOffset: 700},
		{Pack: format.ID{2}, Generation: 9, Kind: format.KindPagePack, Offset: 1000, Length: 500, DirOffset: 340},
	}
	body := make([]byte, 1500)
	object := format.AppendFooter(body, entries)
	n, err := format.ParseTrailer(object[len(object)-format.TrailerSize:])
	if err != nil || n != format.FooterSize(2) {
		t.Fatal(n, err)
	}
	footer := object[len(object)-n:]
	got, err := format.ParseFooter(footer, int64(len(object)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entries, got); diff != "" {
		t.Error(diff)
	}
	for at := range footer {
		bad := bytes.Clone(footer)
		bad[at] ^= 1
		if _, err := format.ParseFooter(bad, int64(len(object))); !errors.Is(err, format.ErrFormat) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
	if _, err := format.ParseFooter(footer, int64(len(object))-1); err == nil {
		t.Error("an entry outside its object is accepted")
	}
}

func TestDirectory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		containers := make([][]format.Group, rapid.IntRange(0, format.PackContainers).Draw(t, "containers"))
		offset := uint32(format.HeaderSize)
		for c := range containers {
			containers[c] = make([]format.Group, rapid.IntRange(0, format.ContainerGroups).Draw(t, "groups"))
			for i := range containers[c] {
				g := &containers[c][i]
				if g.Present = rapid.Uint32().Draw(t, "present"); g.Present == 0 {
					continue
				}
				g.Offset, g.Length = offset, uint32(g.Blocks()*format.BlockSize+format.TagSize)
				if rapid.Bool().Draw(t, "compressed") {
					g.Codec = format.Zstd
					g.Length /= 2
				}
				offset += g.Length
			}
		}
		b := format.AppendSummary(nil, containers)
		got, err := format.ParseSummary(b, int64(offset))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(containers, got); diff != "" {
			t.Error(diff)
		}
		if offset > format.HeaderSize {
			if _, err := format.ParseSummary(b, int64(offset)-1); !errors.Is(err, format.ErrFormat) {
				t.Errorf("a group behind the end: %v", err)
			}
		}
		for _, groups := range containers {
			digests := make([]format.Digest, len(groups)*format.GroupBlocks)
			for i := range digests {
				if groups[i/format.GroupBlocks].Has(i % format.GroupBlocks) {
					digests[i] = format.Digest{byte(i), byte(i >> 8), 1}
				}
			}
			list := format.AppendDigests(nil, groups, digests)
			got, err := format.ParseDigests(list, groups)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(digests, got); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestRank(t *testing.T) {
	g := format.Group{Present: 0b1011_0100}
	for slot, want := range map[int]int{2: 0, 4: 1, 5: 2, 7: 3} {
		if !g.Has(slot) || g.Rank(slot) != want {
			t.Errorf("slot %d: present %v, rank %d", slot, g.Has(slot), g.Rank(slot))
		}
	}
}

func TestRecordName(t *testing.T) {
	n := format.RecordName{Vault: format.ID{1}, Backup: format.ID{2, 0xab}, Attempt: 17, Random: format.ID{3}}
	got, err := format.ParseRecordName(n.String())
	if err != nil || got != n {
		t.Fatal(got, err)
	}
	for _, bad := range []string{"", "vaults/x/records/y", n.String() + "0", n.String()[:len(n.String())-1], "x" + n.String()} {
		if _, err := format.ParseRecordName(bad); !errors.Is(err, format.ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	h := sampleHeader()
	f.Add(h.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := format.ParseHeader(b, format.KindDataPack)
		if err == nil && !bytes.Equal(h.Append(nil), b[:format.HeaderSize]) {
			t.Error("the header isn't what it was")
		}
	})
}

func FuzzFooter(f *testing.F) {
	f.Add(format.AppendFooter(nil, []format.FooterEntry{{Generation: 1, Kind: format.KindDataPack, Length: 200}}), int64(1<<20))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		entries, err := format.ParseFooter(b, size)
		if err == nil && !bytes.Equal(format.AppendFooter(nil, entries), b) {
			t.Error("the footer isn't what it was")
		}
	})
}

func FuzzSummary(f *testing.F) {
	f.Add(format.AppendSummary(nil, [][]format.Group{{{Present: 3, Offset: 160, Length: 100, Codec: format.S2}}, {}}), int64(1000))
	f.Fuzz(func(t *testing.T, b []byte, end int64) {
		containers, err := format.ParseSummary(b, end)
		if err == nil && !bytes.Equal(format.AppendSummary(nil, containers), b) {
			t.Error("the summary isn't what it was")
		}
	})
}

func FuzzRecordName(f *testing.F) {
	f.Add(format.RecordName{Attempt: 1}.String())
	f.Fuzz(func(t *testing.T, name string) {
		n, err := format.ParseRecordName(name)
		if err == nil && n.String() != name {
			t.Errorf("%q became %q", name, n.String())
		}
	})
}
