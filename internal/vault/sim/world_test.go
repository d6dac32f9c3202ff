package sim_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// world is one vault, the volumes that are backed up into it, and the tasks
// that run. All that is random comes from its seed.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	sched *scheduler
	puts  *puts
	store *mem.Store
	fence *vaulttest.Fence
	id    vault.ID

	volumes []*volume
	tasks   []*task
	backups int
	old     *vaulttest.Fence // a dump of the catalog

	mu      sync.Mutex
	taken   map[vault.RecordRef]*taken
	removed int  // objects that a collection deleted
	checked int  // how many of these when all backups were last compared
	newest  bool // the catalog is not an old one
	counts  map[string]int
}

// volume changes from backup to backup.
type volume struct {
	name string
	data []byte
	last *taken
}

// taken is a backup that was acknowledged.
type taken struct {
	ref     vault.RecordRef
	state   string
	data    []byte
	deleted bool
}

// task is a session, of a backup or of a collection, with its attempts.
type task struct {
	session vault.SessionRef
	start   func(ctx context.Context, v *vault.Vault, f fence, s vault.SessionRef) error
	collect bool
	data    []byte
	state   string
	volume  *volume

	running  []*attempt
	attempts int
	done     bool
}

// attempt is one process that works on a task.
type attempt struct {
	process
	number int // of the task's attempts
	cancel context.CancelCauseFunc
	ended  chan error
}

const volumeSize = 9<<20 + 100

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), sched: &scheduler{rng: rand.New(rand.NewPCG(seed, 2))},
		puts: newPuts(), store: mem.New(), fence: vaulttest.NewFence(), id: vault.ID{7},
		taken: map[vault.RecordRef]*taken{}, newest: true, counts: map[string]int{},
	}
	golden := make([]byte, volumeSize)
	w.scribble(golden, 6)
	for i := range 2 {
		w.volumes = append(w.volumes, &volume{name: fmt.Sprintf("1111111%d-1111-4111-8111-111111111111", i), data: bytes.Clone(golden)})
	}
	return w
}

// scribble writes runs of new blocks.
func (w *world) scribble(b []byte, runs int) {
	for range runs {
		at := w.rng.IntN(len(b)/4096) * 4096
		end := min(len(b), at+(1+w.rng.IntN(24))*4096)
		for i := at; i+8 <= end; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], w.rng.Uint64())
		}
	}
}

// change makes a volume's next day.
func (w *world) change(v *volume) {
	v.data = bytes.Clone(v.data)
	w.scribble(v.data, w.rng.IntN(4))
	at := w.rng.IntN(len(v.data)/4096) * 4096
	switch w.rng.IntN(4) {
	case 0:
		clear(v.data[at:min(len(v.data), at+30*4096)])
	case 1: // what is there already, from the other volume too
		from := w.volumes[w.rng.IntN(len(w.volumes))].data
		copy(v.data[at:], from[:min(len(from), 40*4096)])
	}
}

// open returns the vault as a process sees it, or as nobody disturbs it.
func (w *world) open(by *process) *vault.Vault {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], w.rng.Uint64())
	cfg := vault.Config{
		Store: w.store, Fence: w.fence, Keys: vaulttest.Keys{Vault: w.id}, Workers: 1, Rand: rand.NewChaCha8(seed),
		CheckpointBytes: 150 << 10,
	}
	if by != nil {
		cfg.Store, cfg.Fence = store{w.store, w, by}, fence{w, by}
		// The clocks of processes are up to a day apart.
		skew := time.Duration(w.rng.Int64N(int64(48*time.Hour))) - 24*time.Hour
		cfg.Now = func() time.Time { return time.Now().Add(skew) }
	}
	v, err := vault.Open(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// begin starts a task's next attempt. Earlier ones go on as zombies.
func (w *world) begin(k *task) {
	k.attempts++
	ref := k.session
	ref.Token = int64(k.attempts)
	ctx, cancel := context.WithCancelCause(w.t.Context())
	a := &attempt{number: k.attempts, cancel: cancel, ended: make(chan error, 1)}
	a.name = fmt.Sprintf("%x.%d", ref.Session[8:], ref.Token)
	k.running = append(k.running, a)
	v := w.open(&a.process)
	go func() { a.ended <- k.start(ctx, v, fence{w, &a.process}, ref) }()
}

// backup starts the backup of a volume.
func (w *world) backup(v *volume) {
	w.change(v)
	var parent *vault.RecordRef
	if v.last != nil && w.rng.IntN(8) > 0 && slices.Contains(w.fence.Available(), v.last.ref) {
		parent = &v.last.ref
	}
	w.backups++
	k := &task{session: w.fence.Session(w.id, parent), data: v.data, state: fmt.Sprintf("state %d", w.backups), volume: v}
	req := vault.BackupRequest{
		Info: vault.Info{
			Backup: fmt.Sprintf("00000000-0000-4000-8000-%012x", w.backups), Volume: v.name, DataTime: time.Unix(int64(w.backups), 0).UTC(),
		},
		SourceState: k.state,
	}
	if parent != nil && w.rng.IntN(2) == 0 {
		req.Changes = &vault.ChangeMap{Since: v.last.state, Extents: blocksThatDiffer(v.last.data, v.data)}
	}
	k.start = func(ctx context.Context, vlt *vault.Vault, _ fence, s vault.SessionRef) error {
		req := req
		req.Session, req.Source = s, &vaulttest.Volume{Data: k.data, Holes: 4096}
		_, err := vlt.Backup(ctx, req)
		return err
	}
	w.tasks = append(w.tasks, k)
	w.begin(k)
}

// collect starts a collection.
func (w *world) collect() {
	k := &task{session: w.fence.Session(w.id, nil), collect: true}
	maintain := w.rng.IntN(3) == 0
	k.start = func(ctx context.Context, v *vault.Vault, f fence, s vault.SessionRef) error {
		_, err := v.Collect(ctx, vault.CollectRequest{Session: s, Ledger: f, Maintain: maintain, Compression: vault.Balanced})
		return err
	}
	w.tasks = append(w.tasks, k)
	w.begin(k)
}

// committed notes that a backup is acknowledged.
func (w *world) committed(s vault.SessionRef, c vault.Commit) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.tasks {
		if k.session.Session == s.Session {
			b := &taken{ref: c.Record, state: k.state, data: k.data}
			w.taken[c.Record] = b
			k.volume.last = b
			w.counts["backups"]++
		}
	}
}

// deleted notes that somebody is about to delete an object.
func (w *world) deleted(string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.removed++
	w.counts["objects deleted"]++
}

// remove deletes a backup that is available, as its user asks for.
func (w *world) remove() {
	all := w.fence.Available()
	if len(all) == 0 {
		return
	}
	ref := all[w.rng.IntN(len(all))]
	pinned := slices.ContainsFunc(w.tasks, func(k *task) bool { return !k.done && !k.collect })
	w.fence.Delete(ref)
	w.taken[ref].deleted = true
	w.counts["backups deleted"]++
	if pinned {
		return // its record stays, as a child may be under way; the next sweep or nobody removes it
	}
	name, err := format.ParseRecordName(ref.Object)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := vault.RemoveRecords(w.t.Context(), w.store, w.id, format.UUID(name.Backup), ref); err != nil {
		w.t.Fatal(err)
	}
}

// compare restores every backup that somebody was promised.
func (w *world) compare() {
	w.t.Helper()
	w.checked = w.removed
	v := w.open(nil)
	for _, ref := range w.fence.Available() {
		b := w.taken[ref]
		target := &vaulttest.Volume{Data: bytes.Repeat([]byte{0xa5}, len(b.data))}
		if err := v.Restore(w.t.Context(), vault.RestoreRequest{Record: ref, Target: target}); err != nil {
			w.t.Fatalf("restore %s: %v", ref.Object, err)
		}
		if !bytes.Equal(target.Data, b.data) {
			w.t.Fatalf("%s restores to other bytes", ref.Object)
		}
	}
}

// compareBare restores all that was promised from the store alone, whatever
// the present catalog knows.
func (w *world) compareBare() {
	w.t.Helper()
	bare, err := vault.OpenBare(w.t.Context(), w.store, func(context.Context, vault.ID) (vault.Keys, error) {
		return vaulttest.Keys{Vault: w.id}, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range w.taken {
		if b.deleted {
			continue
		}
		target := &vaulttest.Volume{Data: bytes.Repeat([]byte{0xa5}, len(b.data))}
		if err := bare.Restore(w.t.Context(), vault.RestoreRequest{Record: b.ref, Target: target}); err != nil {
			w.t.Fatalf("restore %s from the bare store: %v", b.ref.Object, err)
		}
		if !bytes.Equal(target.Data, b.data) {
			w.t.Fatalf("%s restores from the bare store to other bytes", b.ref.Object)
		}
	}
}

// reap takes note of attempts that ended.
func (w *world) reap() {
	for _, k := range w.tasks {
		for _, a := range slices.Clone(k.running) {
			select {
			case err := <-a.ended:
				k.running = slices.DeleteFunc(k.running, func(x *attempt) bool { return x == a })
				w.ended(k, a, err)
			default:
			}
		}
	}
	w.tasks = slices.DeleteFunc(w.tasks, func(k *task) bool { return k.done && len(k.running) == 0 })
}

// ended judges how an attempt ended.
func (w *world) ended(k *task, a *attempt, err error) {
	switch {
	case err == nil:
		k.done = true
		if k.collect {
			w.fence.Abandon(k.session) // one that waits for sessions is followed by another collection
		}
	case a.killed(), errors.Is(err, vault.ErrFenced):
	case a.number < k.attempts: // a zombie may find gone what the one after it has removed
	case errors.Is(err, vault.ErrOldCatalog) && !w.newest:
		w.counts["refused as an old catalog"]++
		w.giveUp(k)
	default:
		w.t.Fatalf("%s: %v", a.name, err)
	}
	if !k.done && len(k.running) == 0 {
		if k.attempts < 4 {
			w.begin(k)
			return
		}
		w.giveUp(k)
	}
}

func (w *world) giveUp(k *task) {
	k.done = true
	w.fence.Abandon(k.session)
	w.counts["sessions abandoned"]++
}
