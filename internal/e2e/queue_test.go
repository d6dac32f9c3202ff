package e2e_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // reads the catalog of a server that is not running
)

// left is a job that a server left unfinished when it ended.
type left struct {
	kind, state string
	resumable   bool // something durable is noted of how far it got
}

// jobsLeft returns the unfinished jobs in the catalog of a server that is not
// running. It looks at a copy, so that the next start finds what the last end
// left.
func (s *server) jobsLeft() []left {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(filepath.Join(s.dir, "catalog.db"+suffix))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(s.t, err)
		must(s.t, os.WriteFile(filepath.Join(dir, "catalog.db"+suffix), content, 0o600))
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "catalog.db"))
	must(s.t, err)
	defer db.Close()
	rows, err := db.Query(`SELECT kind, state, progress LIKE '%"reached":%' 
			OR jobs.id IN (SELECT job_id FROM vault_sessions JOIN vault_checkpoints ON session_id = id)
		FROM jobs WHERE state NOT IN ('done', 'failed') ORDER BY kind`)
	must(s.t, err)
	defer rows.Close()
	var all []left
	for rows.Next() {
		var l left
		must(s.t, rows.Scan(&l.kind, &l.state, &l.resumable))
		all = append(all, l)
	}
	must(s.t, rows.Err())
	return all
}
