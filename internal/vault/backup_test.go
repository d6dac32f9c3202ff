package vault_test

import (
	"bytes"
	"testing"

	"holdfast/internal/vault/vaulttest"
)

func TestBackupComesBack(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 1 << 20, 4 << 20, 4<<20 + 1, 33<<20 + 513} {
		rng := newRand(uint64(size))
		r := newRig(t)
		data := make([]byte, size)
		if size > 0 {
			data = volume(rng, size)
		}
		ref, result := r.backup(r.request(&vaulttest.Volume{Data: data, Holes: 4096}, nil))
		r.same(ref, data)
		if result.Size != int64(size) || result.Stored == 0 || result.Objects == 0 {
			t.Errorf("size %d: result %+v", size, result)
		}
	}
}

func TestIncrementStoresWhatChanged(t *testing.T) {
	rng := newRand(1)
	r := newRig(t)
	first := make([]byte, 40<<20)
	fill(rng, first)
	ref1, full := r.backup(r.request(&vaulttest.Volume{Data: first}, nil))

	_, same := r.backup(r.request(&vaulttest.Volume{Data: first}, &ref1))
	if same.New != 0 || same.Stored > 4096 || same.Fingerprint != full.Fingerprint {
		t.Errorf("an unchanged volume stored %+v", same)
	}

	second := bytes.Clone(first)
	fill(rng, second[5<<20:5<<20+100_000])
	clear(second[20<<20 : 23<<20])
	ref2, inc := r.backup(r.request(&vaulttest.Volume{Data: second}, &ref1))
	if inc.New == 0 || inc.New > 120_000 || inc.Stored > 150_000 {
		t.Errorf("an increment of 100 kB stored %+v", inc)
	}
	r.same(ref1, first)
	r.same(ref2, second)
	r.remove(ref1)
	r.same(ref2, second)
}
