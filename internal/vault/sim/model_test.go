package sim_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

var operations = flag.Int("sim.operations", 10_000, "how many operations the model test does in all")

// model is a volume as byte arrays, and a vault that must agree with them.
type model struct {
	t     *testing.T
	rng   *rand.Rand
	store *mem.Store
	fence *vaulttest.Fence
	keys  vaulttest.Keys
	index *vault.Index
	draws uint64

	data    []byte
	state   int
	backups []kept
	open    *unfinished // a backup that a crash left
	counts  map[string]int
}

// kept is a backup that is available.
type kept struct {
	ref   vault.RecordRef
	state string
	data  []byte
}

// unfinished is a backup whose process died.
type unfinished struct {
	req  vault.BackupRequest
	data []byte
}

// TestModel does random operations on a volume and its vault, and compares
// every restore with a byte array.
func TestModel(t *testing.T) {
	const parts = 4
	for part := range uint64(parts) {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			n := *operations / parts
			if testing.Short() {
				n = min(n, 120)
			}
			m := newModel(t, *seed+part)
			for i := range n {
				m.step()
				if t.Failed() {
					t.Fatalf("operation %d with -sim.seed=%d", i, *seed+part)
				}
			}
			m.restoreAll()
			t.Log(m.counts)
		})
	}
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, rng: rand.New(rand.NewPCG(seed, 4)), store: mem.New(), fence: vaulttest.NewFence(),
		keys: vaulttest.Keys{Vault: vault.ID{5}}, index: vault.NewIndex(vault.IndexConfig{}), counts: map[string]int{},
	}
	m.data = make([]byte, 9<<20+100)
	for range 8 {
		m.write()
	}
	return m
}

// step does one operation.
func (m *model) step() {
	ops := []struct {
		weight int
		name   string
		do     func()
	}{
		{30, "write", m.write},
		{8, "zero or discard", m.zero},
		{8, "copy", m.copy},
		{2, "grow or shrink", m.resize},
		{20, "backup", func() { m.backup("") }},
		{6, "backup by change map", func() { m.backup("exact") }},
		{4, "backup by a wide map", func() { m.backup("wide") }},
		{2, "backup by a wrong parent's map", m.wrongMap},
		{2, "backup by a lying map", func() { m.backup("lie") }},
		{3, "crash", m.crash},
		{10, "delete", m.remove},
		{5, "collect", func() { m.collect(false) }},
		{2, "maintain", func() { m.collect(true) }},
		{8, "restore", m.restore},
		{1, "verify", m.verify},
		{1, "rotate the vault key", func() { m.keys.Versions = m.keys.Current() + 1 }},
		{1, "forget the index", func() { m.index = vault.NewIndex(vault.IndexConfig{}) }},
	}
	total := 0
	for _, o := range ops {
		total += o.weight
	}
	at := m.rng.IntN(total)
	for _, o := range ops {
		if at -= o.weight; at < 0 {
			m.counts[o.name]++
			o.do()
			return
		}
	}
}

func (m *model) vault(store blob.Store, f catalog) *vault.Vault {
	m.draws++
	v, err := vault.Open(vault.Config{
		Store: store, Fence: f, Keys: m.keys, Workers: 1, Index: m.index, CheckpointBytes: 200 << 10,
		Rand: rand.NewChaCha8([32]byte{byte(m.draws), byte(m.draws >> 8), byte(m.draws >> 16), byte(m.draws >> 24)}),
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return v
}

// span returns a range of the volume, often of whole blocks.
func (m *model) span() (from, to int) {
	if len(m.data) == 0 {
		return 0, 0
	}
	from = m.rng.IntN(len(m.data))
	n := 1 + m.rng.IntN(60_000)
	if m.rng.IntN(3) > 0 {
		from, n = from/4096*4096, (n+4095)/4096*4096
	}
	return from, min(len(m.data), from+n)
}

// Each change makes a new array: backups keep theirs.
func (m *model) write() {
	m.data = bytes.Clone(m.data)
	from, to := m.span()
	for i := range m.data[from:to] {
		m.data[from+i] = byte(m.rng.Uint32())
	}
}

func (m *model) zero() {
	m.data = bytes.Clone(m.data)
	from, to := m.span()
	clear(m.data[from:to])
}

func (m *model) copy() {
	from, to := m.span()
	src := m.data
	if len(m.backups) > 0 && m.rng.IntN(2) == 0 {
		src = m.backups[m.rng.IntN(len(m.backups))].data
	}
	m.data = bytes.Clone(m.data)
	copy(m.data[from:to], src[min(from/2/4096*4096, len(src)):])
}

func (m *model) resize() {
	n := m.rng.IntN(13 << 20)
	if m.rng.IntN(4) == 0 {
		n = m.rng.IntN(3) * 4096
	}
	b := make([]byte, n)
	copy(b, m.data)
	m.data = b
}

// request asks for a backup of the volume as it is.
func (m *model) request(parent *kept) vault.BackupRequest {
	m.state++
	var ref *vault.RecordRef
	if parent != nil {
		ref = &parent.ref
	}
	return vault.BackupRequest{
		Session: m.fence.Session(m.keys.Vault, ref),
		Info: vault.Info{
			Backup: fmt.Sprintf("00000000-0000-4000-8000-%012x", m.state), Volume: "11111111-1111-4111-8111-111111111111",
			DataTime: time.Unix(int64(m.state), 0).UTC(),
		},
		Source:      &vaulttest.Volume{Data: m.data, Holes: []int{0, 4096, 65536}[m.rng.IntN(3)]},
		SourceState: fmt.Sprintf("state %d", m.state),
		Compression: []vault.Compression{vault.Auto, vault.Fast, vault.Balanced}[m.rng.IntN(3)],
	}
}

// parent returns the newest backup mostly, sometimes another, or none.
func (m *model) parent() *kept {
	if len(m.backups) == 0 || m.rng.IntN(10) == 0 {
		return nil
	}
	if m.rng.IntN(3) > 0 {
		return &m.backups[len(m.backups)-1]
	}
	return &m.backups[m.rng.IntN(len(m.backups))]
}

func (m *model) backup(how string) {
	parent := m.parent()
	req := m.request(parent)
	lie := false
	if parent != nil && how != "" {
		ext := blocksThatDiffer(parent.data, m.data)
		switch how {
		case "wide":
			ext = m.widen(ext)
		case "lie":
			ext, lie = m.leaveOut(ext, parent)
		}
		req.Changes = &vault.ChangeMap{Since: parent.state, Extents: ext}
	}
	res, err := m.vault(m.store, m.fence).Backup(m.t.Context(), req)
	if err != nil {
		m.t.Fatalf("backup: %v", err)
	}
	if lie && res.ChangeMap {
		m.t.Fatal("a lie was not found, though the audit reads all of so small a volume")
	}
	if res.MapLied && !lie {
		m.t.Fatal("an honest map is called a lie")
	}
	if res.MapLied {
		m.counts["lies found"]++
	}
	m.keep(req)
	m.check(m.backups[len(m.backups)-1])
}

func (m *model) keep(req vault.BackupRequest) {
	data := req.Source.(*vaulttest.Volume).Data
	m.backups = append(m.backups, kept{m.fence.Committed(req.Session).Record, req.SourceState, data})
}

func (m *model) widen(ext []vault.Extent) []vault.Extent {
	var out []vault.Extent
	at := int64(0)
	for _, e := range append(ext, vault.Extent{Offset: int64(len(m.data))}) {
		if gap := e.Offset - at; gap > 1 && m.rng.IntN(2) == 0 {
			from := at + m.rng.Int64N(gap-1)
			out = append(out, vault.Extent{Offset: from, Length: e.Offset - from})
		}
		if e.Length > 0 {
			out = append(out, e)
		}
		at = e.Offset + e.Length
	}
	return out
}

// leaveOut drops an extent, and reports whether that matters: what lies behind
// the smaller size is read whatever the map says.
func (m *model) leaveOut(ext []vault.Extent, parent *kept) ([]vault.Extent, bool) {
	if len(ext) == 0 {
		return ext, false
	}
	i := m.rng.IntN(len(ext))
	common := int64(min(len(parent.data), len(m.data))) / (4 << 20) * (4 << 20)
	lie := len(parent.data) == len(m.data) || ext[i].Offset < common
	return slices.Delete(slices.Clone(ext), i, i+1), lie
}

// wrongMap gives a map that begins at another state than the parent's.
func (m *model) wrongMap() {
	parent := m.parent()
	if parent == nil {
		return
	}
	req := m.request(parent)
	req.Changes = &vault.ChangeMap{Since: parent.state + "x"}
	if _, err := m.vault(m.store, m.fence).Backup(m.t.Context(), req); !errors.Is(err, vault.ErrStaleChangeMap) {
		m.t.Fatalf("a map of another state: %v", err)
	}
	m.fence.Abandon(req.Session)
}

// crash has a backup or a collection die at some call; a backup is finished, or
// given up, later.
func (m *model) crash() {
	c := &crasher{Store: m.store, Fence: m.fence, left: 1 + m.rng.IntN(12), late: m.rng.IntN(2) == 0, rng: m.rng}
	if m.rng.IntN(2) == 0 {
		s := m.fence.Session(m.keys.Vault, nil)
		_, err := m.vault(c, c).Collect(m.t.Context(), vault.CollectRequest{Session: s, Ledger: c, Maintain: m.rng.IntN(2) == 0})
		if c.dead == (err == nil) {
			m.t.Fatalf("dead %v, and the collection says %v", c.dead, err)
		}
		m.fence.Abandon(s)
		return
	}
	m.settle()
	req := m.request(m.parent())
	_, err := m.vault(c, c).Backup(m.t.Context(), req)
	switch {
	case m.fence.Committed(req.Session) != nil:
		m.keep(req) // acknowledged or not, it is there
	case err == nil:
		m.t.Fatal("a backup that was not committed is acknowledged")
	default:
		m.open = &unfinished{req, m.data}
	}
}

// settle finishes or gives up what a crash left.
func (m *model) settle() {
	if m.open == nil {
		return
	}
	req := m.open.req
	m.open = nil
	req.Session.Token++
	if m.rng.IntN(3) == 0 {
		m.fence.Abandon(req.Session)
		return
	}
	if _, err := m.vault(m.store, m.fence).Backup(m.t.Context(), req); err != nil {
		m.t.Fatalf("going on with a backup: %v", err)
	}
	m.counts["resumed"]++
	m.keep(req)
	m.check(m.backups[len(m.backups)-1])
}

func (m *model) remove() {
	if len(m.backups) == 0 {
		return
	}
	i := m.rng.IntN(len(m.backups))
	ref := m.backups[i].ref
	m.backups = slices.Delete(m.backups, i, i+1)
	m.fence.Delete(ref)
	if m.open != nil {
		return // it may be the parent of what is not finished
	}
	name, err := format.ParseRecordName(ref.Object)
	if err != nil {
		m.t.Fatal(err)
	}
	if err := vault.RemoveRecords(m.t.Context(), m.store, m.keys.Vault, format.UUID(name.Backup), ref); err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) collect(maintain bool) {
	if m.rng.IntN(2) == 0 {
		m.settle()
	}
	s := m.fence.Session(m.keys.Vault, nil)
	res, err := m.vault(m.store, m.fence).Collect(m.t.Context(), vault.CollectRequest{
		Session: s, Ledger: m.fence, Maintain: maintain, Compression: vault.Balanced,
	})
	if err != nil {
		m.t.Fatalf("collect: %v", err)
	}
	if res.Waiting {
		m.counts["collections that waited"]++
	}
}

// verify finds nothing wrong.
func (m *model) verify() {
	req := vault.VerifyRequest{ReadData: m.rng.IntN(2) == 0}
	for _, b := range m.backups {
		req.Backups = append(req.Backups, b.ref)
	}
	report, err := m.vault(m.store, m.fence).Verify(m.t.Context(), req)
	if err != nil {
		m.t.Fatalf("verify: %v", err)
	}
	if !report.OK() {
		m.t.Fatalf("verify finds damage: %+v %+v", report.DamagedBackups, report.DamagedPacks)
	}
}

func (m *model) restore() {
	if len(m.backups) > 0 {
		m.check(m.backups[m.rng.IntN(len(m.backups))])
	}
}

func (m *model) restoreAll() {
	for _, b := range m.backups {
		m.check(b)
	}
}

// check restores a backup over other bytes.
func (m *model) check(b kept) {
	m.t.Helper()
	got := &vaulttest.Volume{Data: bytes.Repeat([]byte{0xa5}, len(b.data)+4096)}
	err := m.vault(m.store, m.fence).Restore(context.Background(), vault.RestoreRequest{Record: b.ref, Target: got})
	if err != nil {
		m.t.Fatalf("restore %s: %v", b.ref.Object, err)
	}
	if !bytes.Equal(got.Data[:len(b.data)], b.data) {
		m.t.Fatalf("%s restores to other bytes", b.ref.Object)
	}
	if !bytes.Equal(got.Data[len(b.data):], bytes.Repeat([]byte{0xa5}, 4096)) {
		m.t.Fatalf("the restore of %s wrote behind its end", b.ref.Object)
	}
}

// blocksThatDiffer returns the blocks of b that differ from a's, as extents.
func blocksThatDiffer(a, b []byte) []vault.Extent {
	var out []vault.Extent
	block := func(v []byte, off int) []byte { return v[min(off, len(v)):min(off+4096, len(v))] }
	for off := 0; off < len(b); off += 4096 {
		if bytes.Equal(block(a, off), block(b, off)) {
			continue
		}
		n := int64(len(block(b, off)))
		if k := len(out); k > 0 && out[k-1].Offset+out[k-1].Length == int64(off) {
			out[k-1].Length += n
			continue
		}
		out = append(out, vault.Extent{Offset: int64(off), Length: n})
	}
	return out
}
