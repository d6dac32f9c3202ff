package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/config"
	"holdfast/internal/identity"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/worker"
)

// Item is a backup as the vault commands show it. Sizes are in bytes.
type Item struct {
	ID            string    `json:"id"`
	Project       string    `json:"project"` // id
	VolumeID      string    `json:"volume_id"`
	Volume        string    `json:"volume"` // name
	Name          string    `json:"name"`
	Status        string    `json:"status"`
	FailReason    string    `json:"fail_reason,omitempty"`
	Size          int64     `json:"size"`
	Read          int64     `json:"read"`
	New           int64     `json:"new"`
	Stored        int64     `json:"stored"`
	Incremental   bool      `json:"incremental"`
	Parent        string    `json:"parent,omitempty"` // the backup that it continues
	CreatedAt     time.Time `json:"created_at"`
	DataTimestamp time.Time `json:"data_timestamp"`
}

// Progress is how far an operation got, in bytes.
type Progress struct {
	Done, Size, Read, New, Stored int64
}

// PathRestore asks for a backup's bytes in a file or device of this host,
// which is there and large enough.
type PathRestore struct {
	Project  string // name or id; empty: the admin's, or in a bare store any
	ID       string
	Path     string
	Offset   int64          // of the backup, where Length is given
	Length   int64          // 0: all of the backup; it is written to the path's beginning
	Progress func(Progress) // may be nil
}

// Vault is the vault commands' way into a data folder, beside a running
// service or without one.
type Vault struct {
	*core
	users *identity.Service
}

// OpenVault opens a data folder, which it makes if it is missing.
func OpenVault(ctx context.Context, cfg config.Config, log *slog.Logger) (*Vault, error) {
	c, err := openCore(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	users, err := c.openIdentity(ctx, cfg.PublicURL)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return &Vault{core: c, users: users}, nil
}

// Close releases what OpenVault opened.
func (v *Vault) Close() error { return v.core.close() }

// FirstStart reports whether the master key was made now.
func (v *Vault) FirstStart() bool { return v.firstStart }

// KeyPath returns the path of the master key file.
func (v *Vault) KeyPath() string { return v.cfg.MasterKeyFile }

// caller is the operator at the command line, in a project.
func (v *Vault) caller(ctx context.Context, project string) (backup.Caller, error) {
	if project == "" {
		project = identity.AdminName
	}
	p, err := v.users.ProjectByName(ctx, project)
	if backup.KindOf(err) == backup.NotFound {
		p, err = v.users.Project(ctx, project)
	}
	if backup.KindOf(err) == backup.NotFound && v.hasVault(ctx, project) { // its backups outlived it
		p, err = identity.Project{ID: project, Name: project}, nil
	}
	return backup.Caller{ProjectID: p.ID, ProjectName: p.Name, Roles: []string{identity.RoleAdmin}}, err
}

func (v *Vault) hasVault(ctx context.Context, project string) bool {
	return v.db.View(ctx, func(tx *catalog.Tx) error {
		_, err := tx.VaultOf(ctx, project)
		return err
	}) == nil
}

// Restore writes a backup to a path.
func (v *Vault) Restore(ctx context.Context, p PathRestore) error {
	c, err := v.caller(ctx, p.Project)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(p.Path)
	if err != nil {
		return err
	}
	job, err := v.service.RestoreToPath(ctx, c, p.ID, service.PathRestore{Path: path, Offset: p.Offset, Length: p.Length})
	if err != nil {
		return err
	}
	return v.run(ctx, job, p.Progress)
}

// run does a job of this process and tells what it says of itself.
func (v *Vault) run(ctx context.Context, job jobs.Job, tell func(Progress)) error {
	return v.runWith(ctx, job, v.worker.Watched(watcher(tell)))
}

func watcher(tell func(Progress)) func(worker.Progress) {
	return func(p worker.Progress) {
		if tell != nil {
			tell(Progress{Done: p.Done, Size: p.Size, Read: p.Read, New: p.New, Stored: p.Stored})
		}
	}
}

func (v *Vault) runWith(ctx context.Context, job jobs.Job, handlers map[string]jobs.Handler) error {
	ended, err := v.queue.RunReserved(ctx, job.ID, handlers)
	if ctx.Err() != nil && ended.State != jobs.Done {
		return v.giveUp(ctx, job)
	}
	if err == nil && ended.State == jobs.Failed {
		err = fmt.Errorf("%s", ended.Error)
	}
	return err
}

// giveUp ends a job whose command was interrupted: nobody is to go on with
// what its user has stopped.
func (v *Vault) giveUp(ctx context.Context, job jobs.Job) error {
	why := context.Cause(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err := v.db.Update(ctx, func(tx *catalog.Tx) error { return jobs.Cancel(ctx, tx, job.ID) })
	if err == nil {
		_, err = v.queue.RunReserved(ctx, job.ID, v.worker.Handlers())
	}
	if err != nil {
		return fmt.Errorf("%w; and another process may go on with job %s: %w", why, job.ID, err)
	}
	return fmt.Errorf("given up: %w", why)
}

// List returns a project's backups, oldest first.
func (v *Vault) List(ctx context.Context, project string) ([]Item, error) {
	c, err := v.caller(ctx, project)
	if err != nil {
		return nil, err
	}
	var all []Item
	for marker := ""; ; {
		page, err := v.service.Backups(ctx, c, service.List{
			Limit: 1000, Marker: marker, Sort: []service.Sort{{Field: "created_at"}, {Field: "id"}},
		})
		if err != nil {
			return nil, err
		}
		for _, b := range page.Items {
			all = append(all, item(b))
		}
		if len(page.Items) < 1000 {
			return all, nil
		}
		marker = all[len(all)-1].ID
	}
}

// Show returns one backup of a project.
func (v *Vault) Show(ctx context.Context, project, id string) (Item, error) {
	c, err := v.caller(ctx, project)
	if err != nil {
		return Item{}, err
	}
	b, err := v.service.Backup(ctx, c, id)
	if err == nil && b.ProjectID != c.ProjectID {
		err = backup.Errorf(backup.NotFound, "backup %s could not be found in project %s", id, c.ProjectName)
	}
	return item(b), err
}

func item(b backup.Backup) Item {
	return Item{
		ID: b.ID, Project: b.ProjectID, VolumeID: b.VolumeID, Volume: b.VolumeName, Name: b.Name,
		Status: string(b.Status), FailReason: b.FailReason, Size: b.Bytes,
		Read: b.Stats.Read, New: b.Stats.New, Stored: b.Stats.Stored, Incremental: b.Incremental, Parent: b.ParentID,
		CreatedAt: b.CreatedAt, DataTimestamp: b.DataTimestamp,
	}
}
