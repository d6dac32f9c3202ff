package pack_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/pack"
	"holdfast/internal/vault/vaulttest"
)

func TestSummary(t *testing.T) {
	d := sample()
	b := d.Append(nil, box(t, &d.Header))
	keys := vaulttest.Keys{Vault: format.ID{1}}
	want := pack.Expected{Pack: format.ID{2}, Generation: 1, DirOffset: 1000}
	n := format.HeaderSize + 4 + 4 + 3*(4+2*16) + format.TagSize // what follows isn't needed
	for _, part := range [][]byte{b, b[:n]} {
		got, err := pack.OpenSummary(keys, want, part)
		if err != nil {
			t.Fatal(err)
		}
		for i, groups := range got {
			if diff := cmp.Diff(d.Containers[i].Groups, groups); diff != "" {
				t.Error(diff)
			}
		}
	}
	for at := range n {
		bad := bytes.Clone(b)
		bad[at] ^= 4
		if _, err := pack.OpenSummary(keys, want, bad); err == nil {
			t.Fatalf("byte %d changed, and nobody noticed", at)
		}
		if _, err := pack.OpenSummary(keys, want, b[:at]); err == nil {
			t.Fatalf("%d bytes are enough", at)
		}
	}
}
