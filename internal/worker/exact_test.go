package worker_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/blob/fault"
	"holdfast/internal/service"
)

var (
	exactSeed = flag.Uint64("exact.seed", 0, "replay one run of TestExact; 0: new ones")
	exactTime = flag.Duration("exact.time", 3*time.Second, "how long TestExact makes new runs on each file system")
	exactOps  = flag.Int("exact.ops", 60, "operations in a run of TestExact")
)

// TestExact drives volumes, snapshots and backups at random beside plain
// images of them, and compares. A failing run is replayed by -exact.seed.
func TestExact(t *testing.T) {
	t.Run("temporary folder", func(t *testing.T) { exactRuns(t, t.TempDir()) })
	t.Run("xfs", func(t *testing.T) { exactRuns(t, mountXFS(t)) })
}

func exactRuns(t *testing.T, dir string) {
	if *exactSeed != 0 {
		exactRun(t, *exactSeed, dir)
		return
	}
	began := time.Now()
	for runs := 0; runs == 0 || time.Since(began) < *exactTime; runs++ {
		seed := rand.Uint64()
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { exactRun(t, seed, dir) })
		if !ok {
			t.Fatalf("replay with: go test ./internal/worker -run 'TestExact' -exact.ops %d -exact.seed %d", *exactOps, seed)
		}
	}
}

func exactRun(t *testing.T, seed uint64, dir string) {
	w := newWorld(t, options{volumes: dir, hasty: true})
	m := &machine{
		w: w, t: t, r: rand.New(rand.NewPCG(seed, 1)),
		volumes: map[string]*image{}, snapshots: map[string]*kept{}, backups: map[string]*kept{},
		restores: map[string]restore{},
	}
	m.addVolume()
	for range *exactOps {
		m.step()
	}
	m.end()
}

// machine is the state of a run: what each thing should hold.
type machine struct {
	w *world
	t *testing.T
	r *rand.Rand

	volumes   map[string]*image
	snapshots map[string]*kept
	backups   map[string]*kept
	restores  map[string]restore // unfinished, by target
	log       []string
}

// kept is an instant of a volume.
type kept struct {
	volume string
	taken  *image
}

type restore struct {
	from *image
	made bool // the target is new
}

func (m *machine) fail(format string, args ...any) {
	m.t.Helper()
	for _, l := range m.log {
		m.t.Log(l)
	}
	m.t.Fatalf(format, args...)
}

func (m *machine) note(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.fail("%v", err)
	}
}

// pick returns one of a map's keys, empty where there is none.
func pick[V any](m *machine, all map[string]V) string {
	keys := make([]string, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return ""
	}
	// Ids are random: order them by age, so that a seed replays.
	created := map[string]int64{}
	for _, k := range keys {
		created[k] = int64(m.w.count(`SELECT created_at FROM volumes WHERE id = $1 UNION ALL SELECT created_at FROM snapshots
			WHERE id = $1 UNION ALL SELECT created_at FROM backups WHERE id = $1`, k))
	}
	slices.SortFunc(keys, func(a, b string) int { return int(created[a] - created[b]) })
	return keys[m.r.IntN(len(keys))]
}

func (m *machine) idle() string { return pick(m, m.volumes) }

func (m *machine) step() {
	m.w.tick()
	if v := m.idle(); v != "" {
		for range m.r.IntN(4) {
			m.write(v)
		}
	}
	type choice struct {
		weight int
		run    func()
	}
	choices := []choice{
		{1, m.addVolume},
		{2, m.grow},
		{2, m.snapshot},
		{1, m.dropSnapshot},
		{10, m.back},
		{3, m.backSnapshot},
		{3, m.dropBackup},
		{3, m.restoreNew},
		{3, m.restoreOver},
		{2, m.fromSnapshot},
		{2, m.fromVolume},
		{1, m.fromBackup},
		{1, m.dropVolume},
		{1, m.restart},
		{1, m.hiccup},
		{6, m.settle},
	}
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	n := m.r.IntN(sum)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			c.run()
			break
		}
	}
	m.quick()
}

// quick runs what fixes instants, so that the images can follow; the moving of
// bytes stays queued.
func (m *machine) quick() {
	for m.w.runOne(service.JobVolumeCreate, service.JobVolumeDelete, service.JobVolumeExtend, service.JobVolumeTidy,
		service.JobSnapshotCreate, service.JobSnapshotDelete, service.JobBackupCapture) {
	}
}

// settle runs all jobs and compares what was restored.
func (m *machine) settle() {
	m.w.runAll()
	for id, r := range m.restores {
		if r.made {
			m.volumes[id] = newImage(m.w.volume(id).SizeGiB * backup.GiB)
		}
		delete(m.restores, id)
		m.volumes[id].overlay(r.from)
		m.compare(id)
	}
	for id := range m.backups {
		if b := m.w.backup(id); b.Status != backup.Available {
			m.fail("backup is %s: %s", b.Status, b.FailReason)
		}
	}
}

func (m *machine) compare(id string) {
	m.t.Helper()
	if v := m.w.volume(id); v.Status != backup.Available {
		m.fail("volume is %s\n%s", v.Status, m.w.jobList())
	}
	if err := m.volumes[id].differs(m.path(id)); err != nil {
		m.fail("volume %s: %v", id, err)
	}
}

func (m *machine) path(id string) string {
	path, err := m.w.volumes.Path(id)
	m.must(err)
	return path
}

// write changes a volume's file as a server would.
func (m *machine) write(id string) {
	if m.restores[id].from != nil {
		return
	}
	v := m.volumes[id]
	n := int64(1+m.r.IntN(40)) * block
	switch m.r.IntN(8) {
	case 0:
		n = int64(1 + m.r.IntN(3*block)) // off the grid
	case 1:
		n = int64(900+m.r.IntN(300)) * block // over a container and a leaf
	}
	off := m.offset(v.size, n)
	if n%block == 0 {
		off -= off % block
	}
	m.note("write %s at %d: %d", id[:4], off, n)
	switch m.r.IntN(6) {
	case 0:
		m.must(writeFile(m.path(id), make([]byte, n), off))
		v.zero(off, n)
	case 1:
		m.must(punch(m.path(id), off, n))
		v.zero(off, n)
	case 2: // discard much
		off, n = off-off%block, min(int64(1+m.r.IntN(64))<<20, v.size-off)
		m.must(punch(m.path(id), off, n))
		v.zero(off, n)
	default:
		p := stuff(uint64(1+m.r.IntN(40)), int(n)) // few, so that there are duplicates
		m.must(writeFile(m.path(id), p, off))
		v.write(off, p)
	}
}

// offset returns where n bytes go: mostly near one of a few places.
func (m *machine) offset(size, n int64) int64 {
	places := []int64{0, 4 << 20, 64 << 20, 256 << 20, size / 2, size - 1<<20}
	off := places[m.r.IntN(len(places))] + m.r.Int64N(3<<20) - 1<<20
	if m.r.IntN(10) == 0 {
		off = m.r.Int64N(size)
	}
	return max(0, min(off, size-n))
}

func (m *machine) addVolume() {
	if len(m.volumes)+len(m.restores) > 6 {
		return
	}
	v, err := m.w.service.CreateVolume(m.w.ctx(), alice, service.NewVolume{SizeGiB: int64(1 + m.r.IntN(2))})
	m.must(err)
	m.note("new volume %s", v.ID[:4])
	m.volumes[v.ID] = newImage(v.SizeGiB * backup.GiB)
	m.quick()
	for range 5 {
		m.write(v.ID)
	}
}

func (m *machine) grow() {
	id := m.idle()
	if id == "" || m.restores[id].from != nil || m.volumes[id].size >= 4*backup.GiB {
		return
	}
	m.note("grow %s", id[:4])
	m.volumes[id].size += backup.GiB
	m.must(m.w.service.ExtendVolume(m.w.ctx(), alice, id, m.volumes[id].size/backup.GiB))
}

func (m *machine) snapshot() {
	id := m.idle()
	if id == "" || m.restores[id].from != nil {
		return
	}
	s, err := m.w.service.CreateSnapshot(m.w.ctx(), alice, service.NewSnapshot{VolumeID: id})
	m.must(err)
	m.note("snapshot %s of %s", s.ID[:4], id[:4])
	m.snapshots[s.ID] = &kept{id, m.volumes[id].clone()}
}

// freeSnapshot returns a snapshot that no backup reads.
func (m *machine) freeSnapshot() string {
	id := pick(m, m.snapshots)
	if id == "" {
		return ""
	}
	if s, err := m.w.service.Snapshot(m.w.ctx(), alice, id); err != nil || s.Status != backup.Available {
		return ""
	}
	return id
}

func (m *machine) dropSnapshot() {
	if id := m.freeSnapshot(); id != "" {
		m.note("drop snapshot %s", id[:4])
		m.must(m.w.service.DeleteSnapshot(m.w.ctx(), alice, id, false))
		delete(m.snapshots, id)
	}
}

func (m *machine) back() {
	if id := m.idle(); id != "" && m.restores[id].from == nil {
		m.request(service.NewBackup{VolumeID: id}, m.volumes[id].clone())
	}
}

func (m *machine) backSnapshot() {
	if id := m.freeSnapshot(); id != "" {
		m.request(service.NewBackup{VolumeID: m.snapshots[id].volume, SnapshotID: id}, m.snapshots[id].taken.clone())
	}
}

// request asks for a backup, an incremental one where there is a parent.
func (m *machine) request(n service.NewBackup, taken *image) {
	n.Incremental = m.r.IntN(4) > 0
	b, err := m.w.service.CreateBackup(m.w.ctx(), alice, n)
	if backup.ReasonOf(err) == backup.NoParent {
		n.Incremental = false
		b, err = m.w.service.CreateBackup(m.w.ctx(), alice, n)
	}
	m.must(err)
	m.note("backup %s of %s %s, incremental %v", b.ID[:4], n.VolumeID[:4], n.SnapshotID, n.Incremental)
	m.backups[b.ID] = &kept{n.VolumeID, taken}
}

// done returns a backup that is available.
func (m *machine) done() string {
	id := pick(m, m.backups)
	if id == "" || m.w.backup(id).Status != backup.Available {
		return ""
	}
	return id
}

func (m *machine) dropBackup() {
	if id := m.done(); id != "" {
		m.note("drop backup %s", id[:4])
		m.must(m.w.service.DeleteBackup(m.w.ctx(), alice, id, false))
		delete(m.backups, id)
	}
}

func (m *machine) restoreNew() {
	if id := m.done(); id != "" && len(m.volumes) < 7 {
		r, err := m.w.service.RestoreBackup(m.w.ctx(), alice, id, service.RestoreRequest{})
		m.must(err)
		m.note("restore %s to new %s", id[:4], r.VolumeID[:4])
		m.restores[r.VolumeID] = restore{m.backups[id].taken.clone(), true}
	}
}

func (m *machine) restoreOver() {
	id, target := m.done(), m.idle()
	if id == "" || target == "" || m.restores[target].from != nil || m.volumes[target].size < m.backups[id].taken.size {
		return
	}
	_, err := m.w.service.RestoreBackup(m.w.ctx(), alice, id, service.RestoreRequest{VolumeID: target})
	m.must(err)
	m.note("restore %s over %s", id[:4], target[:4])
	m.restores[target] = restore{m.backups[id].taken.clone(), false}
}

// derive makes a volume from something, perhaps a larger one.
func (m *machine) derive(n service.NewVolume, from *image) {
	if len(m.volumes) > 6 {
		return
	}
	m.settle() // a restore over the source would hold the copy up
	n.SizeGiB = from.size/backup.GiB + int64(m.r.IntN(2))
	v, err := m.w.service.CreateVolume(m.w.ctx(), alice, n)
	m.must(err)
	m.note("volume %s from %s%s%s", v.ID[:4], n.SnapshotID, n.SourceVolumeID, n.BackupID)
	if n.BackupID != "" {
		m.restores[v.ID] = restore{from.clone(), true}
		return
	}
	made := from.clone()
	made.size = n.SizeGiB * backup.GiB
	m.volumes[v.ID] = made
	m.quick()
	m.compare(v.ID)
}

func (m *machine) fromSnapshot() {
	if id := m.freeSnapshot(); id != "" {
		m.derive(service.NewVolume{SnapshotID: id}, m.snapshots[id].taken)
	}
}

func (m *machine) fromVolume() {
	if id := m.idle(); id != "" && m.restores[id].from == nil {
		m.derive(service.NewVolume{SourceVolumeID: id}, m.volumes[id])
	}
}

func (m *machine) fromBackup() {
	if id := m.done(); id != "" {
		m.derive(service.NewVolume{BackupID: id}, m.backups[id].taken)
	}
}

func (m *machine) dropVolume() {
	id := m.idle()
	if id == "" || m.restores[id].from != nil || len(m.volumes) < 3 {
		return
	}
	for s, k := range m.snapshots {
		if k.volume == id {
			if snap, err := m.w.service.Snapshot(m.w.ctx(), alice, s); err != nil || snap.Status != backup.Available {
				return
			}
		}
	}
	m.note("drop volume %s", id[:4])
	m.must(m.w.service.DeleteVolume(m.w.ctx(), alice, id, service.Delete{Cascade: true}))
	delete(m.volumes, id)
	maps.DeleteFunc(m.snapshots, func(_ string, k *kept) bool { return k.volume == id })
}

func (m *machine) restart() {
	m.note("restart")
	m.w.restart()
}

// hiccup has the store fail once soon.
func (m *machine) hiccup() {
	m.note("hiccup")
	op := []fault.Op{fault.Put, fault.Get, fault.List}[m.r.IntN(3)]
	m.w.store.Add(fault.Fault{Op: op, Nth: 1 + m.r.IntN(6), Err: errAway, Late: m.r.IntN(2) == 0})
}

// end compares every volume, and every backup on a new volume, and finds
// nothing left.
func (m *machine) end() {
	m.w.store.Clear()
	m.settle()
	for id := range m.volumes {
		m.compare(id)
	}
	for id, k := range m.backups {
		target := m.w.restored(alice, id)
		path := m.path(target)
		if err := k.taken.differs(path); err != nil {
			m.fail("backup %s, restored: %v", id, err)
		}
		m.must(m.w.service.DeleteVolume(m.w.ctx(), alice, target, service.Delete{}))
		m.w.runAll()
	}
	m.w.wantTidy()
	for id := range m.volumes {
		m.must(m.w.service.DeleteVolume(m.w.ctx(), alice, id, service.Delete{Cascade: true}))
	}
	for id := range m.backups {
		m.must(m.w.service.DeleteBackup(m.w.ctx(), alice, id, false))
	}
	m.w.runAll()
	m.w.wantTidy()
	m.w.wantNothing()
}
