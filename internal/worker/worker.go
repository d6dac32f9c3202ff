// Package worker does what the service's jobs ask: it makes, copies and
// removes local volumes, and moves their bytes between them and the vaults.
//
// A handler may be stopped at any instruction and started again, by this
// process or another: what it does to files and objects is idempotent, and
// each transaction that it writes is guarded by its attempt.
package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"holdfast/internal/catalog"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/volume"
)

// Metrics counts what backups and collections did, in bytes.
type Metrics interface {
	Bytes(read, fresh, stored int64)
	Freed(n int64)
}

// Config is what a Worker stands on. Every field is needed.
type Config struct {
	DB          *catalog.DB
	Service     *service.Service
	Volumes     *volume.Folder
	Vaults      *Vaults
	Compression vault.Compression // of backups
	Dense       vault.Compression // of what maintenance compresses anew
	Metrics     Metrics
	Log         *slog.Logger
}

// Worker handles jobs.
type Worker struct {
	Config
	watch    func(Progress) // may be nil
	attended *Attended      // may be nil
}

// New returns a Worker.
func New(cfg Config) *Worker { return &Worker{Config: cfg} }

// Watched returns the handlers of Handlers, which also tell watch how far the
// job is.
func (w *Worker) Watched(watch func(Progress)) map[string]jobs.Handler {
	return (&Worker{Config: w.Config, watch: watch}).Handlers()
}

// tell says how far a job is.
func (w *Worker) tell(r *jobs.Run, p Progress) {
	r.Progress(p)
	if w.watch != nil {
		w.watch(p)
	}
}

// Handlers returns a handler for each kind of job.
func (w *Worker) Handlers() map[string]jobs.Handler {
	return map[string]jobs.Handler{
		service.JobVolumeCreate:   handle(w.createVolume, w.volumeFailed),
		service.JobVolumeDelete:   handle(w.deleteVolume, w.volumeNotDeleted),
		service.JobVolumeExtend:   handle(w.extendVolume, w.volumeNotExtended),
		service.JobVolumeTidy:     handle(w.tidyVolume, w.volumeNotTidied),
		service.JobSnapshotCreate: handle(w.createSnapshot, w.snapshotFailed),
		service.JobSnapshotDelete: handle(w.deleteSnapshot, w.snapshotNotDeleted),
		service.JobBackupCapture:  handle(w.capture, w.captureFailed),
		service.JobBackupStore:    handle(w.store, w.storeFailed),
		service.JobPathBackup:     handle(w.store, w.storeFailed),
		service.JobBackupDelete:   handle(w.deleteBackup, w.backupNotDeleted),
		service.JobBackupRestore:  handle(w.restore, w.restoreFailed),
		service.JobPathRestore:    handle(w.restorePath, w.restorePathFailed),
		service.JobVaultCollect:   handle(w.collectVault, w.careFailed),
		service.JobVaultMaintain:  handle(w.maintainVault, w.careFailed),
		service.JobVaultVerify:    handle(w.verifyVault, w.careFailed),
		service.JobVaultHeal:      handle(w.healVault, w.careFailed),
	}
}

// Pools returns how many jobs of which kinds run side by side: the moving of
// bytes, which takes the processor and the memory of a job's budget, apart
// from the quick work, so that neither waits for the other. Vaults are cared for
// beside both, and what frees space waits for nothing that takes hours.
func Pools(heavy int) []jobs.Pool {
	return []jobs.Pool{
		{N: heavy, Kinds: []string{
			service.JobBackupStore, service.JobPathBackup, service.JobBackupRestore, service.JobPathRestore,
		}},
		{N: 2, Kinds: []string{
			service.JobVolumeCreate, service.JobSnapshotCreate, service.JobBackupCapture,
		}},
		{N: 2, Kinds: []string{
			service.JobVolumeDelete, service.JobVolumeExtend, service.JobVolumeTidy, service.JobSnapshotDelete,
			service.JobBackupDelete,
		}},
		{N: 1, Kinds: []string{service.JobVaultCollect, service.JobVaultHeal}},
		{N: 1, Kinds: []string{service.JobVaultMaintain, service.JobVaultVerify}},
	}
}

// handler makes a jobs.Handler of two functions that take the decoded payload.
type handler[P any] struct {
	run  func(context.Context, *jobs.Run, P) error
	fail func(context.Context, *catalog.Tx, jobs.Job, P, error) error
}

func handle[P any](
	run func(context.Context, *jobs.Run, P) error,
	fail func(context.Context, *catalog.Tx, jobs.Job, P, error) error,
) jobs.Handler {
	return handler[P]{run, fail}
}

// Run decodes the payload and does the job.
func (h handler[P]) Run(ctx context.Context, r *jobs.Run) error {
	var p P
	if err := json.Unmarshal(r.Job.Payload, &p); err != nil {
		return fmt.Errorf("read payload of job %s: %w", r.Job.ID, err)
	}
	return classify(h.run(ctx, r, p))
}

// Fail decodes the payload and records that the job failed for good.
func (h handler[P]) Fail(ctx context.Context, tx *catalog.Tx, job jobs.Job, cause error) error {
	var p P
	if err := json.Unmarshal(job.Payload, &p); err != nil {
		return fmt.Errorf("read payload of job %s: %w", job.ID, err)
	}
	return h.fail(ctx, tx, job, p, cause)
}

// finish ends a job together with what it means for its resources.
func (w *Worker) finish(ctx context.Context, r *jobs.Run, outcome func(*catalog.Tx) error) error {
	return w.DB.Update(ctx, func(tx *catalog.Tx) error {
		if err := r.Guard(ctx, tx); err != nil {
			return err
		}
		if err := outcome(tx); err != nil {
			return err
		}
		return r.Done(ctx, tx)
	})
}
