package vault

import (
	"cmp"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/blob/local"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
)

var (
	simTiB     = flag.Int("sim-tib", 1, "TiB of unique blocks of the vault that BenchmarkCollect simulates")
	simBackups = flag.Int("sim-backups", 500, "backups of that vault")
)

// BenchmarkCollect deletes one of many backups of a large vault and collects
// it. Maps and pages are real, blocks are not there. It reports the distinct
// pages that there are, how many a collection reads, and its memory.
func BenchmarkCollect(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(50)) // as the holdfast command does
	dir := b.TempDir()
	store, err := local.Create(dir + "/store")
	if err != nil {
		b.Fatal(err)
	}
	sim := newSim(b, store)
	for n := range *simTiB {
		sim.volume(n)
	}
	for i := range sim.backups {
		sim.known.Sessions[ID{1, byte(i), byte(i >> 8)}] = true
	}
	for b.Loop() {
		sim.gone, sim.state = map[PackGen]bool{}, 0
		sim.known.Roots = sim.backups[:len(sim.backups)-1]
		sim.token++
		debug.FreeOSMemory()
		base := simMemory("VmRSS:", true)
		res, err := sim.v.Collect(b.Context(), CollectRequest{
			Session: SessionRef{Vault: sim.v.id, Session: ID{9}, Token: sim.token}, Ledger: sim,
		})
		if err != nil {
			b.Fatal(err)
		}
		if res.Condemned != 1 || res.Removed < 1 {
			b.Errorf("%+v", res)
		}
		b.ReportMetric(float64(sim.pages), "pages")
		b.ReportMetric(float64(res.PagesRead), "pages-read")
		b.ReportMetric(float64(simMemory("VmHWM:", false)-base)/(1<<20), "MiB")
		b.ReportMetric(float64(len(sim.backups)), "backups")
		b.ReportMetric(float64(sim.packs), "packs")
	}
}

// sim is the ledger of a vault that was never backed up to.
type sim struct {
	known   Survey // what doesn't change of it
	b       *testing.B
	v       *Vault
	s       *session
	pw      *pageWriter
	rng     *rand.Rand
	placed  []Placement
	backups []Root
	pages   int64
	packs   int // of blocks
	total   int // of these at the end
	token   int64
	epoch   int64
	gone    map[PackGen]bool
	state   PackState // of the last pack
	at      int64
}

const (
	simLeaves  = 1 << 18 // of a volume of 1 TiB
	simCluster = 25      // leaves that change side by side
	simChanges = 10      // such places in a backup
)

func newSim(b *testing.B, store *local.Store) *sim {
	s := &sim{b: b, rng: rand.New(rand.NewPCG(1, 1)), total: *simTiB*simLeaves/format.PackContainers + *simBackups}
	s.known = Survey{Incarnation: ID{1}, Oldest: math.MaxInt64, Sessions: map[ID]bool{}}
	v, err := Open(Config{Store: store, Keys: simKeys{}, Fence: s})
	if err != nil {
		b.Fatal(err)
	}
	s.v = v
	s.s = &session{writer: newWriter(v, SessionRef{Vault: v.id, Session: ID{1}, Token: 1}, ID{1}, func(err error) {
		if err != nil {
			b.Error(err)
		}
	})}
	s.pw = newPageWriter(s.s, nil)
	return s
}

type simKeys struct{}

func (simKeys) ID() [16]byte    { return ID{7} }
func (simKeys) Current() uint32 { return 1 }
func (simKeys) Derive(version uint32, label string, context []byte, size int) []byte {
	key := make([]byte, size)
	copy(key, fmt.Sprint(version, label[len(label)-4:]))
	for i, c := range context {
		key[i%size] ^= c
	}
	return key
}

// pack returns the id of the n-th pack of blocks; they are in order, and
// spread evenly.
func (s *sim) pack(n int) (id ID) {
	binary.BigEndian.PutUint64(id[:], uint64(n+1)*(math.MaxUint64/uint64(s.total+2)))
	return id
}

// volume stores the maps of a volume's backups.
func (s *sim) volume(n int) {
	ctx := s.b.Context()
	first := s.packs
	s.packs += simLeaves / format.PackContainers
	leaves := make([]maps.Ref, simLeaves)
	for i := range leaves {
		leaves[i] = s.leaf(uint64(i), s.pack(first+i/format.PackContainers), ID{}, 0)
	}
	all := make([]bool, simLeaves/format.FanOut)
	for i := range all {
		all[i] = true
	}
	one, two := make([]maps.Ref, simLeaves/format.FanOut), make([]maps.Ref, simLeaves/format.FanOut/format.FanOut)
	s.root(leaves, one, two, all)
	own := *simBackups / *simTiB
	for k := range own - 1 {
		changed := make([]bool, len(one))
		pack := s.pack(s.packs)
		s.packs++
		number := 0
		for range simChanges {
			at := s.rng.IntN(simLeaves - simCluster)
			for i := at; i < at+simCluster; i++ {
				leaves[i] = s.leaf(uint64(i), s.pack(first+i/format.PackContainers), pack, number)
				changed[i/format.FanOut] = true
				number++
			}
		}
		s.root(leaves, one, two, changed)
		if k%50 == 0 || k == own-2 {
			s.flush(ctx)
		}
	}
	s.flush(ctx)
}

func (s *sim) flush(ctx context.Context) {
	if err := s.pw.flush(ctx); err != nil {
		s.b.Fatal(err)
	}
	s.s.uploads.wg.Wait()
	if err := s.s.list(ctx, true); err != nil {
		s.b.Fatal(err)
	}
	s.placed = append(s.placed, s.s.takePlaced()...)
}

// leaf stores a leaf, of which some blocks are a later backup's.
func (s *sim) leaf(index uint64, base, later ID, number int) maps.Ref {
	c := uint8(index % format.PackContainers)
	l := maps.Leaf{Index: index, Packs: []ID{base}, Extents: []maps.Extent{{Count: format.LeafBlocks, Container: c}}}
	if later != (ID{}) {
		l.Packs = append(l.Packs, later)
		first := uint16(number%format.GroupBlocks) * format.GroupBlocks
		l.Extents = []maps.Extent{
			{Count: 500, Container: c},
			{Block: 500, Count: 32, Pack: 1, Container: uint8(number / format.GroupBlocks), First: first},
			{Block: 532, Count: format.LeafBlocks - 532, Container: c, First: 532},
		}
	}
	return s.page(l.Append(nil))
}

func (s *sim) page(b []byte) maps.Ref {
	s.pages++
	ref, err := s.pw.add(s.b.Context(), b)
	if err != nil {
		s.b.Fatal(err)
	}
	return ref
}

// root stores the inner pages above the leaves that changed.
func (s *sim) root(leaves, one, two []maps.Ref, changed []bool) {
	up := func(level uint8, below, refs []maps.Ref, changed []bool) []bool {
		above := make([]bool, (len(refs)+format.FanOut-1)/format.FanOut)
		for i, c := range changed {
			if c {
				page := maps.Inner{Level: level, Index: uint64(i)}
				copy(page.Children[:], below[i*format.FanOut:min(len(below), (i+1)*format.FanOut)])
				refs[i] = s.page(page.Append(nil))
				above[i/format.FanOut] = true
			}
		}
		return above
	}
	top := make([]maps.Ref, 1)
	up(3, two, top, up(2, one, two, up(1, leaves, one, changed)))
	// Each backup has page packs of its own.
	if err := s.pw.flush(s.b.Context()); err != nil {
		s.b.Fatal(err)
	}
	s.backups = append(s.backups, Root{
		Record: RecordRef{Object: format.RecordName{Vault: s.v.id, Backup: ID{byte(len(s.backups)), byte(len(s.backups) >> 8)}}.String()},
		Map:    maps.AppendRoot(nil, top[0], 3),
	})
}

// Survey implements Ledger.
func (s *sim) Survey(_ context.Context, _ SessionRef, pack func(PackRow) error) (Survey, error) {
	for n := range s.packs {
		id := s.pack(n)
		row := PackRow{
			Placement: Placement{
				Pack: id, Generation: 1, Kind: DataPack, Length: 32 << 20, Live: packBlocks,
				Object: format.Name(s.v.id, format.Packs, ID{1}, 1, id), DirObject: format.Name(s.v.id, format.Dirs, ID{1}, 1, ID{byte(n / 50), byte(n / 50 >> 8)}),
			},
			State: Writable, Session: ID{1},
		}
		if s.gone[PackGen{Pack: id, Generation: 1}] {
			continue
		}
		// The packs of increments have as many blocks as these changed.
		if n%(simLeaves/format.PackContainers + *simBackups / *simTiB - 1) >= simLeaves/format.PackContainers {
			row.Live, row.Length = simChanges*simCluster*32, 20<<20
		}
		if n == s.packs-1 {
			row.State, row.Epoch = cmp.Or(s.state, Writable), s.at
		}
		if err := pack(row); err != nil {
			return Survey{}, err
		}
	}
	for _, p := range s.placed {
		if s.gone[PackGen{Pack: p.Pack, Generation: 1}] {
			continue
		}
		if err := pack(PackRow{Placement: p, State: Writable, Session: ID{1}}); err != nil {
			return Survey{}, err
		}
	}
	v := s.known
	v.Announced = s.epoch
	return v, nil
}

// Condemn implements Ledger.
func (s *sim) Condemn(_ context.Context, _ SessionRef, packs []PackGen) (int64, error) {
	s.epoch++
	for _, g := range packs {
		if g.Pack != s.pack(s.packs-1) {
			return 0, fmt.Errorf("pack %s is condemned", g.Pack)
		}
		s.state, s.at = Condemned, s.epoch
	}
	return s.epoch, nil
}

// Switch implements Ledger.
func (s *sim) Switch(_ context.Context, _ SessionRef, w Switch) (int64, error) {
	s.epoch++
	for _, g := range w.Gone {
		s.gone[g] = true
	}
	for _, p := range w.New {
		s.placed = slices.DeleteFunc(s.placed, func(o Placement) bool { return o.Pack == p.Pack })
		s.placed = append(s.placed, p)
	}
	return s.epoch, nil
}

// Forget implements Ledger.
func (s *sim) Forget(context.Context, SessionRef, []string, bool) error { return nil }

// Begin implements Fence.
func (s *sim) Begin(context.Context, SessionRef) (Begun, error) { return Begun{}, ErrFenced }

// Checkpoint implements Fence.
func (s *sim) Checkpoint(context.Context, SessionRef, Checkpoint) error { return ErrFenced }

// Commit implements Fence.
func (s *sim) Commit(context.Context, SessionRef, Commit) error { return ErrFenced }

// Locate implements Fence.
func (s *sim) Locate(_ context.Context, _ ID, packs []ID) ([]Placement, error) {
	return make([]Placement, len(packs)), nil
}

// simMemory returns a figure of this process in bytes.
func simMemory(key string, reset bool) int64 {
	if reset {
		_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
	}
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), key)
	n := int64(0)
	fmt.Sscan(after, &n)
	return n << 10
}
