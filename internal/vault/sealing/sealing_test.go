package sealing_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/sealing"
	"holdfast/internal/vault/vaulttest"
)

func header() format.Header {
	return format.Header{
		Kind: format.KindDataPack, KeyVersion: 1, Generation: 1, DigestLen: format.DigestSize,
		Vault: format.ID{1}, Incarnation: format.ID{2}, Identity: format.ID{3}, Session: format.ID{4}, Salt: [32]byte{5},
	}
}

func box(t *testing.T, label sealing.Label, h format.Header) *sealing.Box {
	t.Helper()
	b, err := sealing.New(vaulttest.Keys{Vault: format.ID{1}, Versions: 2}, label, &h)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKnownAnswers fixes what is derived and sealed, for good. Another
// implementation computed the same.
func TestKnownAnswers(t *testing.T) {
	for _, c := range []struct {
		version uint32
		label   sealing.Label
		part    sealing.Part
		number  uint64
		want    string
	}{
		{1, sealing.PackLabel, sealing.GroupPart, 0, "4139673eea862de07651bde0d0d1e40772a3c8aef42b7252"},
		{1, sealing.PackLabel, sealing.GroupPart, 255, "3439ad384fbdafa31f598a08eb8f7577e7e66f951f2ae813"},
		{1, sealing.DirectoryLabel, sealing.SummaryPart, 0, "2c871dab7e237a8df2a8350307e4edd3f244949452d60d6a"},
		{1, sealing.DirectoryLabel, sealing.DigestsPart, 7, "cc9e47c2598ea4ad1bc9a12a7fb2b4b1661de8affe44e61a"},
		{1, sealing.RecordLabel, sealing.WholePart, 0, "bf06a1c0d01c9f839d55ece3fdc13af013148972078b5650"},
		{1, sealing.PageLabel, sealing.PagePart, 65535, "e26a806d46c962423c6503a177d88220163e74bbd29c02e6"},
		{1, sealing.PlacementLabel, sealing.WholePart, 0, "63b3bdca5ad96adc7677f8b1a862fb2ca34522eaa2d5435a"},
		{1, sealing.IndexLabel, sealing.WholePart, 0, "e39cddecaface4568e0da5d04dc5abefd0287ce4508feb79"},
		{2, sealing.PackLabel, sealing.GroupPart, 0, "ee3455e194835ff3dc40cb5ffb47f91e78495b213b5a2812"},
	} {
		h := header()
		h.KeyVersion = c.version
		b := box(t, c.label, h)
		sealed := b.Seal(nil, []byte("holdfast"), c.part, c.number)
		if got := hex.EncodeToString(sealed); got != c.want {
			t.Errorf("%s, part %d, number %d: %s", c.label, c.part, c.number, got)
		}
		plain, err := b.Open(nil, sealed, c.part, c.number)
		if err != nil || string(plain) != "holdfast" {
			t.Errorf("%s: %q, %v", c.label, plain, err)
		}
	}
}

// TestSealsBind changes one thing at a time between sealing and opening.
func TestSealsBind(t *testing.T) {
	sealed := box(t, sealing.PackLabel, header()).Seal(nil, []byte("holdfast"), sealing.GroupPart, 3)
	other := func(change func(*format.Header)) format.Header {
		h := header()
		change(&h)
		return h
	}
	for name, h := range map[string]format.Header{
		"kind":         other(func(h *format.Header) { h.Kind = format.KindPagePack }),
		"key version":  other(func(h *format.Header) { h.KeyVersion = 2 }),
		"generation":   other(func(h *format.Header) { h.Generation = 2 }),
		"locked-until": other(func(h *format.Header) { h.LockedUntil = 1 }),
		"incarnation":  other(func(h *format.Header) { h.Incarnation[15]++ }),
		"identity":     other(func(h *format.Header) { h.Identity[15]++ }),
		"session":      other(func(h *format.Header) { h.Session[15]++ }),
		"salt":         other(func(h *format.Header) { h.Salt[31]++ }),
	} {
		if _, err := box(t, sealing.PackLabel, h).Open(nil, sealed, sealing.GroupPart, 3); !errors.Is(err, sealing.ErrSeal) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	b := box(t, sealing.PackLabel, header())
	if _, err := b.Open(nil, sealed, sealing.GroupPart, 4); !errors.Is(err, sealing.ErrSeal) {
		t.Errorf("another number: %v", err)
	}
	if _, err := b.Open(nil, sealed, sealing.PagePart, 3); !errors.Is(err, sealing.ErrSeal) {
		t.Errorf("another part: %v", err)
	}
	if _, err := box(t, sealing.PageLabel, header()).Open(nil, sealed, sealing.GroupPart, 3); !errors.Is(err, sealing.ErrSeal) {
		t.Errorf("another label: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 0x10
		if _, err := b.Open(nil, bad, sealing.GroupPart, 3); !errors.Is(err, sealing.ErrSeal) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestHeadersThatNoKeyFits(t *testing.T) {
	keys := vaulttest.Keys{Vault: format.ID{1}}
	for name, c := range map[string]struct {
		change func(*format.Header)
		want   error
	}{
		"another vault":       {func(h *format.Header) { h.Vault = format.ID{9} }, sealing.ErrSeal},
		"an unknown version":  {func(h *format.Header) { h.KeyVersion = 2 }, sealing.ErrKeyVersion},
		"the naming secret's": {func(h *format.Header) { h.KeyVersion = 0 }, sealing.ErrKeyVersion},
	} {
		h := header()
		c.change(&h)
		if _, err := sealing.New(keys, sealing.PackLabel, &h); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
