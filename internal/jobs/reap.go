package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/catalog"
)

const (
	keepEnded   = 7 * 24 * time.Hour // how long ended jobs are kept
	keepWorkers = 24 * time.Hour     // how long a silent worker of another host is
	pruneEvery  = time.Hour
	pruneRows   = 500 // in one statement
)

// register says that this worker is there, and when it was seen last.
func (q *Queue) register(ctx context.Context, tx *catalog.Tx) error {
	now := tx.Now().UnixMicro()
	_, err := tx.Exec(ctx, `INSERT INTO workers (id, host, place, started_at, seen_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at`, q.worker.id, q.worker.host, q.worker.place, now, now)
	if err != nil {
		return fmt.Errorf("register worker %s: %w", q.worker.id, err)
	}
	return nil
}

// end says how a claim ended without an outcome.
type end int64

const (
	released end = 0
	crashed  end = 1 // it counts against the job
)

// bury forgets a worker and puts back what it ran and had reserved.
func bury(ctx context.Context, tx *catalog.Tx, worker string, how end) error {
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`UPDATE jobs SET state = 'queued', worker = '', reserved_for = '', crashes = crashes + $1, run_after = $2
			WHERE worker = $3 AND state = 'running'`, []any{int64(how), tx.Now().UnixMicro(), worker}},
		{"UPDATE jobs SET reserved_for = '' WHERE reserved_for = $1 AND state = 'queued'", []any{worker}},
		{"DELETE FROM workers WHERE id = $1", []any{worker}},
	} {
		if _, err := tx.Exec(ctx, s.query, s.args...); err != nil {
			return fmt.Errorf("bury worker %s: %w", worker, err)
		}
	}
	return nil
}

// claimRef names one claim of a job.
type claimRef struct {
	id      string
	worker  string
	attempt int64
	cancel  bool
}

// sight is what this worker sees of the others.
type sight struct {
	dead      map[string]func() error // workers of this place, and how to remove their files
	expired   []claimRef              // claims of workers elsewhere whose lease has ended
	forgotten []claimRef              // claims in this worker's name that it knows nothing of
	orphaned  bool                    // jobs are reserved for workers elsewhere that are silent
}

// reap puts back the jobs of workers that have ended, and stops those of this
// worker that were cancelled.
func (q *Queue) reap(ctx context.Context) error {
	s, err := q.look(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("look for dead workers: %w", err), s.removeFiles())
	}
	if len(s.dead)+len(s.expired)+len(s.forgotten) == 0 && !s.orphaned {
		return nil
	}
	err = q.db.Update(ctx, func(tx *catalog.Tx) error {
		for id := range s.dead {
			if err := bury(ctx, tx, id, crashed); err != nil {
				return err
			}
		}
		for _, c := range s.expired {
			if err := putBack(ctx, tx, c, crashed); err != nil {
				return err
			}
		}
		for _, c := range s.forgotten {
			if err := putBack(ctx, tx, c, released); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, "UPDATE jobs SET reserved_for = '' WHERE "+orphanedSQL, q.orphanedArgs(tx)...)
		return err
	})
	if err != nil { // without its file a worker counts as dead, too
		return errors.Join(fmt.Errorf("take over from dead workers: %w", err), s.removeFiles())
	}
	for id := range s.dead {
		q.cfg.Log.InfoContext(ctx, "a worker has ended; its jobs go on", "worker", id)
	}
	q.Wake()
	return s.removeFiles()
}

func (s sight) removeFiles() error {
	var errs error
	for _, remove := range s.dead {
		errs = errors.Join(errs, remove())
	}
	return errs
}

// orphanedSQL finds jobs whose reservation will not be used: its worker is
// unknown, or elsewhere and silent.
const orphanedSQL = `state = 'queued' AND reserved_for <> '' AND NOT EXISTS (SELECT 1 FROM workers w
	WHERE w.id = reserved_for AND (w.seen_at >= $1 OR (w.host = $2 AND w.place = $3)))`

func (q *Queue) orphanedArgs(tx *catalog.Tx) []any {
	return []any{tx.Now().Add(-q.cfg.Lease).UnixMicro(), q.worker.host, q.worker.place}
}

func putBack(ctx context.Context, tx *catalog.Tx, c claimRef, how end) error {
	_, err := tx.Exec(ctx, `UPDATE jobs SET state = 'queued', worker = '', reserved_for = '', crashes = crashes + $1, run_after = $2
		WHERE id = $3 AND worker = $4 AND attempt = $5 AND state = 'running'`,
		int64(how), tx.Now().UnixMicro(), c.id, c.worker, c.attempt)
	if err != nil {
		return fmt.Errorf("put back job %s: %w", c.id, err)
	}
	return nil
}

func (q *Queue) look(ctx context.Context) (sight, error) {
	var s sight
	var neighbours []string
	var expired, mine []claimRef
	err := q.db.View(ctx, func(tx *catalog.Tx) (err error) {
		if neighbours, err = q.neighbours(ctx, tx); err != nil {
			return err
		}
		if mine, err = claims(ctx, tx, "worker = $1", q.worker.id); err != nil {
			return err
		}
		expired, err = claims(ctx, tx, "lease_until < $1 AND worker <> $2", tx.Now().UnixMicro(), q.worker.id)
		if err != nil {
			return err
		}
		var n int64
		err = tx.QueryRow(ctx, "SELECT COUNT(*) FROM jobs WHERE "+orphanedSQL, q.orphanedArgs(tx)...).Scan(&n)
		s.orphaned = n > 0
		return err
	})
	if err != nil {
		return s, err
	}
	s.forgotten = q.follow(mine)
	here := map[string]bool{}
	s.dead = map[string]func() error{}
	for _, id := range neighbours {
		here[id] = true
		dead, remove, err := q.worker.dead(id)
		if err != nil {
			return s, err
		}
		if dead {
			s.dead[id] = remove
		}
	}
	for _, c := range expired {
		if !here[c.worker] { // here the lock decides, not the lease
			s.expired = append(s.expired, c)
		}
	}
	return s, nil
}

// follow stops the runs whose jobs were cancelled, and returns the claims that
// no run of this process belongs to: their transaction was committed, but the
// answer was lost.
func (q *Queue) follow(mine []claimRef) []claimRef {
	q.mu.Lock()
	defer q.mu.Unlock()
	var forgotten []claimRef
	for _, c := range mine {
		r := q.active[c.id]
		switch {
		case r == nil || r.Job.Attempt != c.attempt:
			forgotten = append(forgotten, c)
		case c.cancel:
			r.stop(canceledError(c.id))
		}
	}
	return forgotten
}

// neighbours returns the other workers of this place.
func (q *Queue) neighbours(ctx context.Context, tx *catalog.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, "SELECT id FROM workers WHERE host = $1 AND place = $2 AND id <> $3 ORDER BY id",
		q.worker.host, q.worker.place, q.worker.id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func claims(ctx context.Context, tx *catalog.Tx, where string, args ...any) ([]claimRef, error) {
	rows, err := tx.Query(ctx, "SELECT id, worker, attempt, canceled FROM jobs WHERE state = 'running' AND "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []claimRef
	for rows.Next() {
		var c claimRef
		if err := rows.Scan(&c.id, &c.worker, &c.attempt, catalog.Cell{P: &c.cancel}); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// sweepFiles removes the lock files of workers that ended before they were
// registered.
func (q *Queue) sweepFiles(ctx context.Context) error {
	ids, err := q.worker.files()
	if err != nil {
		return err
	}
	known := map[string]bool{}
	err = q.db.View(ctx, func(tx *catalog.Tx) error {
		neighbours, err := q.neighbours(ctx, tx)
		for _, id := range neighbours {
			known[id] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		if known[id] {
			continue
		}
		dead, remove, err := q.worker.dead(id)
		if err == nil && dead {
			err = remove()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// prune forgets some of the jobs that ended long ago, and workers of other
// hosts that are long silent.
func (q *Queue) prune(ctx context.Context) error {
	return q.db.Update(ctx, func(tx *catalog.Tx) error {
		if err := q.register(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE ended_at > 0 AND ended_at < $1
			ORDER BY ended_at LIMIT $2)`, tx.Now().Add(-keepEnded).UnixMicro(), int64(pruneRows))
		if err != nil {
			return fmt.Errorf("prune jobs: %w", err)
		}
		_, err = tx.Exec(ctx, `DELETE FROM workers WHERE seen_at < $1 AND NOT (host = $2 AND place = $3)
			AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.worker = workers.id AND j.state = 'running')`,
			tx.Now().Add(-keepWorkers).UnixMicro(), q.worker.host, q.worker.place)
		if err != nil {
			return fmt.Errorf("prune workers: %w", err)
		}
		return nil
	})
}
