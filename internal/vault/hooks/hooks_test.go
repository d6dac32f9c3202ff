package hooks_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
)

// hooked returns n digests that are hooks, counted from first.
func hooked(first, n int) []format.Digest {
	rng := rand.New(rand.NewPCG(uint64(first), 7))
	out := make([]format.Digest, n)
	for i := range out {
		binary.LittleEndian.PutUint64(out[i][:], rng.Uint64()<<hooks.Sampling)
		out[i][19] = 1
	}
	return out
}

func TestDelta(t *testing.T) {
	d := hooks.NewDelta()
	places := map[uint64]hooks.Place{}
	for c := range 40 {
		p := hooks.Place{Pack: format.ID{byte(c / 8)}, Generation: 1, Container: uint8(c % 8)}
		digests := hooked(c, 32)
		for i := range digests {
			places[hooks.Tag(&digests[i])] = p
		}
		digests = append(digests, format.Digest{1}, format.Digest{}) // neither is a hook
		d.Add(p, digests)
	}
	check := func(what string, lookup func(uint64) (hooks.Place, bool)) {
		t.Helper()
		for tag, want := range places {
			if got, ok := lookup(tag); !ok || got != want {
				t.Fatalf("%s: %x is in %+v, not %+v", what, tag, got, want)
			}
		}
		if p, ok := lookup(hooks.Tag(&format.Digest{0, 1, 2, 3})); ok {
			t.Errorf("%s: found an unknown tag in %+v", what, p)
		}
	}
	check("delta", d.Lookup)
	s := d.Segment()
	parsed, err := hooks.ParseSegment(s.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, parsed); diff != "" {
		t.Fatal(diff)
	}
	x := hooks.NewIndex(1 << 30)
	vault := format.ID{1}
	x.Add(vault, "a", parsed)
	x.Add(vault, "a", parsed)
	check("index", x.View(vault).Lookup)
	if diff := cmp.Diff([]string{"b"}, x.Keep(vault, []string{"a", "b"})); diff != "" {
		t.Error(diff)
	}
	if _, ok := x.View(format.ID{2}).Lookup(s.Hooks[0].Tag); ok {
		t.Error("a hook was found in another vault")
	}
}

// A segment is one object, however much a session stored: 64 MiB at most.
func TestDeltaIsBounded(t *testing.T) {
	d := hooks.NewDelta()
	digests := make([]format.Digest, 4) // as many as are left of a container at the thinnest sampling
	for c := range 1_000_000 {
		for i := range digests {
			binary.LittleEndian.PutUint64(digests[i][1:], uint64(c*len(digests)+i)*0x9e3779b97f4a7c15)
			digests[i][19] = 1
		}
		d.Add(hooks.Place{Pack: format.ID{byte(c), byte(c >> 8), byte(c >> 16)}, Generation: 1}, digests)
	}
	if n := len(d.Segment().Append(nil)); n > 48<<20 {
		t.Errorf("a segment of %d bytes", n)
	}
	// Containers that hold no hook of their own take no memory.
	repeated := hooks.NewDelta()
	for c := range 2_000_000 {
		repeated.Add(hooks.Place{Pack: format.ID{byte(c), byte(c >> 8), byte(c >> 16)}, Generation: 1}, digests[:1])
	}
	if n := len(repeated.Segment().Places); n != 1 {
		t.Errorf("%d places for one hook", n)
	}
}

// What one vault's index takes is thinned, not thrown away.
func TestIndexIsThinned(t *testing.T) {
	const segments, containers = 100, 71 // the table of hooks is nearly full
	var all []*hooks.Segment
	for n := range segments {
		d := hooks.NewDelta()
		for c := range containers {
			d.Add(hooks.Place{Pack: format.ID{byte(n), byte(c)}, Generation: 1}, hooked(n*1000+c, 32))
		}
		all = append(all, d.Segment())
	}
	whole := hooks.NewIndex(1 << 30)
	for n, s := range all {
		whole.Add(format.ID{1}, string(rune('a'+n)), s)
	}
	x := hooks.NewIndex(whole.Bytes() - 1)
	for n, s := range all {
		x.Add(format.ID{1}, string(rune('a'+n)), s)
	}
	found := 0
	view := x.View(format.ID{1})
	for _, s := range all {
		for _, h := range s.Hooks {
			if _, ok := view.Lookup(h.Tag); ok {
				found++
			}
		}
	}
	if total := segments * containers * 32; found < total/3 {
		t.Errorf("%d of %d hooks are left", found, total)
	}
}

// Segments that were merged into others are forgotten, and give their memory
// back once they are many.
func TestSegmentsAreForgotten(t *testing.T) {
	x, vault := hooks.NewIndex(1<<30), format.ID{1}
	var segments []*hooks.Segment
	var names []string
	for n := range 10 {
		d := hooks.NewDelta()
		for c := range 50 {
			d.Add(hooks.Place{Pack: format.ID{byte(n), byte(c)}, Generation: 1}, hooked(n*1000+c, 32))
		}
		segments, names = append(segments, d.Segment()), append(names, string(rune('a'+n)))
		x.Add(vault, names[n], segments[n])
	}
	all := x.Bytes()
	if missing := x.Keep(vault, names[1:]); missing != nil || x.Bytes() != all {
		t.Errorf("%q are missing, %d bytes of %d are left", missing, x.Bytes(), all)
	}
	if missing := x.Keep(vault, names); missing != nil {
		t.Errorf("%q are missing though nothing was freed", missing)
	}
	if missing := x.Keep(vault, names[7:]); missing != nil || x.Bytes() > all/2 {
		t.Errorf("%q are missing, %d bytes of %d are left", missing, x.Bytes(), all)
	}
	view := x.View(vault)
	for n, s := range segments {
		for _, h := range s.Hooks {
			if p, ok := view.Lookup(h.Tag); ok != (n >= 7) || ok && p != s.Places[h.Place] {
				t.Fatalf("segment %s: %x is in %+v, %v", names[n], h.Tag, p, ok)
			}
		}
	}
	if diff := cmp.Diff(names[:2], x.Keep(vault, names[:2])); diff != "" {
		t.Error(diff)
	}
}

// Hooks take at most 110 MB for each TiB of unique blocks, at any size.
func TestMemoryPerHook(t *testing.T) {
	x, vault := hooks.NewIndex(1<<30), format.ID{1}
	const containers = 512 // of 4 MiB each: a segment of 2 GiB
	for n := range 40 {
		fillIndex(x, vault, n, containers)
		if tib := float64((n+1)*containers) / (1 << 18); n >= 3 && float64(x.Bytes()) > 110e6*tib {
			t.Fatalf("%d bytes for %.4f TiB, %.1f MB a TiB", x.Bytes(), tib, float64(x.Bytes())/1e6/tib)
		}
	}
}

// fillIndex adds a segment of containers whose 32 hooks are all different.
func fillIndex(x *hooks.Index, vault format.ID, n, containers int) {
	d := hooks.NewDelta()
	digests := make([]format.Digest, 32)
	rng := rand.NewPCG(uint64(n), 8)
	for c := range containers {
		for i := range digests {
			binary.LittleEndian.PutUint64(digests[i][:], rng.Uint64()<<hooks.Sampling)
		}
		d.Add(hooks.Place{Pack: format.ID{byte(n), byte(n >> 8), byte(c), byte(c >> 8)}, Generation: 1}, digests)
	}
	x.Add(vault, fmt.Sprint(n), d.Segment())
}

// The index of a vault of 1 TiB and of 16 TiB of unique blocks, whole.
func BenchmarkIndex(b *testing.B) {
	for _, tib := range []int{1, 16} {
		b.Run(fmt.Sprintf("%dTiB", tib), func(b *testing.B) {
			for b.Loop() {
				x := hooks.NewIndex(1 << 40)
				const containers = 1 << 14
				for n := range tib << 18 / containers {
					fillIndex(x, format.ID{1}, n, containers)
				}
				b.ReportMetric(float64(x.Bytes())/1e6/float64(tib), "MB/TiB")
			}
		})
	}
}

func TestIndexKeepsToItsBudget(t *testing.T) {
	const budget = 600 << 10
	x := hooks.NewIndex(budget)
	vault := format.ID{1}
	var last *hooks.Segment
	for n := range 12 {
		d := hooks.NewDelta()
		for c := range 100 {
			d.Add(hooks.Place{Pack: format.ID{byte(n), byte(c)}, Generation: 1}, hooked(n*1000+c, 32))
		}
		last = d.Segment()
		x.Add(vault, string(rune('a'+n)), last)
		if x.Bytes() > budget {
			t.Fatalf("%d bytes after %d segments", x.Bytes(), n+1)
		}
	}
	found := 0
	view := x.View(vault)
	for _, h := range last.Hooks {
		if _, ok := view.Lookup(h.Tag); ok {
			found++
		}
	}
	if found < len(last.Hooks)/8 {
		t.Errorf("%d of the newest segment's %d hooks are left", found, len(last.Hooks))
	}
	// A vault that was used later pushes out one that was used earlier.
	for n := range 3 {
		x.Add(format.ID{2}, string(rune('a'+n)), last)
	}
	if x.Bytes() > budget {
		t.Errorf("%d bytes with two vaults", x.Bytes())
	}
	if _, ok := x.View(format.ID{2}).Lookup(last.Hooks[0].Tag); !ok {
		t.Error("the vault in use lost its hooks first")
	}
}

func FuzzSegment(f *testing.F) {
	d := hooks.NewDelta()
	d.Add(hooks.Place{Pack: format.ID{1}, Generation: 1, Container: 3}, hooked(1, 5))
	f.Add(d.Segment().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := hooks.ParseSegment(b)
		if err == nil && string(s.Append(nil)) != string(b) {
			t.Error("the segment isn't what it was")
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	d := hooks.NewDelta()
	for c := range 10000 {
		d.Add(hooks.Place{Pack: format.ID{byte(c), byte(c >> 8)}}, hooked(c, 32))
	}
	x := hooks.NewIndex(1 << 30)
	x.Add(format.ID{1}, "a", d.Segment())
	view := x.View(format.ID{1})
	tag := uint64(0)
	for b.Loop() {
		tag += 0x9e3779b97f4a00
		view.Lookup(tag & (1<<48 - 1))
	}
	b.ReportMetric(float64(x.Bytes())/320000, "bytes/hook")
}
