package e2e_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slow makes operations long enough to be hit in their middle, and has
// progress noted as often as can be.
const slow = `
engine: {workers: 1, compression: small}
jobs: {workers: 3, lease: 1s, heartbeat: 100ms}
`

// crasher kills a server again and again, and knows what must be true of it
// after each restart.
type crasher struct {
	*server
	r      *rand.Rand
	source string          // volume that is backed up
	target string          // volume that is restored over
	held   map[string]sum  // what each available backup holds
	taken  map[string]bool // backups that an operation under way needs

	typical map[string]time.Duration // how long an operation takes undisturbed
	kills   int
	inside  int            // kills that left a running job
	hits    map[string]int // jobs that kills left, by kind and state
}

// operation is one that was asked for.
type operation struct {
	end func() // waits until it has ended, and checks what came of it
}

// TestKilledOperationsGoOn kills the server at random moments of backups,
// restores and deletions, some of them twice. After each restart the same
// operations must end well by themselves, and all that was available before
// must still be exact.
func TestKilledOperationsGoOn(t *testing.T) {
	t.Parallel()
	x := newCrasher(t)
	kinds := []string{"backup", "backup, once it is captured", "restore", "restore over", "delete", "all at once"}
	for range *rounds {
		for _, kind := range kinds {
			x.round(kind)
		}
	}
	x.finish()
	t.Logf("%d kills, %d of them while a job ran; jobs they left:", x.kills, x.inside)
	for _, name := range slices.Sorted(maps.Keys(x.hits)) {
		t.Logf("%4d %s", x.hits[name], name)
	}
	if x.inside < x.kills/3 {
		t.Errorf("only %d of %d kills hit anything", x.inside, x.kills)
	}
}

// newCrasher starts a server and fills it with a volume and some backups,
// timing how long operations take.
func newCrasher(t *testing.T) *crasher {
	t.Helper()
	x := &crasher{
		server: newServer(t, settings{more: slow}), r: newRand(t), held: map[string]sum{}, taken: map[string]bool{},
		hits: map[string]int{}, typical: map[string]time.Duration{},
	}
	x.start()
	x.source = x.createVolume("source", 1)
	x.target = x.createVolume("target", 1)
	scribble(t, x.r, x.volumeFile(x.source), 120, 1<<20)
	scribble(t, x.r, x.volumeFile(x.target), 20, 1<<20)
	for range 5 {
		x.time("backup", x.backup)
	}
	x.time("restore", x.restoreNew)
	x.time("restore over", x.restoreToTarget)
	x.time("delete", x.delete)
	x.typical["backup, once it is captured"] = x.typical["backup"] / 2
	x.typical["all at once"] = x.typical["backup"] + x.typical["restore"]
	return x
}

// time carries an operation out and remembers how long it took.
func (x *crasher) time(kind string, begin func() operation) {
	x.t.Helper()
	began := time.Now()
	begin().end()
	x.typical[kind] = max(time.Since(began), time.Millisecond)
}

// round begins operations of a kind, kills the server in their middle, and
// sees them end.
func (x *crasher) round(kind string) {
	x.t.Helper()
	var under []operation
	switch kind {
	case "backup":
		under = append(under, x.backup())
	case "backup, once it is captured":
		under = append(under, x.backup())
		x.wait("volume", x.source, "available")
	case "restore":
		under = append(under, x.restoreNew())
	case "restore over":
		under = append(under, x.restoreToTarget())
	case "delete":
		under = append(under, x.delete())
	case "all at once":
		under = append(under, x.restoreNew(), x.restoreToTarget(), x.backup(), x.delete())
	}
	x.crash(x.typical[kind])
	if x.r.IntN(3) == 0 {
		x.crash(x.typical[kind])
	}
	for _, o := range under {
		o.end()
	}
}

// crash kills the server after a random part of limit, counts what it was
// doing, and starts it again.
func (x *crasher) crash(limit time.Duration) {
	x.t.Helper()
	<-time.After(time.Duration(x.r.Int64N(int64(limit))))
	x.kill(syscall.SIGKILL)
	x.kills++
	running := false
	for _, l := range x.jobsLeft() {
		name := l.kind + " " + l.state
		if l.resumable {
			name += ", with a durable part"
		}
		x.hits[name]++
		running = running || l.state == "running"
	}
	if running {
		x.inside++
	}
	x.resume()
}

// backup changes the source and backs it up.
func (x *crasher) backup() operation {
	x.t.Helper()
	scribble(x.t, x.r, x.volumeFile(x.source), 24, 1<<20)
	now := digest(x.t, x.volumeFile(x.source))
	id := x.createBackup(object{"volume_id": x.source, "incremental": len(x.held) > 0 && x.r.IntN(4) > 0})
	return operation{func() {
		x.t.Helper()
		x.wait("backup", id, "available")
		x.wait("volume", x.source, "available")
		x.held[id] = now
	}}
}

// restoreNew restores some backup to a new volume.
func (x *crasher) restoreNew() operation {
	x.t.Helper()
	id := x.available()
	want := x.held[id]
	x.taken[id] = true
	volume := x.restore(id)
	return operation{func() {
		x.t.Helper()
		delete(x.taken, id)
		x.wait("volume", volume, "available")
		x.wait("backup", id, "available")
		if digest(x.t, x.volumeFile(volume)) != want {
			x.t.Errorf("backup %s came back wrong in the new volume %s", id, volume)
		}
		x.remove("volume", volume)
		x.wait("volume", volume, "gone")
	}}
}

// restoreToTarget restores some backup over what the target holds.
func (x *crasher) restoreToTarget() operation {
	x.t.Helper()
	id := x.available()
	want := x.held[id]
	x.taken[id] = true
	scribble(x.t, x.r, x.volumeFile(x.target), 8, 1<<20)
	x.restoreOver(id, x.target)
	return operation{func() {
		x.t.Helper()
		delete(x.taken, id)
		x.wait("volume", x.target, "available")
		x.wait("backup", id, "available")
		if digest(x.t, x.volumeFile(x.target)) != want {
			x.t.Errorf("backup %s came back wrong over volume %s", id, x.target)
		}
	}}
}

// delete deletes some backup.
func (x *crasher) delete() operation {
	x.t.Helper()
	id := x.available()
	delete(x.held, id)
	x.remove("backup", id)
	return operation{func() {
		x.t.Helper()
		x.wait("backup", id, "gone")
		if len(x.held) < 4 {
			x.backup().end()
		}
	}}
}

// available returns some backup that nothing is being done with.
func (x *crasher) available() string {
	x.t.Helper()
	ids := slices.Sorted(maps.Keys(x.held))
	for _, i := range x.r.Perm(len(ids)) {
		if !x.taken[ids[i]] && x.status("backup", ids[i]) == "available" {
			return ids[i]
		}
	}
	x.t.Fatal("no backup is available")
	return ""
}

// finish checks every backup, and that nothing is left of what was going on.
func (x *crasher) finish() {
	x.t.Helper()
	for id, want := range x.held {
		volume := x.restore(id)
		x.wait("volume", volume, "available")
		if digest(x.t, x.volumeFile(volume)) != want {
			x.t.Errorf("backup %s is no longer what it was", id)
		}
		x.remove("volume", volume)
		x.wait("volume", volume, "gone")
	}
	if got := len(x.list("backup")); got != len(x.held) {
		x.t.Errorf("%d backups are listed, want %d", got, len(x.held))
	}
	for _, kind := range []string{"backup", "volume"} {
		for _, r := range x.list(kind) {
			if r["status"] != "available" {
				x.t.Errorf("%s %s is %s at the end", kind, r["id"], r["status"])
			}
		}
	}
	x.kill(syscall.SIGTERM)
	if jobs := x.jobsLeft(); len(jobs) > 0 {
		x.t.Errorf("jobs left at the end: %v", jobs)
	}
	x.checkFiles()
}

// checkFiles looks for files that crashes left behind.
func (x *crasher) checkFiles() {
	x.t.Helper()
	raw, err := filepath.Glob(filepath.Join(x.dir, "volumes", "*.raw"))
	must(x.t, err)
	if len(raw) != 2 {
		x.t.Errorf("%d volumes have files, want 2", len(raw))
	}
	for _, dir := range []string{"volumes/tmp", "store/tmp"} {
		entries, err := os.ReadDir(filepath.Join(x.dir, dir))
		must(x.t, err)
		if len(entries) > 0 {
			x.t.Errorf("%s holds %d files", dir, len(entries))
		}
	}
	records, err := filepath.Glob(filepath.Join(x.objects(), "vaults", "*", "records", "*"))
	must(x.t, err)
	for _, path := range records {
		if id := filepath.Base(path)[:36]; x.held[id] == (sum{}) {
			x.t.Errorf("backup %s is deleted, and its record is not", id)
		}
	}
}

// TestStopLetsJobsGoOn ends the server by SIGTERM in the middle of a backup
// and of a restore. It ends well, with the jobs put back, and they go on at
// the next start.
func TestStopLetsJobsGoOn(t *testing.T) {
	t.Parallel()
	r := newRand(t)
	s := newServer(t, settings{more: slow})
	s.start()
	volume := s.createVolume("disk", 1)
	scribble(t, r, s.volumeFile(volume), 200, 1<<20)
	want := digest(t, s.volumeFile(volume))

	id := s.createBackup(object{"volume_id": volume})
	s.wait("volume", volume, "available") // it is captured
	s.stop("backup.store")
	s.wait("backup", id, "available")

	restored := s.restore(id)
	s.stop("backup.restore")
	s.wait("volume", restored, "available")
	if digest(t, s.volumeFile(restored)) != want {
		t.Error("the backup came back wrong")
	}
}

// stop ends the server by SIGTERM, expects that a job of a kind is put back,
// and starts it again.
func (s *server) stop(kind string) {
	s.t.Helper()
	began := time.Now()
	if code := s.kill(syscall.SIGTERM); code != 0 {
		s.t.Errorf("exit status %d after SIGTERM", code)
	}
	if took := time.Since(began); took > 20*time.Second {
		s.t.Errorf("it took %v to stop", took)
	}
	if got := fmt.Sprint(s.jobsLeft()); !strings.Contains(got, kind+" queued") || strings.Contains(got, "running") {
		s.t.Errorf("jobs after SIGTERM: %s, want %s queued and none running", got, kind)
	}
	s.resume()
}

// TestServiceTakesOverKilledCommand kills a backup of the command line beside
// a running service, which finishes it.
func TestServiceTakesOverKilledCommand(t *testing.T) {
	t.Parallel()
	r := newRand(t)
	s := newServer(t, settings{more: slow})
	s.start()
	path := filepath.Join(t.TempDir(), "disk.img")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Truncate(path, 256<<20))
	scribble(t, r, path, 100, 1<<20)

	command := exec.Command(program, "vault", "backup", "--config", s.conf, "--volume", "disk", path)
	command.Stdout, command.Stderr = s.log, s.log
	must(t, command.Start())
	var id string
	within(t, 30*time.Second, "the backup to begin", func() bool {
		for _, b := range s.list("backup") {
			id = b["id"].(string)
		}
		return id != ""
	})
	<-time.After(time.Duration(r.Int64N(int64(200 * time.Millisecond))))
	must(t, command.Process.Kill())
	_ = command.Wait() // it was killed
	if s.status("backup", id) == "creating" {
		t.Log("the command was killed while it worked")
	}
	s.wait("backup", id, "available")
	volume := s.restore(id)
	s.wait("volume", volume, "available")
	must(t, os.Truncate(path, 1<<30)) // the volume is of whole GiB
	if digest(t, s.volumeFile(volume)) != digest(t, path) {
		t.Error("the backup came back wrong")
	}
}
