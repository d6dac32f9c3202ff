package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/backup"
)

// ErrFenced is returned to a session whose token has been passed on, or that
// has ended. It must write nothing more.
var ErrFenced = errors.New("session was taken over or has ended")

// SessionState says whether a session may still write.
type SessionState string

// The states. Only an open session can be taken over or committed.
const (
	SessionOpen      SessionState = "open"
	SessionCommitted SessionState = "committed"
	SessionAbandoned SessionState = "abandoned"
)

// SessionRef names one attempt at a session.
type SessionRef struct {
	Vault ID
	ID    ID
	Token int64
}

// Session is one writer's hold on a vault.
type Session struct {
	ID           ID
	Vault        ID
	JobID        string
	BackupID     string
	ParentBackup string // the backup that it pins, or empty
	Token        int64
	Epoch        int64 // of the vault when it began; kept by those who take it over
	State        SessionState
	Collection   bool // of a collection: it pins nothing and nobody waits for it
	CreatedAt    time.Time
	EndedAt      time.Time
	Checkpoint   *Checkpoint // nil: nothing was saved, or the session has ended
}

// Checkpoint is how far a session got. Packs are those that became durable
// since the checkpoint before; they are read back by SessionPacks.
type Checkpoint struct {
	SourceState string
	Offset      int64
	State       []byte
	Packs       []Pack
}

// BeginSession says which session to open.
type BeginSession struct {
	ID           ID
	Vault        ID
	Token        int64
	JobID        string
	BackupID     string
	ParentBackup string // the backup to pin, empty for none
}

// BeginSession opens a session and pins its parent, or takes it over with a
// token that is not lower than the one before; then its epoch, parent and
// checkpoint stay. A lower token and an ended session give ErrFenced. A parent
// that is gone or being deleted is left out.
func (tx *Tx) BeginSession(ctx context.Context, b BeginSession) (Session, error) {
	epoch, err := tx.AdvanceEpoch(ctx, b.Vault)
	if err != nil {
		return Session{}, err
	}
	s, ok, err := tx.Session(ctx, b.ID)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return tx.openSession(ctx, b, epoch)
	}
	if s.Collection {
		return Session{}, ErrFenced
	}
	return tx.takeOver(ctx, s, b)
}

// takeOver gives an open session a new token.
func (tx *Tx) takeOver(ctx context.Context, s Session, b BeginSession) (Session, error) {
	if s.Vault != b.Vault || s.State != SessionOpen || s.Token > b.Token {
		return Session{}, ErrFenced
	}
	s.Token, s.JobID = b.Token, b.JobID
	_, err := tx.Exec(ctx, "UPDATE vault_sessions SET token = $1, job_id = $2 WHERE id = $3", s.Token, s.JobID, Cell{&s.ID})
	if err != nil {
		return Session{}, fmt.Errorf("take over session %x: %w", s.ID, err)
	}
	return s, nil
}

func (tx *Tx) openSession(ctx context.Context, b BeginSession, epoch int64) (Session, error) {
	s := Session{
		ID: b.ID, Vault: b.Vault, JobID: b.JobID, BackupID: b.BackupID, ParentBackup: b.ParentBackup,
		Token: b.Token, Epoch: epoch, State: SessionOpen, CreatedAt: tx.now,
	}
	if s.ParentBackup != "" {
		err := tx.Pin(ctx, s.ParentBackup, sessionHolder(s.ID))
		if backup.KindOf(err) == backup.NotFound {
			s.ParentBackup, err = "", nil
		}
		if err != nil {
			return Session{}, err
		}
	}
	return s, tx.insertSession(ctx, s)
}

func (tx *Tx) insertSession(ctx context.Context, s Session) error {
	_, err := tx.Exec(ctx, `INSERT INTO vault_sessions
		(id, vault_id, job_id, backup_id, parent_id, token, epoch, state, collection, created_at, ended_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)`,
		Cell{&s.ID}, Cell{&s.Vault}, s.JobID, s.BackupID, s.ParentBackup, s.Token, s.Epoch, string(s.State),
		Cell{&s.Collection}, Cell{&s.CreatedAt})
	if err != nil {
		return fmt.Errorf("open session %x: %w", s.ID, err)
	}
	return nil
}

func sessionHolder(id ID) string { return fmt.Sprintf("session %x", id) }

const sessionSQL = `SELECT r.id, r.vault_id, r.job_id, r.backup_id, r.parent_id, r.token, r.epoch, r.state, r.collection,
	r.created_at, r.ended_at FROM vault_sessions r`

func scanSession(row interface{ Scan(...any) error }) (Session, error) {
	var s Session
	var state string
	err := row.Scan(Cell{&s.ID}, Cell{&s.Vault}, &s.JobID, &s.BackupID, &s.ParentBackup, &s.Token, &s.Epoch, &state,
		Cell{&s.Collection}, Cell{&s.CreatedAt}, Cell{&s.EndedAt})
	s.State = SessionState(state)
	return s, err
}

// Session returns a session with its checkpoint, or false where it is
// unknown. The checkpoint comes without its packs.
func (tx *Tx) Session(ctx context.Context, id ID) (Session, bool, error) {
	s, err := scanSession(tx.QueryRow(ctx, sessionSQL+" WHERE r.id = $1"+tx.forUpdate(), Cell{&id}))
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, false, nil
	}
	if err != nil {
		return Session{}, false, fmt.Errorf("read session %x: %w", id, err)
	}
	var c Checkpoint
	err = tx.QueryRow(ctx, "SELECT source_state, done_to, progress FROM vault_checkpoints WHERE session_id = $1", Cell{&id}).
		Scan(&c.SourceState, &c.Offset, &c.State)
	if errors.Is(err, sql.ErrNoRows) {
		return s, true, nil
	}
	if err != nil {
		return Session{}, false, fmt.Errorf("read the checkpoint of session %x: %w", id, err)
	}
	s.Checkpoint = &c
	return s, true, nil
}

// SessionParents returns the backups that the sessions of a backup pinned
// when they began.
func (tx *Tx) SessionParents(ctx context.Context, backupID string) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT DISTINCT parent_id FROM vault_sessions
		WHERE backup_id = $1 AND parent_id <> '' ORDER BY parent_id`, backupID)
	if err != nil {
		return nil, fmt.Errorf("list the parents of backup %s: %w", backupID, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("list the parents of backup %s: %w", backupID, err)
		}
		all = append(all, id)
	}
	return all, rows.Err()
}

// CheckpointSession saves how far an open session got. Saving the same
// checkpoint again is no error.
func (tx *Tx) CheckpointSession(ctx context.Context, ref SessionRef, c Checkpoint) error {
	if err := tx.holdSession(ctx, ref, "token = token"); err != nil {
		return err
	}
	if err := tx.insertPacks(ctx, ref, Uncommitted, c.Packs); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO vault_checkpoints (session_id, source_state, done_to, progress, saved_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (session_id) DO UPDATE SET source_state = excluded.source_state, done_to = excluded.done_to,
			progress = excluded.progress, saved_at = excluded.saved_at`,
		Cell{&ref.ID}, c.SourceState, c.Offset, Cell{&c.State}, tx.now.UnixMicro())
	if err != nil {
		return fmt.Errorf("save the checkpoint of session %x: %w", ref.ID, err)
	}
	return nil
}

// CommitSession ends an open session: all its packs become writable, the
// segment (nil for none) is published, its pins end.
func (tx *Tx) CommitSession(ctx context.Context, ref SessionRef, packs []Pack, segment *Segment) error {
	epoch, err := tx.AdvanceEpoch(ctx, ref.Vault)
	if err != nil {
		return err
	}
	if err := tx.endSession(ctx, ref, SessionCommitted); err != nil {
		return err
	}
	if err := tx.insertPacks(ctx, ref, Uncommitted, packs); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "UPDATE vault_packs SET state = 'writable' WHERE session_id = $1 AND state = 'uncommitted'", Cell{&ref.ID})
	if err != nil {
		return fmt.Errorf("publish the packs of session %x: %w", ref.ID, err)
	}
	if segment == nil {
		return nil
	}
	_, err = tx.Exec(ctx, "INSERT INTO vault_segments (vault_id, epoch, session_id, object, size) VALUES ($1, $2, $3, $4, $5)",
		Cell{&ref.Vault}, epoch, Cell{&ref.ID}, segment.Object, segment.Size)
	if err != nil {
		return fmt.Errorf("publish the segment of session %x: %w", ref.ID, err)
	}
	return nil
}

// AbandonSession ends an open session for good: nobody can take it over or
// commit it, and its packs stay recorded as nobody's. It is no error where
// the session is unknown or has ended.
func (tx *Tx) AbandonSession(ctx context.Context, id ID) error {
	s, ok, err := tx.EndingSession(ctx, id)
	if err != nil || !ok || s.State != SessionOpen {
		return err
	}
	return tx.endSession(ctx, SessionRef{Vault: s.Vault, ID: id, Token: s.Token}, SessionAbandoned)
}

// EndingSession is Session for a transaction that ends it: it locks the row of
// the session's vault first, so that of two that end at once the later one sees
// the other's end.
func (tx *Tx) EndingSession(ctx context.Context, id ID) (Session, bool, error) {
	var vault ID
	err := tx.QueryRow(ctx, "SELECT vault_id FROM vault_sessions WHERE id = $1", Cell{&id}).Scan(Cell{&vault})
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, false, nil
	}
	if err != nil {
		return Session{}, false, fmt.Errorf("read session %x: %w", id, err)
	}
	if _, err := tx.Vault(ctx, vault); err != nil {
		return Session{}, false, err
	}
	return tx.Session(ctx, id)
}

func (tx *Tx) endSession(ctx context.Context, ref SessionRef, to SessionState) error {
	err := tx.holdSession(ctx, ref, "state = $4, ended_at = $5", string(to), tx.now.UnixMicro())
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM vault_checkpoints WHERE session_id = $1", Cell{&ref.ID}); err != nil {
		return fmt.Errorf("end session %x: %w", ref.ID, err)
	}
	return tx.Unpin(ctx, sessionHolder(ref.ID))
}

// holdSession writes an open session that ref's attempt holds, and locks it.
func (tx *Tx) holdSession(ctx context.Context, ref SessionRef, set string, more ...any) error {
	n, err := tx.changed(ctx, "UPDATE vault_sessions SET "+set+" WHERE id = $1 AND vault_id = $2 AND token = $3 AND state = 'open'",
		append([]any{Cell{&ref.ID}, Cell{&ref.Vault}, ref.Token}, more...)...)
	if err != nil {
		return fmt.Errorf("write session %x: %w", ref.ID, err)
	}
	if n == 0 {
		return ErrFenced
	}
	return nil
}

// Pin keeps a backup's data in place for a holder, even if the backup is
// deleted meanwhile. A backup that is being deleted already gives an error of
// kind NotFound, unless the holder has pinned it before.
func (tx *Tx) Pin(ctx context.Context, backupID, holder string) error {
	b, err := tx.AnyBackup(ctx, backupID)
	if err != nil {
		return err
	}
	if b.Status == backup.Deleted || b.Status == backup.Deleting {
		var held int64
		err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM vault_pins WHERE backup_id = $1 AND holder = $2", backupID, holder).Scan(&held)
		if err == nil && held == 0 {
			err = missing(backup.BackupNotFound, backupID)
		}
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO vault_pins (backup_id, holder, pinned_at) VALUES ($1, $2, $3)
		ON CONFLICT (backup_id, holder) DO NOTHING`, backupID, holder, tx.now.UnixMicro())
	if err != nil {
		return fmt.Errorf("pin backup %s: %w", backupID, err)
	}
	return nil
}

// Unpin ends all pins of a holder.
func (tx *Tx) Unpin(ctx context.Context, holder string) error {
	if _, err := tx.Exec(ctx, "DELETE FROM vault_pins WHERE holder = $1", holder); err != nil {
		return fmt.Errorf("unpin for %s: %w", holder, err)
	}
	return nil
}

// Pinned reports whether anybody pins a backup.
func (tx *Tx) Pinned(ctx context.Context, backupID string) (bool, error) {
	var n int64
	err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM vault_pins WHERE backup_id = $1", backupID).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("look for pins of backup %s: %w", backupID, err)
	}
	return n > 0, nil
}
