package catalog

import (
	"context"
	"fmt"
	"math"

	"holdfast/internal/backup"
)

// What follows is the catalog's part in a vault's collection; vault.Ledger
// says what each step means and may rely on. The steps that change which packs
// there are (Condemn, Switch) lock and advance the vault's row first.

// PackRow is a generation of a pack with its state.
type PackRow struct {
	Pack
	State   PackState
	Epoch   int64 // at which it was condemned; 0: it was not
	Session ID    // that wrote it
}

// Survey is what a collection knows of a vault, but its packs.
type Survey struct {
	Vault    Vault
	Oldest   int64 // epoch of the oldest open session of a backup; math.MaxInt64 where none is open
	Roots    []Record
	Segments []Segment   // the oldest first
	Sessions map[ID]bool // whether it has ended for good
	Dead     []string
}

// OpenCollection opens a collection's session, or takes it over as
// BeginSession does.
func (tx *Tx) OpenCollection(ctx context.Context, b BeginSession) error {
	s, ok, err := tx.Session(ctx, b.ID)
	if err != nil {
		return err
	}
	if ok {
		if !s.Collection {
			return ErrFenced
		}
		_, err := tx.takeOver(ctx, s, b)
		return err
	}
	s = Session{
		ID: b.ID, Vault: b.Vault, JobID: b.JobID, Token: b.Token, State: SessionOpen, Collection: true, CreatedAt: tx.now,
	}
	err = tx.QueryRow(ctx, "SELECT epoch FROM vaults WHERE id = $1", Cell{&s.Vault}).Scan(&s.Epoch)
	if err != nil {
		return fmt.Errorf("read vault %x: %w", s.Vault, err)
	}
	return tx.insertSession(ctx, s)
}

// Survey returns a vault as the transaction sees it, which is one state within
// View.
func (tx *Tx) Survey(ctx context.Context, vault ID) (Survey, error) {
	v := Survey{Sessions: map[ID]bool{}}
	var err error
	if v.Vault, err = tx.Vault(ctx, vault); err != nil {
		return v, err
	}
	if v.Oldest, err = tx.oldestSession(ctx, vault); err != nil {
		return v, err
	}
	if v.Roots, err = tx.roots(ctx, vault); err != nil {
		return v, err
	}
	if v.Segments, err = tx.Segments(ctx, vault); err != nil {
		return v, err
	}
	if v.Dead, err = tx.Dead(ctx, vault); err != nil {
		return v, err
	}
	return v, tx.sessions(ctx, vault, v.Sessions)
}

// oldestSession returns the least epoch of the open sessions of backups.
func (tx *Tx) oldestSession(ctx context.Context, vault ID) (int64, error) {
	oldest := int64(math.MaxInt64)
	err := tx.QueryRow(ctx, `SELECT COALESCE(MIN(epoch), $1) FROM vault_sessions
		WHERE vault_id = $2 AND state = 'open' AND collection = 0`, oldest, Cell{&vault}).Scan(&oldest)
	if err != nil {
		return 0, fmt.Errorf("look for the oldest session of vault %x: %w", vault, err)
	}
	return oldest, nil
}

// roots returns the records of all backups that are there. One that is deleted
// counts until its row goes, after its record: should that not be removed, the
// backup shows again. Of one from before roots were kept in rows only the record
// says what it needs, so it counts no longer than it is pinned.
func (tx *Tx) roots(ctx context.Context, vault ID) ([]Record, error) {
	rows, err := tx.Query(ctx, `SELECT r.object, r.hash, r.map FROM backup_records r JOIN backups b ON b.id = r.backup_id
		WHERE r.vault_id = $1 AND (b.status <> 'deleted' OR LENGTH(r.map) > 0
			OR EXISTS (SELECT 1 FROM vault_pins p WHERE p.backup_id = b.id))
		ORDER BY r.backup_id`, Cell{&vault})
	if err != nil {
		return nil, fmt.Errorf("read the records of vault %x: %w", vault, err)
	}
	defer rows.Close()
	var all []Record
	for rows.Next() {
		r := Record{Vault: vault}
		if err := rows.Scan(&r.Object, Cell{&r.Hash}, &r.Map); err != nil {
			return nil, fmt.Errorf("read the records of vault %x: %w", vault, err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

func (tx *Tx) sessions(ctx context.Context, vault ID, ended map[ID]bool) error {
	rows, err := tx.Query(ctx, "SELECT id, state FROM vault_sessions WHERE vault_id = $1", Cell{&vault})
	if err != nil {
		return fmt.Errorf("read the sessions of vault %x: %w", vault, err)
	}
	defer rows.Close()
	for rows.Next() {
		var id ID
		var state string
		if err := rows.Scan(Cell{&id}, &state); err != nil {
			return fmt.Errorf("read the sessions of vault %x: %w", vault, err)
		}
		ended[id] = SessionState(state) != SessionOpen
	}
	return rows.Err()
}

// EachPack calls fn with every generation of a vault's packs, in the order of
// pack and generation. fn must not use tx.
func (tx *Tx) EachPack(ctx context.Context, vault ID, fn func(PackRow) error) error {
	rows, err := tx.Query(ctx, packRowSQL+" WHERE vault_id = $1 ORDER BY pack_id, generation", Cell{&vault})
	if err != nil {
		return fmt.Errorf("read the packs of vault %x: %w", vault, err)
	}
	defer rows.Close()
	var row packScan
	for rows.Next() {
		if err := row.scan(rows); err != nil {
			return fmt.Errorf("read the packs of vault %x: %w", vault, err)
		}
		if err := fn(row.PackRow); err != nil {
			return err
		}
	}
	return rows.Err()
}

const packRowSQL = "SELECT " + packColumns + ", state, condemned_epoch, session_id FROM vault_packs"

// packScan reads rows into one place, again and again.
type packScan struct {
	PackRow
	cells []any
}

func (p *packScan) scan(row interface{ Scan(...any) error }) error {
	if p.cells == nil {
		p.cells = append(p.Pack.cells(), (*string)(&p.State), &p.Epoch, Cell{&p.Session})
	}
	return row.Scan(p.cells...)
}

// Dead returns the objects that Switch called dead and Forget hasn't dropped,
// in order.
func (tx *Tx) Dead(ctx context.Context, vault ID) ([]string, error) {
	rows, err := tx.Query(ctx, "SELECT object FROM vault_dead WHERE vault_id = $1 ORDER BY object", Cell{&vault})
	if err != nil {
		return nil, fmt.Errorf("read the dead objects of vault %x: %w", vault, err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("read the dead objects of vault %x: %w", vault, err)
		}
		all = append(all, name)
	}
	return all, rows.Err()
}

// CameFree reports whether packs can go now, if nothing lives in them, that could
// not while a session of the given epoch was open: the oldest session that is
// open began after they were condemned. It is a safe answer where the vault's
// row is locked.
func (tx *Tx) CameFree(ctx context.Context, vault ID, epoch int64) (bool, error) {
	oldest, err := tx.oldestSession(ctx, vault)
	if err != nil {
		return false, err
	}
	var free bool
	err = tx.QueryRow(ctx, `SELECT CASE WHEN EXISTS (SELECT 1 FROM vault_packs WHERE vault_id = $1 AND state = 'condemned'
		AND condemned_epoch > $2 AND condemned_epoch <= $3) THEN 1 ELSE 0 END`, Cell{&vault}, epoch, oldest).Scan(Cell{&free})
	if err != nil {
		return false, fmt.Errorf("look for condemned packs of vault %x: %w", vault, err)
	}
	return free, nil
}

// HasDead reports whether objects are left that a collection was to remove.
func (tx *Tx) HasDead(ctx context.Context, vault ID) (bool, error) {
	var dead bool
	err := tx.QueryRow(ctx, "SELECT CASE WHEN EXISTS (SELECT 1 FROM vault_dead WHERE vault_id = $1) THEN 1 ELSE 0 END", Cell{&vault}).
		Scan(Cell{&dead})
	if err != nil {
		return false, fmt.Errorf("look for dead objects of vault %x: %w", vault, err)
	}
	return dead, nil
}

// Condemn takes generations out of the writable set, for good, and returns the
// new epoch, which is announced. One that is condemned already keeps its epoch;
// one that is not committed, or not there, is an error.
func (tx *Tx) Condemn(ctx context.Context, ref SessionRef, packs []PackGen) (int64, error) {
	epoch, err := tx.announce(ctx, ref.Vault)
	if err != nil {
		return 0, err
	}
	if err := tx.holdSession(ctx, ref, "token = token"); err != nil {
		return 0, err
	}
	err = eachGeneration(packs, func(generation uint32, ids []ID) error {
		return tx.condemn(ctx, ref.Vault, epoch, generation, ids)
	})
	if err != nil {
		return 0, fmt.Errorf("condemn packs of vault %x: %w", ref.Vault, err)
	}
	return epoch, nil
}

func (tx *Tx) condemn(ctx context.Context, vault ID, epoch int64, generation uint32, ids []ID) error {
	a := args{Cell{&vault}}
	where := " WHERE vault_id = $1 AND generation = " + a.add(Cell{&generation}) + " AND pack_id IN (" + addAll(&a, cells(ids)) + ")"
	var n int64
	err := tx.QueryRow(ctx, "SELECT COUNT(*) FROM vault_packs"+where+" AND state IN ('writable', 'condemned')", a...).Scan(&n)
	if err != nil {
		return err
	}
	if int(n) != len(ids) {
		return backup.Errorf(backup.Internal, "%d of %d packs are not committed", len(ids)-int(n), len(ids))
	}
	a = append(a, epoch)
	_, err = tx.Exec(ctx, fmt.Sprintf("UPDATE vault_packs SET state = 'condemned', condemned_epoch = $%d%s AND state = 'writable'", len(a), where), a...)
	return err
}

// Forget drops objects from the dead that have been deleted from the store.
// With done it ends the collection's session.
func (tx *Tx) Forget(ctx context.Context, ref SessionRef, objects []string, done bool) error {
	if err := tx.holdSession(ctx, ref, "token = token"); err != nil {
		return err
	}
	err := eachChunk(objects, func(part []string) error {
		a := args{Cell{&ref.Vault}}
		_, err := tx.Exec(ctx, "DELETE FROM vault_dead WHERE vault_id = $1 AND object IN ("+addAll(&a, part)+")", a...)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget dead objects of vault %x: %w", ref.Vault, err)
	}
	if done {
		return tx.endSession(ctx, ref, SessionCommitted)
	}
	return nil
}
