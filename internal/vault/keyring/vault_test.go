package keyring_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault/keyring"
)

func create(t testing.TB, s blob.Store, m *keyring.Master, vault [16]byte, rand io.Reader) *keyring.Vault {
	t.Helper()
	keys, err := keyring.CreateVault(context.Background(), newVault(s, m, vault, rand, &choice{}))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newVault(s blob.Store, m *keyring.Master, vault [16]byte, rand io.Reader, c *choice) keyring.NewVault {
	return keyring.NewVault{Store: s, Master: m, Vault: vault, Rand: rand, Choose: c.choose}
}

// choice is a set, once one has been chosen.
type choice struct{ set *[16]byte }

func (c *choice) choose(_ context.Context, set [16]byte) ([16]byte, error) {
	if c.set == nil {
		c.set = &set
	}
	return *c.set, nil
}

// fingerprint tells the keys of vaults apart: the naming secret's and those of
// all versions.
func fingerprint(v *keyring.Vault) string {
	s := fmt.Sprintf("%x", v.ID())
	for version := range v.Current() + 1 {
		s += fmt.Sprintf(" %x", v.Derive(version, "test", nil, 8))
	}
	return s
}

func TestCreateThenOpen(t *testing.T) {
	s, m := mem.New(), newMaster(t, 1)
	made := create(t, s, m, [16]byte{1}, random(2))
	opened := open(t, s, m, [16]byte{1})
	if fingerprint(made) != fingerprint(opened) {
		t.Error("other keys were opened than made")
	}
	if made.ID() != [16]byte{1} || made.Current() != 1 {
		t.Errorf("vault %x, version %d", made.ID(), made.Current())
	}
	before := blobtest.List(t, s, "")
	if again := create(t, s, m, [16]byte{1}, random(3)); fingerprint(again) != fingerprint(made) {
		t.Error("a second CreateVault made other keys")
	}
	if diff := cmp.Diff(before, blobtest.List(t, s, "")); diff != "" {
		t.Errorf("a second CreateVault changed objects (-before +after):\n%s", diff)
	}
	for name := range before {
		if !strings.HasPrefix(name, "vaults/01000000000000000000000000000000/keys/") {
			t.Errorf("object %s", name)
		}
	}
}

func TestDerive(t *testing.T) {
	s, m := mem.New(), newMaster(t, 1)
	a, b := create(t, s, m, [16]byte{1}, random(2)), create(t, s, m, [16]byte{2}, random(3))
	seen := make(map[string]string)
	for _, v := range []*keyring.Vault{a, b} {
		for version := range uint32(2) {
			for _, label := range []string{"", "a", "ab", "b"} {
				for _, ctx := range []string{"", "a", "b", "ab"} {
					key, what := string(v.Derive(version, label, []byte(ctx), 32)), fmt.Sprintf("%s %d %q %q", v, version, label, ctx)
					if other, ok := seen[key]; ok || len(key) != 32 {
						t.Errorf("%s gives %d bytes, as %s", what, len(key), other)
					}
					seen[key] = what
				}
			}
		}
	}
	for what, got := range map[string][]byte{
		"unknown version": a.Derive(2, "a", nil, 32),
		"no size":         a.Derive(1, "a", nil, 0),
		"negative size":   a.Derive(1, "a", nil, -1),
		"large size":      a.Derive(1, "a", nil, 8161),
		"long label":      a.Derive(1, strings.Repeat("a", 256), nil, 32),
	} {
		if got != nil {
			t.Errorf("%s gives %d bytes", what, len(got))
		}
	}
	if got := a.Derive(1, strings.Repeat("a", 255), nil, 8160); len(got) != 8160 {
		t.Errorf("largest label and size give %d bytes", len(got))
	}
}

func TestOpenErrors(t *testing.T) {
	ctx, m := context.Background(), newMaster(t, 1)
	full := mem.New()
	create(t, full, m, [16]byte{1}, random(2))

	_, err := keyring.OpenVault(ctx, full, newMaster(t, 9), [16]byte{1})
	if !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := keyring.CreateVault(ctx, newVault(full, newMaster(t, 9), [16]byte{1}, random(3), &choice{})); !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("CreateVault with another master key: %v", err)
	}
	if _, err := keyring.OpenVault(ctx, full, m, [16]byte{2}); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("another vault: %v", err)
	}
	for left := range blobtest.List(t, full, "") {
		s := mem.New()
		blobtest.Put(t, s, left, blobtest.Get(t, full, left))
		if _, err := keyring.OpenVault(ctx, s, m, [16]byte{1}); !errors.Is(err, keyring.ErrMissing) {
			t.Errorf("with nothing but %s: %v", left, err)
		}
	}
	failed := errors.New("failed")
	for _, op := range []fault.Op{fault.List, fault.Stat, fault.Get} {
		s := fault.New(full, fault.Fault{Op: op, Err: failed})
		if _, err := keyring.OpenVault(ctx, s, m, [16]byte{1}); !errors.Is(err, failed) {
			t.Errorf("%s fails: %v", op, err)
		}
	}
}

// A vault that has keys but lost its naming secret gets no new one.
func TestCreateRefusesRemains(t *testing.T) {
	s, m := mem.New(), newMaster(t, 1)
	create(t, s, m, [16]byte{1}, random(2))
	for name := range blobtest.List(t, s, "") {
		if strings.Contains(name, "/naming-") {
			if err := s.Delete(context.Background(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := keyring.CreateVault(context.Background(), newVault(s, m, [16]byte{1}, random(3), &choice{})); !errors.Is(err, keyring.ErrMissing) {
		t.Errorf("error %v", err)
	}
}

// Whatever bit is changed, no other key comes out.
func TestFlippedBit(t *testing.T) {
	v, m, id := readVectors(t)
	for name, content := range v.Objects {
		good := unhex(t, content)
		for i := range len(good) * 8 {
			bad := slices.Clone(good)
			bad[i/8] ^= 1 << (i % 8)
			s := vectorStore(t, v)
			replace(t, s, name, bad)
			_, err := keyring.OpenVault(context.Background(), s, m, id)
			if !errors.Is(err, keyring.ErrWrongKey) && !errors.Is(err, keyring.ErrCorrupt) {
				t.Fatalf("bit %d of %s: %v", i, name, err)
			}
		}
	}
}

// A recovery identity gets the keys, or an error, and never other keys.
func TestFlippedBitForRecovery(t *testing.T) {
	v, _, id := readVectors(t)
	identity, s := recoveryVectors(t, v)
	want := fingerprint(open(t, s, identity, id))
	for name, content := range v.Recovery.Objects {
		good := unhex(t, content)
		for i := range good {
			bad := slices.Clone(good)
			bad[i] ^= 1 << (i % 8)
			replace(t, s, name, bad)
			keys, err := keyring.OpenVault(context.Background(), s, identity, id)
			if err == nil && fingerprint(keys) != want {
				t.Fatalf("byte %d of %s: other keys", i, name)
			}
			if err != nil && !errors.Is(err, keyring.ErrWrongKey) && !errors.Is(err, keyring.ErrCorrupt) {
				t.Fatalf("byte %d of %s: %v", i, name, err)
			}
		}
		replace(t, s, name, good)
	}
}

// recoveryVectors returns the identity of the vectors, and a store that it
// opens.
func recoveryVectors(t testing.TB, v vectors) (keyring.Opener, *mem.Store) {
	t.Helper()
	identity, err := keyring.OpenCheaply([]byte(v.Recovery.Identity), "")
	if err != nil {
		t.Fatal(err)
	}
	s := mem.New()
	for name, content := range v.Recovery.Objects {
		blobtest.Put(t, s, name, unhex(t, content))
	}
	return identity, s
}

func FuzzOpenForRecovery(f *testing.F) {
	v, _, _ := readVectors(f)
	identity, _ := recoveryVectors(f, v)
	kept := make(map[string]bool)
	for _, content := range v.Recovery.Objects {
		b := unhex(f, content)
		f.Add(b)
		plain, err := keyring.OpenObject(b, identity)
		if err != nil {
			f.Fatal(err)
		}
		kept[string(plain)] = true
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := keyring.OpenObject(b, identity)
		if err == nil && !kept[string(plain)] {
			t.Errorf("other keys: %x", b)
		}
		if err != nil && !errors.Is(err, keyring.ErrWrongKey) && !errors.Is(err, keyring.ErrCorrupt) {
			t.Errorf("error %v", err)
		}
	})
}

func replace(t testing.TB, s blob.Store, name string, data []byte) {
	t.Helper()
	if err := s.Delete(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	blobtest.Put(t, s, name, data)
}

// An object under another vault's, set's or version's name does not open.
func TestMovedObject(t *testing.T) {
	s, m := mem.New(), newMaster(t, 1)
	create(t, s, m, [16]byte{1}, random(2))
	create(t, s, m, [16]byte{2}, random(3))
	var names []string
	for name := range blobtest.List(t, s, "") {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, to := range names {
		for _, from := range names {
			if from == to {
				continue
			}
			moved := mem.New()
			for _, name := range names {
				if name == to {
					blobtest.Put(t, moved, to, blobtest.Get(t, s, from))
				} else {
					blobtest.Put(t, moved, name, blobtest.Get(t, s, name))
				}
			}
			for _, id := range [][16]byte{{1}, {2}} {
				_, err := keyring.OpenVault(context.Background(), moved, m, id)
				hit := strings.HasPrefix(to, fmt.Sprintf("vaults/%x/", id))
				if errors.Is(err, keyring.ErrCorrupt) != hit {
					t.Errorf("%s under the name %s, vault %x: %v", from, to, id, err)
				}
			}
		}
	}
}

// Copies for other master keys, and wraps for other recipients, lie beside
// those that open.
func TestOtherRecipients(t *testing.T) {
	v, m, id := readVectors(t)
	want := fingerprint(open(t, vectorStore(t, v), m, id))

	s := mem.New()
	for name, content := range v.Objects {
		blobtest.Put(t, s, name, withRecipient(unhex(t, content)))
	}
	if got := fingerprint(open(t, s, m, id)); got != want {
		t.Error("a second recipient changes the keys")
	}

	for _, first := range []bool{true, false} {
		s, digit := vectorStore(t, v), "f"
		if first {
			digit = "0"
		}
		for name, content := range v.Objects {
			damaged := unhex(t, content)
			damaged[len(damaged)-1] ^= 1
			at := strings.LastIndexByte(name, '-') + 1
			blobtest.Put(t, s, name[:at]+strings.Repeat(digit, 32), damaged)
		}
		if got := fingerprint(open(t, s, m, id)); got != want {
			t.Errorf("a damaged copy, first %v, changes the keys", first)
		}
	}
}

// withRecipient adds a wrap for an age recipient in front of a key object's
// own.
func withRecipient(b []byte) []byte {
	const list = 168
	out := append(slices.Clone(b[:list]), 2, 0, 0, 0, 5, 0, 0, 0)
	out = append(out, bytes.Repeat([]byte{7}, 16)...)
	out = append(out, "hello"...)
	out = append(out, b[list:]...)
	binary.LittleEndian.PutUint16(out[164:], 2)
	return out
}

func TestListVaults(t *testing.T) {
	ctx, s, m := context.Background(), mem.New(), newMaster(t, 1)
	if got, err := keyring.ListVaults(ctx, s); err != nil || len(got) != 0 {
		t.Errorf("empty store: %v, %v", got, err)
	}
	for _, b := range []byte{3, 1, 2} {
		create(t, s, m, [16]byte{b}, random(b))
	}
	for _, stranger := range []string{
		"vaults/04000000000000000000000000000000/packs/x", "vaults/x/keys/naming-0-x-y", "other", "vaults/keys",
		"vaults/05000000000000000000000000000000/keys/naming-1-" + strings.Repeat("0", 32) + "-" + strings.Repeat("0", 32),
		"vaults/06000000000000000000000000000000/keys/vault-01-" + strings.Repeat("0", 32) + "-" + strings.Repeat("0", 32),
	} {
		blobtest.Put(t, s, stranger, nil)
	}
	got, err := keyring.ListVaults(ctx, s)
	if diff := cmp.Diff([][16]byte{{1}, {2}, {3}}, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	failed := errors.New("failed")
	if _, err := keyring.ListVaults(ctx, fault.New(s, fault.Fault{Op: fault.List, Err: failed})); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
}

func FuzzKeyObject(f *testing.F) {
	v, _, _ := readVectors(f)
	for _, content := range v.Objects {
		f.Add(unhex(f, content))
		f.Add(withRecipient(unhex(f, content)))
	}
	for _, content := range v.Recovery.Objects {
		f.Add(unhex(f, content))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := keyring.Reencode(b)
		if err != nil {
			if !errors.Is(err, keyring.ErrCorrupt) {
				t.Errorf("error %v", err)
			}
			return
		}
		if !bytes.Equal(b, again) {
			t.Errorf("%x was encoded as %x", b, again)
		}
	})
}
