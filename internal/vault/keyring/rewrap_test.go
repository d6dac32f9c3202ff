package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault/keyring"
)

func newIdentity(t testing.TB) *keyring.Identity {
	t.Helper()
	id, err := keyring.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// rewrap does all of it, for one vault.
func rewrap(r keyring.Rewrap) (objects int, err error) {
	done, err := r.Vault(context.Background(), [16]byte{1})
	if err == nil {
		err = done.Remove(context.Background())
	}
	return done.Objects, err
}

func mustRewrap(t testing.TB, r keyring.Rewrap) int {
	t.Helper()
	n, err := rewrap(r)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func opens(s blob.Store, key keyring.Opener) error {
	_, err := keyring.OpenVault(context.Background(), s, key, [16]byte{1})
	return err
}

func TestRecoveryRecipients(t *testing.T) {
	s, m, a, b := mem.New(), newMaster(t, 1), newIdentity(t), newIdentity(t)
	n := newVault(s, m, [16]byte{1}, random(2), &choice{})
	n.Recovery = []*keyring.Recipient{a.Recipient()}
	made, err := keyring.CreateVault(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want map[keyring.Opener]bool) {
		t.Helper()
		for key, fits := range want {
			opened, err := keyring.OpenVault(context.Background(), s, key, [16]byte{1})
			if fits && (err != nil || fingerprint(opened) != fingerprint(made)) {
				t.Errorf("%s, the %s: %v", when, key, err)
			}
			if !fits && !errors.Is(err, keyring.ErrWrongKey) {
				t.Errorf("%s, the %s: %v", when, key, err)
			}
		}
		if n := len(blobtest.List(t, s, "")); n != 2 {
			t.Errorf("%s: %d objects", when, n)
		}
	}
	check("at first", map[keyring.Opener]bool{m: true, a: true, b: false})

	r := keyring.Rewrap{Store: s, Key: m, Master: m, Recovery: []*keyring.Recipient{a.Recipient()}, Rand: random(3)}
	if n := mustRewrap(t, r); n != 0 {
		t.Errorf("nothing changed, and %d objects were put", n)
	}
	r.Recovery = append(r.Recovery, b.Recipient())
	if n := mustRewrap(t, r); n != 2 {
		t.Errorf("a second recipient: %d objects were put", n)
	}
	check("with a second one", map[keyring.Opener]bool{m: true, a: true, b: true})
	r.Recovery = r.Recovery[1:]
	mustRewrap(t, r)
	check("without the first", map[keyring.Opener]bool{m: true, a: false, b: true})
	r.Recovery = nil
	mustRewrap(t, r)
	check("without any", map[keyring.Opener]bool{m: true, a: false, b: false})
}

// A recovery identity is enough to come back to a master key.
func TestNewMasterByIdentity(t *testing.T) {
	s, lost, id, m := mem.New(), newMaster(t, 1), newIdentity(t), newMaster(t, 2)
	n := newVault(s, lost, [16]byte{1}, random(2), &choice{})
	n.Recovery = []*keyring.Recipient{id.Recipient()}
	made, err := keyring.CreateVault(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	mustRewrap(t, keyring.Rewrap{Store: s, Key: id, Master: m, Rand: random(3), All: true})
	if fingerprint(open(t, s, m, [16]byte{1})) != fingerprint(made) {
		t.Error("the new master key opens other keys")
	}
	for _, key := range []keyring.Opener{lost, id} {
		if err := opens(s, key); !errors.Is(err, keyring.ErrWrongKey) {
			t.Errorf("the %s: %v", key, err)
		}
	}
}

// A vault whose making was broken off goes on with the new master key.
func TestRewrapUnfinishedVault(t *testing.T) {
	failed := errors.New("failed")
	store, old, m := mem.New(), newMaster(t, 1), newMaster(t, 2)
	s := fault.New(store, fault.Fault{Op: fault.Put, Nth: 2, Since: true, Err: failed})
	var c choice
	if _, err := keyring.CreateVault(context.Background(), newVault(s, old, [16]byte{1}, random(2), &c)); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if n := mustRewrap(t, keyring.Rewrap{Store: store, Key: old, Master: m, Rand: random(3), All: true}); n != 1 {
		t.Errorf("%d objects were put", n)
	}
	if _, err := keyring.CreateVault(context.Background(), newVault(store, m, [16]byte{1}, random(4), &c)); err != nil {
		t.Error(err)
	}
	wrong := keyring.Rewrap{Store: store, Key: newMaster(t, 8), Master: newMaster(t, 9), Rand: random(3), All: true}
	before := blobtest.List(t, store, "")
	if _, err := rewrap(wrong); !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("a wrong key: %v", err)
	}
	if diff := cmp.Diff(before, blobtest.List(t, store, "")); diff != "" {
		t.Errorf("a wrong key changes objects:\n%s", diff)
	}
	if n, err := rewrap(keyring.Rewrap{Store: mem.New(), Key: m, Master: m, Rand: random(3)}); n != 0 || err != nil {
		t.Errorf("an empty store: %d, %v", n, err)
	}
}

// A change of the master key may end at any call, its last one carried out or
// not: the old key opens all until copies are removed, the new one from then
// on, and another run ends well.
func TestRewrapAfterCrash(t *testing.T) {
	failed := errors.New("failed")
	id := newIdentity(t)
	for _, op := range []fault.Op{fault.Put, fault.List, fault.Stat, fault.Get, fault.Delete} {
		for _, late := range []bool{false, true} {
			for nth := 1; ; nth++ {
				store, old, m := mem.New(), newMaster(t, 1), newMaster(t, 2)
				want := fingerprint(create(t, store, old, [16]byte{1}, random(3)))
				r := keyring.Rewrap{Key: old, Master: m, Recovery: []*keyring.Recipient{id.Recipient()}, Rand: random(4), All: true}
				r.Store = fault.New(store, fault.Fault{Op: op, Nth: nth, Since: true, Err: failed, Late: late})
				done, err := r.Vault(context.Background(), [16]byte{1})
				if oerr := opens(store, old); oerr != nil {
					t.Fatalf("%s %d: the old key: %v", op, nth, oerr)
				}
				if err == nil {
					if oerr := opens(store, m); oerr != nil {
						t.Fatalf("%s %d: the new key: %v", op, nth, oerr)
					}
					err = done.Remove(context.Background())
				}
				whole := err == nil
				if !whole && !errors.Is(err, failed) {
					t.Fatalf("%s %d: %v", op, nth, err)
				}
				r.Store = store
				mustRewrap(t, r)
				for _, key := range []keyring.Opener{m, id} {
					if got := fingerprint(open(t, store, key, [16]byte{1})); got != want {
						t.Errorf("%s %d: the %s opens other keys", op, nth, key)
					}
				}
				if n := len(blobtest.List(t, store, "")); n != 2 || opens(store, old) == nil {
					t.Errorf("%s %d: %d objects, the old key: %v", op, nth, n, opens(store, old))
				}
				if whole {
					break
				}
			}
		}
	}
}

// A listing may show copies that were removed; they neither count nor fail
// anything.
func TestRewrapWithStaleListing(t *testing.T) {
	store, m, id := mem.New(), newMaster(t, 1), newIdentity(t)
	create(t, store, m, [16]byte{1}, random(2))
	s := &stale{store, nil}
	for name, size := range blobtest.List(t, store, "") {
		s.gone = append(s.gone, blob.Info{Name: name, Size: size})
	}
	r := keyring.Rewrap{Store: s, Key: m, Master: m, Recovery: []*keyring.Recipient{id.Recipient()}, Rand: random(3)}
	for _, want := range []int{2, 0} {
		if n := mustRewrap(t, r); n != want {
			t.Errorf("%d objects were put, want %d", n, want)
		}
	}
	for _, key := range []keyring.Opener{m, id} {
		if err := opens(s, key); err != nil {
			t.Errorf("the %s: %v", key, err)
		}
	}
}

// Nothing goes before what was put is listed.
func TestRewrapWaitsForListing(t *testing.T) {
	store, m, id := mem.New(), newMaster(t, 1), newIdentity(t)
	create(t, store, m, [16]byte{1}, random(2))
	s := &late{store, blobtest.List(t, store, "")}
	r := keyring.Rewrap{Store: s, Key: m, Master: m, Recovery: []*keyring.Recipient{id.Recipient()}, Rand: random(3)}
	if _, err := rewrap(r); err == nil {
		t.Error("copies were replaced by some that nobody finds")
	}
	for name := range s.listed {
		if _, err := store.Stat(context.Background(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// late is a store that lists nothing new.
type late struct {
	blob.Store
	listed map[string]int64
}

func (l *late) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	return l.Store.List(ctx, prefix, func(info blob.Info) error {
		if _, ok := l.listed[info.Name]; !ok {
			return nil
		}
		return fn(info)
	})
}

// stale is a store that goes on listing what is gone.
type stale struct {
	blob.Store
	gone []blob.Info
}

func (s *stale) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	for _, info := range s.gone {
		_, err := s.Stat(ctx, info.Name)
		if !errors.Is(err, blob.ErrNotFound) {
			continue // the store lists it itself
		}
		if err := fn(info); err != nil {
			return err
		}
	}
	return s.Store.List(ctx, prefix, fn)
}

// What was put is read back, and nothing is removed if it is not the same.
func TestRewrapReadsBack(t *testing.T) {
	store, m := mem.New(), newMaster(t, 1)
	create(t, store, m, [16]byte{1}, random(2))
	before := blobtest.List(t, store, "")
	r := keyring.Rewrap{Store: &flipping{store}, Key: m, Master: m, Recovery: []*keyring.Recipient{newIdentity(t).Recipient()}, Rand: random(3)}
	if _, err := rewrap(r); !errors.Is(err, keyring.ErrCorrupt) && !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("error %v", err)
	}
	for name := range before {
		if _, err := store.Stat(context.Background(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// flipping is a store that changes a bit of what is put.
type flipping struct{ blob.Store }

func (f *flipping) Put(ctx context.Context, name string, body *io.SectionReader) error {
	b := make([]byte, body.Size())
	if err := blob.ReadBody(body, b, 0); err != nil {
		return err
	}
	b[200] ^= 1
	return f.Store.Put(ctx, name, io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))))
}

// stepping is a store that lets others go first before each call.
type stepping struct {
	blob.Store
	yield func(string) bool
}

var errStopped = errors.New("the process has ended")

func (s *stepping) step(what string) error {
	if !s.yield(what) {
		return errStopped
	}
	return nil
}

func (s *stepping) Put(ctx context.Context, name string, body *io.SectionReader) error {
	if err := s.step("put"); err != nil {
		return err
	}
	return s.Store.Put(ctx, name, body)
}

func (s *stepping) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := s.step("get"); err != nil {
		return 0, err
	}
	return s.Store.Get(ctx, name, p, off)
}

func (s *stepping) Delete(ctx context.Context, name string) error {
	if err := s.step("delete"); err != nil {
		return err
	}
	return s.Store.Delete(ctx, name)
}

func (s *stepping) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	if err := s.step("list"); err != nil {
		return err
	}
	return s.Store.List(ctx, prefix, fn)
}

// rewrapper is one of several that rewrap a vault at once.
type rewrapper struct {
	keyring.Rewrap
	put, removes bool // Vault has returned; Remove has begun
	err          error
}

// steps runs it, one call of the store at a time.
func (w *rewrapper) steps(s blob.Store) iter.Seq[string] {
	return func(yield func(string) bool) {
		w.Store = &stepping{s, yield}
		done, err := w.Vault(context.Background(), [16]byte{1})
		if w.put = err == nil; w.put {
			w.removes = true
			err = done.Remove(context.Background())
		}
		w.err = err
	}
}

// However those interleave that rewrap one vault at once, for other recipients
// each, and wherever one of them ends: a master key opens the vault as long as
// nobody replaces it, and so does the new one once its copies are there.
func TestRewrapAtOnce(t *testing.T) {
	old := newMaster(t, 1)
	masters := []*keyring.Master{newMaster(t, 2), newMaster(t, 3)}
	one, two := newIdentity(t).Recipient(), newIdentity(t).Recipient()
	check := func(rt *rapid.T) {
		store := mem.New()
		create(t, store, old, [16]byte{1}, random(2))
		seed := rapid.Byte().Draw(rt, "seed")
		var workers []*rewrapper
		for i := range byte(rapid.IntRange(1, 5).Draw(rt, "rewrappers")) {
			recovery := rapid.SampledFrom([][]*keyring.Recipient{nil, {one}, {two, one}}).Draw(rt, "recovery")
			workers = append(workers, &rewrapper{
				Rewrap: keyring.Rewrap{Key: old, Master: old, Recovery: recovery, Rand: random(seed + i)},
			})
		}
		for i := range byte(rapid.IntRange(0, 2).Draw(rt, "rotations")) {
			workers = append(workers, &rewrapper{
				Rewrap: keyring.Rewrap{Key: old, Master: masters[i], Rand: random(seed + 10 + i), All: true},
			})
		}
		var next []func() (string, bool)
		for _, w := range workers {
			n, stop := iter.Pull(w.steps(store))
			defer stop()
			next = append(next, n)
		}
		for len(next) > 0 {
			i := rapid.IntRange(0, len(next)-1).Draw(rt, "goes on")
			_, more := next[i]()
			if !more || rapid.IntRange(0, 60).Draw(rt, "ends") == 0 {
				next = append(next[:i], next[i+1:]...)
			}
			checkOpens(rt, store, old, workers)
		}
	}
	for range 5 { // what must not happen needs four of them in a certain order
		rapid.Check(t, check)
	}
}

func checkOpens(t *rapid.T, s blob.Store, old *keyring.Master, workers []*rewrapper) {
	t.Helper()
	rotated := 0
	var good []string
	for _, w := range workers {
		if w.All && w.removes {
			rotated++
		}
	}
	for _, w := range workers {
		if w.All && w.put && opens(s, w.Master) == nil {
			good = append(good, w.Master.String())
		} else if w.All && w.put && rotated <= 1 {
			t.Fatalf("the new %s does not open: %v", w.Master, opens(s, w.Master))
		}
		if w.err != nil && !errors.Is(w.err, errStopped) && !errors.Is(w.err, blob.ErrNotFound) && !errors.Is(w.err, keyring.ErrWrongKey) {
			t.Fatalf("a rewrapper failed: %v", w.err)
		}
	}
	if err := opens(s, old); err == nil {
		good = append(good, old.String())
	} else if rotated == 0 {
		t.Fatalf("the old key does not open: %v", err)
	}
	if len(good) == 0 {
		t.Fatal("no key opens the vault")
	}
}

// Whoever knows a recovery recipient, and can write to the store, gets no key
// of his own taken for the vault's, and costs nobody the right one.
func TestForgedForRecovery(t *testing.T) {
	store, m, id := mem.New(), newMaster(t, 1), newIdentity(t)
	n := newVault(store, m, [16]byte{1}, random(2), &choice{})
	n.Recovery = []*keyring.Recipient{id.Recipient()}
	made, err := keyring.CreateVault(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	own := blobtest.List(t, store, "")

	// Copies of other keys under the vault's set, and a set of their own.
	for seed := byte(10); seed < 20; seed++ {
		forged := mem.New()
		f := newVault(forged, newMaster(t, seed), [16]byte{1}, random(seed), &choice{})
		f.Recovery = n.Recovery
		if _, err := keyring.CreateVault(context.Background(), f); err != nil {
			t.Fatal(err)
		}
		s := mem.New()
		for _, from := range []*mem.Store{store, forged} {
			for name := range blobtest.List(t, from, "") {
				blobtest.Put(t, s, name, blobtest.Get(t, from, name))
			}
		}
		if fingerprint(open(t, s, m, [16]byte{1})) != fingerprint(made) {
			t.Error("a foreign set is taken for the vault's by the master key")
		}
		if err := opens(s, id); !errors.Is(err, keyring.ErrCorrupt) {
			t.Errorf("two sets for one recipient: %v", err)
		}
		if _, err := rewrap(keyring.Rewrap{Store: s, Key: id, Master: newMaster(t, 5), Rand: random(6), All: true}); !errors.Is(err, keyring.ErrCorrupt) {
			t.Errorf("a new master key: %v", err)
		}
		for name := range own {
			if _, err := s.Stat(context.Background(), name); err != nil {
				t.Errorf("%s is gone: %v", name, err)
			}
		}
	}
}

// So it is with a copy in the vault's own set.
func TestForgedCopy(t *testing.T) {
	v, m, id := readVectors(t)
	identity, s := recoveryVectors(t, v)
	want := fingerprint(open(t, s, m, id))
	for name, content := range v.Recovery.Objects {
		if !strings.Contains(name, "/vault-2-") {
			continue
		}
		forged, err := keyring.Forge(unhex(t, content), bytes.Repeat([]byte{1}, 32), identity.(*keyring.Identity).Recipient())
		if err != nil {
			t.Fatal(err)
		}
		for _, digit := range []string{"0", "f"} {
			blobtest.Put(t, s, name[:strings.LastIndexByte(name, '-')+1]+strings.Repeat(digit, 32), forged)
		}
	}
	if got := fingerprint(open(t, s, m, id)); got != want {
		t.Error("the master key opens a forged copy")
	}
	if _, err := keyring.OpenVault(context.Background(), s, identity, id); !errors.Is(err, keyring.ErrCorrupt) {
		t.Errorf("the recovery identity: %v", err)
	}
}

// The error of a wrong key is one line, however many copies there are.
func TestWrongKeyIsOneLine(t *testing.T) {
	s, m := mem.New(), newMaster(t, 1)
	create(t, s, m, [16]byte{1}, random(2))
	for i := range byte(3) { // copies that nobody removed
		r := keyring.Rewrap{Store: s, Key: m, Master: newMaster(t, 10+i), Rand: random(20 + i), All: true}
		if _, err := r.Vault(context.Background(), [16]byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []keyring.Opener{newMaster(t, 9), newIdentity(t)} {
		err := opens(s, key)
		if !errors.Is(err, keyring.ErrWrongKey) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the %s: %v", key, err)
		}
	}
}
