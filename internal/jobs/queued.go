package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/catalog"
)

// FindQueued returns a queued job of a kind for a resource, the one that was asked
// for first, or false where there is none. It doesn't begin before the
// transaction ends, and so sees what that writes. One that is reserved for a
// worker doesn't count, nor one that was cancelled.
func FindQueued(ctx context.Context, tx *catalog.Tx, subject, kind string) (Job, bool, error) {
	query := "SELECT " + columns + ` FROM jobs WHERE subject = $1 AND kind = $2 AND state = 'queued'
		AND reserved_for = '' AND canceled = 0 ORDER BY created_at, id LIMIT 1`
	if tx.Postgres() {
		query += " FOR UPDATE"
	}
	j, err := scan(tx.QueryRow(ctx, query, subject, kind))
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, false, nil
	}
	if err != nil {
		return Job{}, false, fmt.Errorf("look for a %s job of %s: %w", kind, subject, err)
	}
	return j, true, nil
}

// Postpone changes when a queued job runs next, at the earliest.
func (q *Queue) Postpone(ctx context.Context, tx *catalog.Tx, id string, to time.Time) error {
	_, err := tx.Exec(ctx, "UPDATE jobs SET run_after = $1 WHERE id = $2 AND state = 'queued'", to.UnixMicro(), id)
	if err != nil {
		return fmt.Errorf("postpone job %s: %w", id, err)
	}
	tx.OnCommit(q.Wake)
	return nil
}

// Withdraw removes a queued job that has never run, because another one does
// its work.
func Withdraw(ctx context.Context, tx *catalog.Tx, id string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM jobs WHERE id = $1 AND state = 'queued' AND attempt = 0", id); err != nil {
		return fmt.Errorf("withdraw job %s: %w", id, err)
	}
	return nil
}
