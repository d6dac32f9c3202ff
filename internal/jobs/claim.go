package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/catalog"
)

// want says which jobs a claim takes: of some kinds, and of one lane or one id
// where these are set.
type want struct {
	kinds    []string
	lane     string
	id       string
	reserved bool // for this worker; otherwise for nobody
}

// claimTries bounds how often a claim looks again when others took what it
// saw.
const claimTries = 5

// claim takes the next job for this worker. It returns nil where there is
// none.
func (q *Queue) claim(ctx context.Context, w want) (*Run, error) {
	for range claimTries {
		there, err := q.peek(ctx, w)
		if err != nil || !there {
			return nil, err
		}
		r, err := q.take(ctx, w)
		if err != nil && !catalog.IsUnique(err) { // a lane's next was taken at the same moment
			return nil, err
		}
		if r != nil {
			return r, nil
		}
	}
	return nil, nil
}

// peek reports whether there is a job to claim, without the lock that writing
// needs.
func (q *Queue) peek(ctx context.Context, w want) (bool, error) {
	var found bool
	err := q.db.View(ctx, func(tx *catalog.Tx) error {
		query, args := q.nextSQL(tx, w)
		var id string
		err := tx.QueryRow(ctx, query, args...).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		found = err == nil
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for a job: %w", err)
	}
	return found, nil
}

func (q *Queue) take(ctx context.Context, w want) (*Run, error) {
	var r *Run
	err := q.db.Update(ctx, func(tx *catalog.Tx) error {
		q.forget(r)
		r = nil
		query, args := q.nextSQL(tx, w)
		if tx.Postgres() {
			query += " FOR UPDATE OF j SKIP LOCKED" // else two workers wait for one job, and both get it
		}
		var id string
		err := tx.QueryRow(ctx, query, args...).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		now := tx.Now()
		job, err := scan(tx.QueryRow(ctx, `UPDATE jobs SET state = 'running', attempt = attempt + 1, worker = $1, lease_until = $2,
			started_at = CASE WHEN started_at = 0 THEN $3 ELSE started_at END
			WHERE id = $4 AND state = 'queued' RETURNING `+columns,
			q.worker.id, now.Add(q.cfg.Lease).UnixMicro(), now.UnixMicro(), id))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		r = newRun(q, job)
		q.remember(r) // before the commit, so that reap does not take it for forgotten
		return nil
	})
	if err != nil {
		q.forget(r)
		return nil, fmt.Errorf("claim a job: %w", err)
	}
	return r, nil
}

func (q *Queue) remember(r *Run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.active[r.Job.ID] = r
}

func (q *Queue) forget(r *Run) {
	if r == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.active[r.Job.ID] == r {
		delete(q.active, r.Job.ID)
	}
}

// nextSQL returns the query for the id of the job that comes next. A lane's
// next is its oldest unfinished job; one that waits for its first run's time
// does not hold up the others.
func (q *Queue) nextSQL(tx *catalog.Tx, w want) (string, []any) {
	now := tx.Now().UnixMicro()
	args := []any{now}
	mark := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	conds := []string{"j.state = 'queued'", "j.run_after <= $1"}
	kinds := make([]string, len(w.kinds))
	for i, k := range w.kinds {
		kinds[i] = mark(k)
	}
	conds = append(conds, "j.kind IN ("+strings.Join(kinds, ", ")+")")
	if w.lane != "" {
		conds = append(conds, "j.lane = "+mark(w.lane))
	}
	if w.id != "" {
		conds = append(conds, "j.id = "+mark(w.id))
	}
	owner := ""
	if w.reserved {
		owner = q.worker.id
	}
	conds = append(conds, "j.reserved_for = "+mark(owner), laneFree)
	return `SELECT j.id FROM jobs j LEFT JOIN
		(SELECT project_id, COUNT(*) AS n FROM jobs WHERE state = 'running' GROUP BY project_id) busy ON busy.project_id = j.project_id
		WHERE ` + strings.Join(conds, " AND ") + ` ORDER BY COALESCE(busy.n, 0), j.created_at, j.id LIMIT 1`, args
}

const laneFree = `(j.lane = '' OR (
	NOT EXISTS (SELECT 1 FROM jobs k WHERE k.lane = j.lane AND k.lane <> '' AND k.state = 'running')
	AND NOT EXISTS (SELECT 1 FROM jobs k WHERE k.lane = j.lane AND k.lane <> '' AND k.state = 'queued'
		AND (k.run_after <= $1 OR k.attempt > 0)
		AND (k.created_at < j.created_at OR (k.created_at = j.created_at AND k.id < j.id)))))`
