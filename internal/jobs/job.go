package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// State says where a job is.
type State string

// The states. A queued job may have run before.
const (
	Queued  State = "queued"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
)

// New asks for a job.
type New struct {
	Kind      string
	ProjectID string // whose share of the workers it takes
	Lane      string // jobs of one lane run one after the other; empty: no lane
	Subject   string // id of the resource that it works on
	RequestID string // of the request that asked for it
	Payload   any    // stored as JSON
	RunAfter  time.Time
}

// Job is a job as it was when it was read.
type Job struct {
	ID        string // a UUID; later jobs of a process have greater ones
	Kind      string
	ProjectID string
	Lane      string
	Subject   string
	RequestID string
	Payload   json.RawMessage
	State     State
	Attempt   int64 // how often it was claimed: the fencing token
	Failures  int64 // how often it was put back after an error
	Crashes   int64 // how often it was taken from a dead worker
	Worker    string
	Progress  json.RawMessage // empty until the first
	Error     string
	Cancel    bool // it was asked to stop
	CreatedAt time.Time
	StartedAt time.Time // first claim
	EndedAt   time.Time
	RunAfter  time.Time

	reservedFor string
}

const columns = `id, kind, project_id, lane, subject, request_id, payload, state, attempt, failures,
	crashes, worker, progress, error, canceled, created_at, started_at, ended_at, run_after, reserved_for`

func scan(row interface{ Scan(...any) error }) (Job, error) {
	var j Job
	var state string
	err := row.Scan(&j.ID, &j.Kind, &j.ProjectID, &j.Lane, &j.Subject, &j.RequestID, catalog.Cell{P: &j.Payload}, &state,
		&j.Attempt, &j.Failures, &j.Crashes, &j.Worker, catalog.Cell{P: &j.Progress}, &j.Error, catalog.Cell{P: &j.Cancel},
		catalog.Cell{P: &j.CreatedAt}, catalog.Cell{P: &j.StartedAt}, catalog.Cell{P: &j.EndedAt}, catalog.Cell{P: &j.RunAfter},
		&j.reservedFor)
	j.State = State(state)
	return j, err
}

// Enqueue adds a job in the caller's transaction. Workers find it when they
// look next; Queue.Enqueue wakes this process's at the commit.
func Enqueue(ctx context.Context, tx *catalog.Tx, n New) (Job, error) {
	return enqueue(ctx, tx, n, "")
}

func enqueue(ctx context.Context, tx *catalog.Tx, n New, reservedFor string) (Job, error) {
	payload, err := json.Marshal(n.Payload)
	if err != nil {
		return Job{}, fmt.Errorf("enqueue a %s job: payload: %w", n.Kind, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Job{}, fmt.Errorf("enqueue a %s job: %w", n.Kind, err)
	}
	j := Job{
		ID: id.String(), Kind: n.Kind, ProjectID: n.ProjectID, Lane: n.Lane, Subject: n.Subject, RequestID: n.RequestID,
		Payload: payload, State: Queued, CreatedAt: tx.Now(), RunAfter: tx.Now(), reservedFor: reservedFor,
	}
	if n.RunAfter.After(j.RunAfter) {
		j.RunAfter = n.RunAfter
	}
	_, err = tx.Exec(ctx, `INSERT INTO jobs (id, kind, project_id, lane, subject, request_id, payload, state, attempt, failures,
		crashes, worker, reserved_for, lease_until, progress, error, canceled, created_at, run_after, started_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', 0, 0, 0, '', $8, 0, '', '', 0, $9, $10, 0, 0)`,
		j.ID, j.Kind, j.ProjectID, j.Lane, j.Subject, j.RequestID, string(payload), reservedFor,
		catalog.Cell{P: &j.CreatedAt}, catalog.Cell{P: &j.RunAfter})
	if err != nil {
		return Job{}, fmt.Errorf("enqueue a %s job: %w", n.Kind, err)
	}
	return j, nil
}

// Cancel asks a job to stop. One that is queued fails without running again;
// a running one has its context cancelled. One that has ended is left alone.
func Cancel(ctx context.Context, tx *catalog.Tx, id string) error {
	// A queued one leaves its lane: it needs no turn, since it won't run.
	_, err := tx.Exec(ctx, `UPDATE jobs SET canceled = 1, run_after = $1, reserved_for = '',
		lane = CASE WHEN state = 'queued' THEN '' ELSE lane END
		WHERE id = $2 AND state IN ('queued', 'running')`, tx.Now().UnixMicro(), id)
	if err != nil {
		return fmt.Errorf("cancel job %s: %w", id, err)
	}
	return nil
}

// Get returns a job, or an error of kind NotFound.
func Get(ctx context.Context, tx *catalog.Tx, id string) (Job, error) {
	j, err := scan(tx.QueryRow(ctx, "SELECT "+columns+" FROM jobs WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, backup.Errorf(backup.NotFound, "there is no job %s", id)
	}
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	return j, nil
}

// Unfinished returns the queued and running jobs of a resource, the oldest
// first.
func Unfinished(ctx context.Context, tx *catalog.Tx, subject string) ([]Job, error) {
	rows, err := tx.Query(ctx, "SELECT "+columns+` FROM jobs WHERE subject = $1 AND state IN ('queued', 'running')
		ORDER BY created_at, id`, subject)
	if err != nil {
		return nil, fmt.Errorf("read the jobs of %s: %w", subject, err)
	}
	defer rows.Close()
	var all []Job
	for rows.Next() {
		j, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read the jobs of %s: %w", subject, err)
		}
		all = append(all, j)
	}
	return all, rows.Err()
}

// Count is how many jobs of a kind are in a state.
type Count struct {
	Kind  string
	State State
	N     int64
}

// Counts counts the jobs that are kept, by kind and state.
func Counts(ctx context.Context, tx *catalog.Tx) ([]Count, error) {
	rows, err := tx.Query(ctx, "SELECT kind, state, COUNT(*) FROM jobs GROUP BY kind, state ORDER BY kind, state")
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	defer rows.Close()
	var all []Count
	for rows.Next() {
		var c Count
		var state string
		if err := rows.Scan(&c.Kind, &state, &c.N); err != nil {
			return nil, fmt.Errorf("count jobs: %w", err)
		}
		c.State = State(state)
		all = append(all, c)
	}
	return all, rows.Err()
}
