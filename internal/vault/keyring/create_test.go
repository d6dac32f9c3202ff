package keyring_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault/keyring"
)

// An attempt may end at any call, its last Put carried out or not. The next
// ones end well, and agree.
func TestCreateAfterCrash(t *testing.T) {
	failed := errors.New("failed")
	for _, op := range []fault.Op{fault.Put, fault.List, fault.Stat, fault.Get} {
		for _, late := range []bool{false, true} {
			for nth := 1; ; nth++ {
				store, m := mem.New(), newMaster(t, 1)
				s := fault.New(store, fault.Fault{Op: op, Nth: nth, Since: true, Err: failed, Late: late})
				var c choice
				_, err := keyring.CreateVault(context.Background(), newVault(s, m, [16]byte{1}, random(2), &c))
				if err == nil {
					break
				}
				if !errors.Is(err, failed) {
					t.Fatalf("%s %d: %v", op, nth, err)
				}
				made, err := keyring.CreateVault(context.Background(), newVault(store, m, [16]byte{1}, random(3), &c))
				if err != nil {
					t.Fatalf("%s %d, again: %v", op, nth, err)
				}
				if again := create(t, store, m, [16]byte{1}, random(4)); fingerprint(again) != fingerprint(made) {
					t.Errorf("%s %d: a later attempt has other keys", op, nth)
				}
				if n := len(blobtest.List(t, store, "")); n < 2 || n > 3 {
					t.Errorf("%s %d: %d objects", op, nth, n)
				}
			}
		}
	}
}

// delayed is a store whose Puts may fail and yet be carried out later.
type delayed struct {
	blob.Store
	fail    func() (now, later bool)
	pending map[string][]byte
}

var errDelayed = errors.New("no answer")

func (d *delayed) Put(ctx context.Context, name string, body *io.SectionReader) error {
	now, later := d.fail()
	if !now {
		return d.Store.Put(ctx, name, body)
	}
	if later {
		data := make([]byte, body.Size())
		if err := blob.ReadBody(body, data, 0); err != nil {
			return err
		}
		d.pending[name] = data
	}
	return errDelayed
}

// land carries out some of the Puts that failed.
func (d *delayed) land(t *rapid.T) {
	for _, name := range slices.Sorted(maps.Keys(d.pending)) {
		if !rapid.Bool().Draw(t, "land") {
			continue
		}
		if err := d.Store.Put(context.Background(), name, blobtest.Body(d.pending[name])); err != nil {
			t.Fatal(err)
		}
		delete(d.pending, name)
	}
}

// Once an attempt has succeeded, Puts of earlier ones that arrive late don't
// change which keys count.
func TestLatePutsChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMaster(t, 1)
		d := &delayed{Store: mem.New(), pending: make(map[string][]byte), fail: func() (bool, bool) {
			return rapid.Bool().Draw(rt, "fail"), rapid.Bool().Draw(rt, "later")
		}}
		var made *keyring.Vault
		var c choice
		for made == nil {
			seed := rapid.Byte().Draw(rt, "seed")
			var err error
			made, err = keyring.CreateVault(context.Background(), newVault(d, m, [16]byte{1}, random(seed), &c))
			if err != nil && !errors.Is(err, errDelayed) {
				rt.Fatal(err)
			}
			if made == nil {
				d.land(rt)
			}
		}
		for range 3 {
			d.land(rt)
			opened, err := keyring.OpenVault(context.Background(), d, m, [16]byte{1})
			if err != nil {
				rt.Fatal(err)
			}
			if fingerprint(opened) != fingerprint(made) {
				rt.Fatal("other keys count after a late Put")
			}
		}
	})
}

// Of two that make a vault's keys at once, one may do all of it while the other
// is about to choose, before or after.
func TestCreateAtOnce(t *testing.T) {
	for _, first := range []bool{true, false} {
		for seed := byte(2); seed < 12; seed++ {
			store, m, vault := mem.New(), newMaster(t, 1), [16]byte{1}
			var c choice
			var inner *keyring.Vault
			n := newVault(store, m, vault, random(seed), &c)
			n.Choose = func(ctx context.Context, set [16]byte) ([16]byte, error) {
				if first {
					c.choose(ctx, set)
				}
				// The other one's first listing came before all of this.
				var err error
				if inner, err = keyring.CreateVault(ctx, newVault(&blinded{store, 1}, m, vault, random(seed+100), &c)); err != nil {
					t.Fatal(err)
				}
				return c.choose(ctx, set)
			}
			outer, err := keyring.CreateVault(context.Background(), n)
			if err != nil {
				t.Fatal(err)
			}
			if fingerprint(inner) != fingerprint(outer) || fingerprint(inner) != fingerprint(open(t, store, m, vault)) {
				t.Errorf("seed %d, first %v: the two made other keys", seed, first)
			}
		}
	}
}

// blinded is a store whose first n listings are empty.
type blinded struct {
	blob.Store
	n int
}

func (b *blinded) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	if b.n--; b.n >= 0 {
		return nil
	}
	return b.Store.List(ctx, prefix, fn)
}
