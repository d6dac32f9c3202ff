package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/config"
	"holdfast/internal/identity"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
)

// RecoverRequest says from what a catalog is rebuilt, and where.
type RecoverRequest struct {
	Config   config.Config // of the store, the data folder and the database
	Key      KeyFile       // master key or recovery identity
	ReadData bool          // all data that backups need is read
	DryRun   bool          // nothing is written: no catalog is opened
	Progress func(RecoverProgress)
}

// RecoverProgress is how far a recovery got with one vault.
type RecoverProgress struct {
	Vault      int // from 1
	Vaults     int
	Step       string
	Done, Size int64 // of the step; Size 0: nobody knows
}

// RecoveredStore is what a store held. Sizes are in bytes.
type RecoveredStore struct {
	DryRun  bool             `json:"dry_run"`
	Whole   int              `json:"whole"`   // backups
	Damaged int              `json:"damaged"` // backups of which data is lost
	Vaults  []RecoveredVault `json:"vaults"`
	// RecoveryKey says that a recovery key opened the vaults: what serves them
	// needs a master key, see RotateKey.
	RecoveryKey bool `json:"recovery_key"`
}

// RecoveredVault is what a store held of one vault.
type RecoveredVault struct {
	Vault       string       `json:"vault"`
	Project     string       `json:"project"`      // id; empty: no record says it
	ProjectName string       `json:"project_name"` // as the newest record has it, may be empty
	Whole       int          `json:"whole"`        // backups
	Damaged     []LostBackup `json:"damaged"`      // never null
	Packs       int64        `json:"packs"`        // that were found
	Size        int64        `json:"size"`         // of these, as stored
	LostPacks   int          `json:"lost_packs"`   // that backups need and that are missing or damaged
	Error       string       `json:"error,omitempty"`
}

// LostBackup is a backup of which data is lost.
type LostBackup struct {
	ID      string      `json:"id"`
	Volume  string      `json:"volume"` // name
	Name    string      `json:"name"`
	TakenAt time.Time   `json:"taken_at"`
	Size    int64       `json:"size"`
	Lost    int64       `json:"lost"`   // bytes
	Whole   bool        `json:"whole"`  // all of it: its record can't be read
	Ranges  []LostRange `json:"ranges"` // of the volume, sorted; the first thousand
	More    int         `json:"more"`   // ranges that are left out
	What    string      `json:"what"`   // the first cause
}

// LostRange is a range of a volume.
type LostRange struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// Complete reports whether nothing is lost.
func (r *RecoveredStore) Complete() bool {
	return r.Damaged == 0 && !slices.ContainsFunc(r.Vaults, func(v RecoveredVault) bool { return v.Error != "" })
}

// Recover rebuilds the catalog of a store that has lost it, from store and key
// alone. The catalog must have no vaults; one that an earlier call left
// unfinished is begun anew. Losses are no error: the result names them. From
// then on nothing is deleted from the store, until ConfirmRecovery.
func Recover(ctx context.Context, req RecoverRequest, log *slog.Logger) (RecoveredStore, error) {
	r := &recoverer{req: req, log: log, sets: map[vault.ID]catalog.ID{}}
	r.out = RecoveredStore{DryRun: req.DryRun, Vaults: []RecoveredVault{}}
	if r.req.Progress == nil {
		r.req.Progress = func(RecoverProgress) {}
	}
	err := r.run(ctx)
	return r.out, err
}

// recoverer is one call of Recover.
type recoverer struct {
	req   RecoverRequest
	log   *slog.Logger
	store blob.Store
	db    *catalog.DB // nil in a dry run
	sets  map[vault.ID]catalog.ID
	out   RecoveredStore
}

func (r *recoverer) run(ctx context.Context) (err error) {
	if r.store, err = findStore(ctx, r.req.Config.Store, r.log); err != nil {
		return err
	}
	opener, err := r.req.Key.open()
	if err != nil {
		return err
	}
	_, master := opener.(*keyring.Master)
	r.out.RecoveryKey = !master
	open := func(ctx context.Context, id vault.ID) (vault.Keys, error) {
		keys, err := keyring.OpenVault(ctx, r.store, opener, id)
		if err != nil {
			return nil, err
		}
		r.sets[id] = keys.Set()
		return keys, nil
	}
	bare, err := vault.OpenBareTwice(ctx, r.store, open)
	if err == nil {
		err = r.fits(bare)
	}
	if err != nil {
		return err
	}
	if r.req.DryRun {
		return r.vaults(ctx, bare, map[vault.ID]catalog.ID{})
	}
	held, err := r.openCatalog(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.db.Close(), held.Close()) }()
	incarnations, err := r.takeOver(ctx, bare)
	if err != nil {
		return err
	}
	// What an old service has committed until now is there from here on.
	if bare, err = vault.OpenBareTwice(ctx, r.store, open); err != nil {
		return err
	}
	if err := r.vaults(ctx, bare, incarnations); err != nil {
		return err
	}
	return r.db.Update(ctx, func(tx *catalog.Tx) error { return tx.FinishRecovery(ctx) })
}

// fits makes sure that there is something to recover, and that the key is not
// that of another store.
func (r *recoverer) fits(bare *vault.Bare) error {
	all := bare.Vaults()
	if len(all) == 0 {
		return startErrorf("the store holds no vault: there is nothing to recover")
	}
	wrong := 0
	for _, v := range all {
		switch {
		case v.Err == nil:
		case errors.Is(v.Err, keyring.ErrWrongKey):
			wrong++
		case !errors.Is(v.Err, keyring.ErrMissing) && !errors.Is(v.Err, keyring.ErrCorrupt):
			return fmt.Errorf("open vault %s: %w", v.ID, v.Err)
		}
	}
	if wrong == len(all) {
		return startErrorf("%s holds another key than the vaults in the store need", r.req.Key.Path)
	}
	return nil
}

// openCatalog opens a catalog without vaults. What it returns besides keeps
// everybody else away from the data folder.
func (r *recoverer) openCatalog(ctx context.Context) (held io.Closer, err error) {
	cfg := r.req.Config
	if err := makePrivate(cfg.Data); err != nil {
		return nil, err
	}
	lock, err := holdKeys(cfg.Data, syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	r.db, err = catalog.Open(ctx, catalog.Config{
		URL: cfg.Database.URL.Reveal(), Path: filepath.Join(cfg.Data, "catalog.db"), Clock: clock.Real{}, Log: r.log,
	})
	if err != nil {
		return nil, errors.Join(startErrorf("database: %w", err), lock.Close())
	}
	if err := r.empty(ctx); err != nil {
		return nil, errors.Join(err, r.db.Close(), lock.Close())
	}
	return lock, nil
}

// empty fails where the catalog has vaults, but for what a recovery left that
// was broken off: this it removes.
func (r *recoverer) empty(ctx context.Context) error {
	var all []catalog.Vault
	err := r.db.View(ctx, func(tx *catalog.Tx) (err error) {
		all, err = tx.Vaults(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(v catalog.Vault) bool { return !v.Unfinished() }) {
		return startErrorf("the catalog in %s has vaults already: recover into a new data folder", r.req.Config.Data)
	}
	for more := len(all) > 0; more; {
		err := r.db.Update(ctx, func(tx *catalog.Tx) (err error) {
			more, err = tx.DropUnfinished(ctx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeOver gives the vaults that have backups a new incarnation each.
func (r *recoverer) takeOver(ctx context.Context, bare *vault.Bare) (map[vault.ID]catalog.ID, error) {
	all := map[vault.ID]catalog.ID{}
	for _, v := range bare.Vaults() {
		if v.Err != nil || v.Backups == 0 {
			continue
		}
		var id catalog.ID
		if _, err := rand.Read(id[:]); err != nil {
			return nil, fmt.Errorf("make incarnation: %w", err)
		}
		if err := bare.TakeOver(ctx, v.ID, id, rand.Reader); err != nil {
			return nil, err
		}
		all[v.ID] = id
	}
	return all, nil
}

// Confirmed is what the confirmation of a recovery set free.
type Confirmed struct {
	Vaults  int `json:"vaults"`  // that were held
	Backups int `json:"backups"` // deleted meanwhile, whose records are removed now
}

// ConfirmRecovery is the operator's word that the catalog which was lost is
// dead: things may be deleted from the store again.
func (v *Vault) ConfirmRecovery(ctx context.Context) (Confirmed, error) {
	c, err := v.caller(ctx, "")
	if backup.KindOf(err) == backup.NotFound { // the configuration names the users
		c, err = backup.Caller{Roles: []string{identity.RoleAdmin}}, nil
	}
	if err != nil {
		return Confirmed{}, err
	}
	done, err := v.service.ConfirmRecovery(ctx, c)
	return Confirmed{Vaults: done.Vaults, Backups: done.Backups}, err
}
