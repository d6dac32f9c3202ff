package e2e_test

import (
	"database/sql"
	"maps"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", which looks at the queue

	"holdfast/internal/pgtest"
)

// onPostgres is the configuration of a server whose catalog is a PostgreSQL
// database. Its jobs are long enough to be hit in their middle, and its leases
// too long to be waited for.
func onPostgres(url string) settings {
	return settings{more: "engine: {workers: 1, compression: small}\njobs: {workers: 2, lease: 10m, heartbeat: 100ms}\n" +
		"database: {url: \"" + url + "\"}\n"}
}

// TestPostgres does the main job on a catalog in PostgreSQL, and kills the
// server once in each kind of operation.
func TestPostgres(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	db, err := sql.Open("pgx", url)
	must(t, err)
	defer db.Close()
	s := newServer(t, onPostgres(url))
	s.start()
	r := newRand(t)
	volume := s.createVolume("disk", 1)
	scribble(t, r, s.volumeFile(volume), 160, mib)
	held := map[string]sum{}
	first := s.finishBackup(volume, false)
	held[first] = digest(t, s.volumeFile(volume))

	scribble(t, r, s.volumeFile(volume), 160, mib)
	now := digest(t, s.volumeFile(volume))
	second := s.createBackup(object{"volume_id": volume, "incremental": true})
	held[second] = now
	s.killAt(r.Int64N(int64(500 * time.Millisecond)))
	if b := s.wait("backup", second, "available"); b["is_incremental"] != true {
		t.Errorf("the second backup is no increment: %v", b)
	}

	target := s.restore(second)
	s.killAt(r.Int64N(int64(200 * time.Millisecond)))
	s.wait("volume", target, "available")
	if digest(t, s.volumeFile(target)) != now {
		t.Error("the second backup came back wrong in a new volume")
	}
	s.restoreOver(first, volume)
	s.wait("volume", volume, "available")
	if digest(t, s.volumeFile(volume)) != held[first] {
		t.Error("the first backup came back wrong over the volume")
	}

	s.remove("backup", first)
	s.killAt(r.Int64N(int64(30 * time.Millisecond)))
	s.wait("backup", first, "gone")
	s.comesBack(second, now)
	for _, v := range s.list("volume") {
		s.remove("volume", v["id"].(string))
	}
	s.remove("backup", second)
	s.settleAll("backup", 0)
	s.settleAll("volume", 0)
	t.Logf("3 kills, %d jobs were hit", len(jobsWhere(t, db, "crashes > 0")))
}

// killAt kills the server after some nanoseconds and starts it again.
func (s *server) killAt(after int64) {
	s.t.Helper()
	<-time.After(time.Duration(after))
	s.restart(syscall.SIGKILL)
}

// pair is two servers on one data folder and one catalog.
type pair struct {
	t    testing.TB
	a, b *server
	db   *sql.DB
	held map[string]sum // by backup
}

// TestTwoServersOnPostgres runs two servers on one data folder. They share
// the work, no job runs in both, and when one is killed the other one goes on
// with what it ran.
func TestTwoServersOnPostgres(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	db, err := sql.Open("pgx", url)
	must(t, err)
	defer db.Close()
	set := onPostgres(url)
	p := &pair{t: t, a: newServer(t, set), db: db, held: map[string]sum{}}
	p.a.start()
	set.data = p.a.dir
	p.b = newServer(t, set)
	p.b.start()

	r := newRand(t)
	var volumes []string
	for i := range 6 {
		v := p.one(i).createVolume("disk", 1)
		scribble(t, r, p.a.volumeFile(v), 60, mib)
		volumes = append(volumes, v)
	}
	for id := range p.backUp(volumes, false) {
		p.a.wait("backup", id, "available")
	}
	p.jobsRanOnce()

	for _, v := range volumes {
		scribble(t, r, p.a.volumeFile(v), 60, mib)
	}
	backups := p.backUp(volumes, true)
	within(t, 30*time.Second, "jobs to run in both servers", func() bool { return p.busy() == 2 })
	running := p.jobs("state = 'running'")
	p.a.kill(syscall.SIGKILL)
	died := time.Now()
	within(t, 30*time.Second, "the other server to take over", func() bool {
		return len(p.jobs("crashes > 0")) > 0
	})
	t.Logf("of %d running jobs %d were taken over after %.1f s",
		len(running), len(p.jobs("crashes > 0")), time.Since(died).Seconds())
	for id := range backups {
		p.b.wait("backup", id, "available")
	}
	for id, want := range p.held {
		p.b.comesBack(id, want)
	}
}

// one returns one server or the other.
func (p *pair) one(i int) *server {
	if i%2 == 0 {
		return p.a
	}
	return p.b
}

// backUp asks both servers for backups of volumes, and returns the ids.
func (p *pair) backUp(volumes []string, incremental bool) map[string]bool {
	p.t.Helper()
	ids := map[string]bool{}
	for i, v := range volumes {
		now := digest(p.t, p.a.volumeFile(v))
		id := p.one(i).createBackup(object{"volume_id": v, "incremental": incremental})
		p.held[id], ids[id] = now, true
	}
	return ids
}

// busy returns how many servers run jobs.
func (p *pair) busy() (n int) {
	p.t.Helper()
	must(p.t, p.db.QueryRow("SELECT COUNT(DISTINCT worker) FROM jobs WHERE state = 'running'").Scan(&n))
	return n
}

var jobDone = regexp.MustCompile(`msg="job done" job_id=(\S+)`)

// ran returns how often the servers say that they did each job.
func (p *pair) ran() map[string]int {
	p.t.Helper()
	n := map[string]int{}
	for _, s := range []*server{p.a, p.b} {
		said := jobDone.FindAllStringSubmatch(s.log.String(), -1)
		if len(said) == 0 {
			p.t.Error("one of the servers ran no job")
		}
		for _, m := range said {
			n[m[1]]++
		}
	}
	return n
}

// jobsRanOnce compares what the servers say of jobs that they ran with what
// the catalog knows of them, when all have ended.
func (p *pair) jobsRanOnce() {
	p.t.Helper()
	var ids []string
	within(p.t, 30*time.Second, "all jobs to be done", func() bool {
		if len(p.jobs("state <> 'done'")) > 0 {
			return false
		}
		ids = p.jobs("state = 'done'")
		return len(p.ran()) >= len(ids)
	})
	if more := p.jobs("attempt <> 1"); len(more) > 0 {
		p.t.Errorf("jobs were begun more than once: %v", more)
	}
	ran := p.ran()
	if known := slices.Sorted(maps.Keys(ran)); !slices.Equal(known, ids) {
		p.t.Errorf("the servers ran the jobs %v, the catalog has %v", known, ids)
	}
	for id, n := range ran {
		if n != 1 {
			p.t.Errorf("job %s was done %d times", id, n)
		}
	}
}

// jobs returns the ids of the jobs that a condition in SQL is true of, sorted.
func (p *pair) jobs(where string) []string {
	p.t.Helper()
	return jobsWhere(p.t, p.db, where)
}

func jobsWhere(t testing.TB, db *sql.DB, where string) (ids []string) {
	t.Helper()
	rows, err := db.Query("SELECT id FROM jobs WHERE " + where + " ORDER BY id COLLATE \"C\"")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		must(t, rows.Scan(&id))
		ids = append(ids, id)
	}
	must(t, rows.Err())
	return ids
}
