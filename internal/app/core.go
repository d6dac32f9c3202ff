package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/backup"
	"holdfast/internal/blob"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/config"
	"holdfast/internal/jobs"
	"holdfast/internal/obs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
	"holdfast/internal/volume"
	"holdfast/internal/worker"
)

// maxAttempts is how often a job that could not reach a store or database is
// tried before it fails for good.
const maxAttempts = 8

// closeTimeout is how long an end may take to put jobs back.
const closeTimeout = 10 * time.Second

// core is what the service and the vault commands both stand on: one data
// folder, its catalog, its store and its queue.
type core struct {
	cfg     config.Config
	log     *slog.Logger
	clock   clock.Clock
	db      *catalog.DB
	store   blob.Store
	master  *keyring.Master
	volumes *volume.Folder
	metrics *obs.Metrics
	queue   *jobs.Queue
	service *service.Service
	worker  *worker.Worker

	firstStart bool                 // the master key was made now
	recovery   []*keyring.Recipient // for whom keys are wrapped besides
	keysHeld   *os.File             // see holdKeys
	probe      keyProbe
}

// openCore opens everything that cfg names and makes what a first start
// needs.
func openCore(ctx context.Context, cfg config.Config, log *slog.Logger) (c *core, err error) {
	c = &core{cfg: cfg, log: log, clock: clock.Real{}, metrics: obs.NewMetrics()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if err := makePrivate(cfg.Data); err != nil {
		return c, err
	}
	if err := c.useKeys(); err != nil {
		return c, err
	}
	c.db, err = catalog.Open(ctx, catalog.Config{
		URL: cfg.Database.URL.Reveal(), Path: filepath.Join(cfg.Data, "catalog.db"), Clock: c.clock, Log: log,
	})
	if err != nil {
		return c, startErrorf("database: %w", err)
	}
	if err := c.openStore(ctx); err != nil {
		return c, err
	}
	if c.volumes, err = volume.OpenFolder(cfg.Volumes.Path); err != nil {
		return c, startErrorf("volumes: %w", err)
	}
	return c, c.openQueue(ctx)
}

// openStore opens the store and the master key. Either is made only where
// neither the catalog nor the store has a vault yet: later, a missing one is
// an error and never silently replaced by an empty one. A bucket that can't be
// reached just now keeps nobody from starting: jobs wait for it.
func (c *core) openStore(ctx context.Context) error {
	var vaults []catalog.Vault
	err := c.db.View(ctx, func(tx *catalog.Tx) (err error) {
		vaults, err = tx.Vaults(ctx)
		return err
	})
	if err != nil {
		return &StartError{err}
	}
	for i := range vaults {
		if vaults[i].Unfinished() {
			return startErrorf("a recovery into this catalog was broken off: run holdfast vault recover again")
		}
	}
	open := findStore
	if !c.stored(vaults) {
		open = makeStore
	}
	c.store, err = open(ctx, c.cfg.Store, c.log)
	var away *awayError
	switch reached := !errors.As(err, &away); {
	case !reached:
		c.log.WarnContext(ctx, "the store can't be reached now", "error", err)
	case err != nil:
		return err
	}
	c.master, err = c.readMaster()
	if errors.Is(err, fs.ErrNotExist) && len(vaults) == 0 {
		err = c.makeKey(ctx, err)
	}
	if err != nil {
		return &StartError{err}
	}
	if away != nil {
		return nil
	}
	return c.keyFits(ctx, vaults)
}

// stored reports whether the store holds something, as far as the catalog
// knows. A local one is made before the first vault is; a bucket is empty until
// the first vault is ready.
func (c *core) stored(vaults []catalog.Vault) bool {
	if !c.cfg.Store.S3.Enabled() {
		return len(vaults) > 0
	}
	return slices.ContainsFunc(vaults, func(v catalog.Vault) bool { return v.Ready })
}

// keyFits fails where the master key opens no vault and is the wrong one for
// some: with a foreign key every backup and restore would fail. That the keys
// of single vaults are damaged doesn't stop the others.
func (c *core) keyFits(ctx context.Context, vaults []catalog.Vault) error {
	var wrong error
	for _, v := range vaults {
		if !v.Ready {
			continue
		}
		_, err := keyring.OpenVault(ctx, c.store, c.master, v.ID)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, keyring.ErrWrongKey):
			wrong = err
		default:
			c.log.WarnContext(ctx, "the keys of a vault can't be opened now", "vault", vault.ID(v.ID), "error", err)
		}
	}
	if wrong != nil {
		return startErrorf("master key file %s holds another key than this store's vaults need, put the right one back: %w",
			c.cfg.MasterKeyFile, wrong)
	}
	return nil
}

// makeKey makes the master key of a store that holds nothing yet.
func (c *core) makeKey(ctx context.Context, missing error) error {
	stored, err := keyring.ListVaults(ctx, c.store)
	if err != nil {
		return err
	}
	if len(stored) > 0 {
		return missing
	}
	_, err = keyring.Create(c.cfg.MasterKeyFile, c.cfg.MasterKeyPassphrase.Reveal(), rand.Reader)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("master_key_file: %w", err)
	}
	c.firstStart = err == nil
	c.master, err = c.readMaster()
	return err
}

func (c *core) openQueue(ctx context.Context) error {
	host, err := hostID(c.cfg.Data)
	if err != nil {
		return startErrorf("data folder: %w", err)
	}
	c.queue, err = jobs.Open(ctx, jobs.Config{
		DB: c.db, Clock: c.clock, Log: c.log, WorkerDir: filepath.Join(c.cfg.Data, "workers"), Host: host,
		Lease: c.cfg.Jobs.Lease, Heartbeat: c.cfg.Jobs.Heartbeat, Poll: time.Second,
		MaxAttempts: maxAttempts, Metrics: c.metrics,
	})
	if err != nil {
		return startErrorf("job queue: %w", err)
	}
	name, err := os.Hostname()
	if err != nil {
		return &StartError{err}
	}
	c.service = service.New(service.Config{
		DB: c.db, Queue: c.queue, Clock: c.clock, NewID: uuid.NewString, Log: c.log, Host: name,
		Types: volumeTypes(c.cfg.Volumes.Types), Zone: c.cfg.Volumes.AvailabilityZone, Quotas: quotas(c.cfg.Quotas),
		RefuseDeleteWithDependents: c.cfg.Compat.RefuseDeleteWithDependents, NoHealing: !c.cfg.Maintenance.Heal,
	})
	index := vault.NewIndex(vault.IndexConfig{
		Budget: int64(c.cfg.Engine.IndexBudgetMiB) << 20, Dir: filepath.Join(c.cfg.Data, "index"),
	})
	c.worker = worker.New(worker.Config{
		DB: c.db, Service: c.service, Volumes: c.volumes,
		Vaults: worker.NewVaults(worker.VaultsConfig{
			DB: c.db, Store: c.store, Master: c.master, Index: index, Rand: rand.Reader,
			Workers: c.cfg.Engine.Workers, Now: c.clock.Now, Log: c.log, Recovery: c.recovery,
		}),
		Compression: vault.Compression(c.cfg.Engine.Compression), Dense: vault.Compression(c.cfg.Maintenance.Compression),
		Metrics: c.metrics, Log: c.log,
	})
	return nil
}

func (c *core) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	if c.queue != nil {
		errs = append(errs, c.queue.Close(ctx))
	}
	if c.db != nil {
		errs = append(errs, c.db.Close())
	}
	if c.keysHeld != nil {
		errs = append(errs, c.keysHeld.Close())
	}
	return errors.Join(errs...)
}

// hostID returns the id of this data folder, made when it is first asked
// for: processes that share it can see whether each other live.
func hostID(dir string) (string, error) {
	path := filepath.Join(dir, "host-id")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		content = []byte(uuid.NewString())
		err = createOnce(path, content)
		if errors.Is(err, fs.ErrExist) { // another process was faster
			content, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return "", err
	}
	id, err := uuid.ParseBytes(content)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return id.String(), nil
}

// typeSpace is the namespace of volume types' ids, which follow from their
// names, so that every process of an installation shows the same ones.
var typeSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("holdfast:volume-type"))

func volumeTypes(types []config.VolumeType) []backup.VolumeType {
	all := make([]backup.VolumeType, len(types))
	for i, t := range types {
		all[i] = backup.VolumeType{
			ID: uuid.NewSHA1(typeSpace, []byte(t.Name)).String(), Name: t.Name, Description: t.Description, Public: true,
		}
	}
	return all
}

func quotas(q config.Quotas) map[string]int64 {
	return map[string]int64{
		backup.QuotaVolumes: q.Volumes, backup.QuotaSnapshots: q.Snapshots, backup.QuotaGigabytes: q.Gigabytes,
		backup.QuotaBackups: q.Backups, backup.QuotaBackupGigabytes: q.BackupGigabytes,
		backup.QuotaPerVolume: q.PerVolumeGigabytes,
	}
}
