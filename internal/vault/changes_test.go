package vault_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
)

// sparse is a volume that is computed: version n of block b is written where
// the ranges of its history say so, the last one counts. It also checks a
// restore.
type sparse struct {
	size    int64
	history []written // in order
	bytes   atomic.Int64
	bad     atomic.Int64 // bytes that a restore got wrong
	seen    atomic.Int64
}

type written struct{ first, end, step int64 } // blocks first, first + step, …, below end

func (s *sparse) Size() int64 { return s.size }

// version returns which entry of the history wrote a block last, from 1; 0 for
// a hole.
func (s *sparse) version(block int64) int {
	for i, w := range slices.Backward(s.history) {
		if block >= w.first && block < w.end && (block-w.first)%w.step == 0 {
			return i + 1
		}
	}
	return 0
}

func (s *sparse) fill(b []byte, block int64) {
	clear(b)
	if v := s.version(block); v > 0 {
		// Half of it looks random, half compresses.
		x := uint64(block)<<8 | uint64(v)
		for i := 0; i+8 <= len(b)/2; i += 8 {
			x = x*6364136223846793005 + 1442695040888963407
			binary.LittleEndian.PutUint64(b[i:], x^x>>29)
		}
	}
}

func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	if off%4096 != 0 || off+int64(len(p)) > s.size {
		return 0, errors.New("unaligned read")
	}
	for i := 0; i < len(p); i += 4096 {
		s.fill(p[i:min(i+4096, len(p))], (off+int64(i))/4096)
	}
	s.bytes.Add(int64(len(p)))
	return len(p), nil
}

func (s *sparse) NextData(off int64) (start, end int64, err error) {
	at := off / 4096
	next := s.size / 4096
	for _, w := range s.history {
		k := max(w.first, w.first+(at-w.first+w.step-1)/w.step*w.step)
		if k < w.end {
			next = min(next, k)
		}
	}
	if next*4096 >= s.size {
		return s.size, s.size, nil
	}
	for end = next + 1; end < next+1024 && s.version(end) > 0; end++ {
	}
	return max(off, next*4096), min(end*4096, s.size), nil
}

func (s *sparse) WriteAt(p []byte, off int64) (int, error) {
	var want [4096]byte
	for i := 0; i < len(p); i += 4096 {
		s.fill(want[:], (off+int64(i))/4096)
		if !bytes.Equal(want[:len(p[i:min(i+4096, len(p))])], p[i:min(i+4096, len(p))]) {
			s.bad.Add(4096)
		}
	}
	s.seen.Add(int64(len(p)))
	return len(p), nil
}

func (s *sparse) Zero(off, n int64) error {
	start, _, err := s.NextData(off)
	if start < off+n {
		s.bad.Add(off + n - start)
	}
	s.seen.Add(n)
	return err
}

func (s *sparse) Sync() error { return nil }

// counted counts what a store is asked for, by room.
type counted struct {
	blob.Store
	mu    sync.Mutex
	calls map[string]int
	bytes map[string]int64
}

func newCounted(s blob.Store) *counted {
	return &counted{Store: s, calls: map[string]int{}, bytes: map[string]int64{}}
}

func (c *counted) count(what, name string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if parts := strings.Split(name, "/"); len(parts) > 2 {
		what += " " + parts[2]
	}
	c.calls[what]++
	c.bytes[what] += n
}

func (c *counted) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.calls)
	clear(c.bytes)
}

func (c *counted) total(what string) (calls int, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, n := range c.calls {
		if strings.HasPrefix(k, what) {
			calls, bytes = calls+n, bytes+c.bytes[k]
		}
	}
	return calls, bytes
}

func (c *counted) Put(ctx context.Context, name string, body *io.SectionReader) error {
	c.count("put", name, body.Size())
	return c.Store.Put(ctx, name, body)
}

func (c *counted) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	c.count("get", name, int64(len(p)))
	return c.Store.Get(ctx, name, p, off)
}

func (c *counted) Stat(ctx context.Context, name string) (int64, error) {
	c.count("stat", name, 0)
	return c.Store.Stat(ctx, name)
}

// Work follows the change, not the volume: pages, objects and bytes of a run by
// change map are nearly the same for 64 GiB and for 10 TiB.
func TestWorkFollowsTheChange(t *testing.T) {
	if testing.Short() {
		t.Skip("it backs up a quarter of a GiB")
	}
	const changedBlocks = 32 << 10 // 128 MiB
	type work struct {
		read, stored, pages, gotBytes int64
		gets                          int
	}
	run := func(size int64) work {
		store := newCounted(mem.New())
		r := newRig(t, func(c *vault.Config) { c.Store = store })
		v := &sparse{size: size, history: []written{{0, size / 4096, size / 4096 / 1000}, {5000, 9096, 1}}}
		parent, _ := r.backup(r.request(v, nil))

		begin := size / 4096 / 3
		v.history = append(v.history, written{begin, begin + changedBlocks, 1})
		v.bytes.Store(0)
		store.reset()
		req := r.request(v, &parent)
		req.Changes = &vault.ChangeMap{Since: "state 1", Extents: []vault.Extent{{Offset: begin * 4096, Length: changedBlocks * 4096}}}
		ref, result := r.backup(req)
		if !result.ChangeMap || result.MapLied {
			t.Fatalf("result %+v", result)
		}
		gets, got := store.total("get")
		_, pages := store.total("put pages")
		if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: v}); err != nil {
			t.Fatal(err)
		}
		if v.bad.Load() != 0 || v.seen.Load() != size {
			t.Fatalf("%d bytes wrong, %d of %d restored", v.bad.Load(), v.seen.Load(), size)
		}
		return work{read: result.Read, stored: result.Stored, pages: pages, gets: gets, gotBytes: got}
	}
	small, large := run(64<<30), run(10<<40)
	t.Logf("64 GiB: %+v; 10 TiB: %+v", small, large)
	// The audit's sample grows with the volume: here nearly all of it is holes.
	if large.stored > small.stored*11/10 || large.pages > 64<<10 || large.gets > 4*small.gets+64 || large.gotBytes > 64<<20 {
		t.Errorf("10 TiB: %+v, 64 GiB: %+v", large, small)
	}
}

// What a change map leaves out is inherited as it is, whatever size the volume
// has now.
func TestSubtreesAreInherited(t *testing.T) {
	if testing.Short() {
		t.Skip("it restores 16 GiB of holes several times")
	}
	const leaves = 4096 + 77
	store := newCounted(mem.New())
	r := newRig(t, func(c *vault.Config) { c.Store = store })
	v := &sparse{size: leaves << 22, history: []written{{0, leaves << 10, 1 << 10}}} // a block in each leaf
	parent, _ := r.backup(r.request(v, nil))
	_, all := store.total("put pages")

	for _, change := range []struct {
		name   string
		blocks []int64
		size   int64
	}{
		{"nothing", nil, v.size},
		{"the first", []int64{1}, v.size},
		{"the last", []int64{leaves<<10 - 1}, v.size},
		{"some", []int64{300<<10 + 5, 301<<10 + 5, 2000<<10 + 17}, v.size},
		{"its end, grown", nil, v.size + 600<<22},
		{"its end, shrunk", nil, v.size - 600<<22},
	} {
		t.Run(change.name, func(t *testing.T) {
			w := &sparse{size: change.size, history: slices.Clone(v.history)}
			w.history[0].end = min(w.history[0].end, change.size/4096)
			req := r.request(w, &parent)
			req.Changes = &vault.ChangeMap{Since: "state 1"}
			for _, b := range change.blocks {
				w.history = append(w.history, written{b, b + 1, 1})
				req.Changes.Extents = append(req.Changes.Extents, vault.Extent{Offset: b * 4096, Length: 4096})
			}
			store.reset()
			ref, result := r.backup(req)
			if _, put := store.total("put pages"); put > all/8+int64(len(change.blocks))*32<<10 {
				t.Errorf("%d bytes of pages were put, of %d", put, all)
			}
			if want := int64(len(change.blocks)+16+1) * 1024 * 4096; result.Read > want {
				t.Errorf("%d bytes were read, %d are enough", result.Read, want)
			}
			if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: w}); err != nil {
				t.Fatal(err)
			}
			if w.bad.Load() != 0 || w.seen.Load() != w.size {
				t.Errorf("%d bytes wrong, %d of %d restored", w.bad.Load(), w.seen.Load(), w.size)
			}
		})
	}
}

// Blocks in packs that are marked damaged count as changed, read or not.
func TestMarkedPacksAreNotInherited(t *testing.T) {
	for _, byMap := range []bool{false, true} {
		t.Run(fmt.Sprintf("map %v", byMap), func(t *testing.T) {
			r := newRig(t)
			v := &sparse{size: 64 << 20, history: []written{{0, 10 << 10, 1}}}
			parent, first := r.backup(r.request(v, nil))
			packs := slices.DeleteFunc(r.fence.Placements(), func(p vault.Placement) bool { return p.Kind != vault.DataPack })
			bad := packs[0]
			r.fence.SetDamaged([]vault.ID{bad.Pack})
			if err := r.store.Delete(t.Context(), bad.Object); err != nil {
				t.Fatal(err)
			}
			r.open()
			req := r.request(v, &parent)
			if byMap {
				req.Changes = &vault.ChangeMap{Since: "state 1"}
			}
			ref, result := r.backup(req)
			if result.New != bad.Live*4096 || result.New >= first.New {
				t.Errorf("%d bytes were new, the pack had %d", result.New, bad.Live*4096)
			}
			if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: v}); err != nil || v.bad.Load() != 0 {
				t.Errorf("%v, %d bytes wrong", err, v.bad.Load())
			}
		})
	}
}

// A pack that nobody knows to be missing is found by the leaves that a run by
// change map audits, which then looks at all.
func TestAuditFindsMissingPacks(t *testing.T) {
	r := newRig(t)
	v := &sparse{size: 40 << 20, history: []written{{0, 10 << 10, 1}}}
	parent, _ := r.backup(r.request(v, nil))
	i := slices.IndexFunc(r.fence.Placements(), func(p vault.Placement) bool { return p.Kind == vault.DataPack })
	bad := r.fence.Placements()[i]
	if err := r.store.Delete(t.Context(), bad.Object); err != nil {
		t.Fatal(err)
	}
	r.open()
	req := r.request(v, &parent)
	req.Changes = &vault.ChangeMap{Since: "state 1"}
	ref, result := r.backup(req)
	if result.New != bad.Live*4096 || result.MapLied {
		t.Errorf("%d bytes were new, the pack had %d: %+v", result.New, bad.Live*4096, result)
	}
	if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: v}); err != nil || v.bad.Load() != 0 {
		t.Errorf("%v, %d bytes wrong", err, v.bad.Load())
	}
}

// mover moves the object of a pack once somebody has asked where it is.
type mover struct {
	blob.Store
	move func(name string)
	once sync.Once
}

func (m *mover) Stat(ctx context.Context, name string) (int64, error) {
	if strings.Contains(name, "/packs/") {
		m.once.Do(func() { m.move(name) })
	}
	return m.Store.Stat(ctx, name)
}

// A collection may move a pack between the look-up of its place and its use:
// its blocks are no changed ones for that.
func TestMovedPackIsNotStoredAgain(t *testing.T) {
	m := &mover{Store: mem.New()}
	r := newRig(t, func(c *vault.Config) { c.Store = m })
	v := &sparse{size: 32 << 20, history: []written{{0, 8 << 10, 1}}}
	m.once.Do(func() {})
	parent, _ := r.backup(r.request(v, nil))
	m.once = sync.Once{}
	m.move = func(name string) {
		for _, p := range r.fence.Placements() {
			if p.Object != name {
				continue
			}
			b := content(t, m.Store, blob.Info{Name: name, Size: size(t, m.Store, name)})
			p.Object = name + "0"
			if err := m.Put(t.Context(), p.Object, io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))); err != nil {
				t.Error(err)
			}
			r.fence.Place(p)
			if err := m.Delete(t.Context(), name); err != nil {
				t.Error(err)
			}
		}
	}
	r.open()
	if _, result := r.backup(r.request(v, &parent)); result.New != 0 {
		t.Errorf("%d bytes were stored again", result.New)
	}
}

func TestMapOfAnotherParentIsRefused(t *testing.T) {
	r := newRig(t)
	v := &sparse{size: 8 << 20, history: []written{{0, 2 << 10, 1}}}
	first := r.request(v, nil)
	first.SourceState = ""
	parent, _ := r.backup(first)
	for _, m := range []vault.ChangeMap{
		{}, {Since: "state 1"}, {Parent: "00000000-0000-4000-8000-00000000ffff"}, {Since: "another", Parent: first.Info.Backup},
	} {
		if _, err := r.vault.Backup(t.Context(), func() vault.BackupRequest {
			req := r.request(v, &parent)
			req.Changes = &m
			return req
		}()); !errors.Is(err, vault.ErrStaleChangeMap) {
			t.Errorf("%+v: %v", m, err)
		}
	}
	req := r.request(v, &parent)
	req.Changes = &vault.ChangeMap{Parent: first.Info.Backup}
	if _, result := r.backup(req); !result.ChangeMap {
		t.Error("a map that names the parent was not used")
	}
}

// A map that leaves out changes is found as often as docs/architecture.md says:
// the sample is 16 of 64 leaves here, and 8 of them have changed, so that it
// misses them all in one run of twelve.
func TestLyingMapIsFoundWithinTheOdds(t *testing.T) {
	if testing.Short() {
		t.Skip("60 runs")
	}
	const leaves, changed, runs = 64, 8, 60
	r := newRig(t)
	v := &sparse{size: leaves << 22, history: []written{{3, leaves << 10, 1 << 10}}}
	parent, _ := r.backup(r.request(v, nil))
	v.history = append(v.history, written{3, leaves << 10, leaves / changed << 10})
	found := 0
	for range runs {
		req := r.request(v, &parent)
		req.Changes = &vault.ChangeMap{Since: "state 1"}
		ref, result := r.backup(req)
		if !result.MapLied {
			if !result.ChangeMap || result.New != 0 {
				t.Errorf("a lie that wasn't found: %+v", result)
			}
			continue
		}
		found++
		if result.ChangeMap {
			t.Errorf("the record says that the map was used: %+v", result)
		}
		v.bad.Store(0)
		if err := r.vault.Restore(t.Context(), vault.RestoreRequest{Record: ref, Target: v}); err != nil || v.bad.Load() != 0 {
			t.Fatalf("after a lie: %v, %d bytes wrong", err, v.bad.Load())
		}
	}
	if found < runs*8/10 || found == runs {
		t.Errorf("%d of %d lies were found", found, runs)
	}
}
