package app

import (
	"context"
	"fmt"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// What follows is for whoever runs the service in his own process: it can't
// be had through the API.

// VolumePath returns the path of a local volume's raw file.
func (a *App) VolumePath(id string) (string, error) { return a.volumes.Path(id) }

// BackupStats returns what taking a backup did.
func (a *App) BackupStats(ctx context.Context, id string) (backup.Stats, error) {
	var b backup.Backup
	err := a.db.View(ctx, func(tx *catalog.Tx) (err error) {
		b, err = tx.Backup(ctx, id)
		return err
	})
	if err != nil {
		return backup.Stats{}, fmt.Errorf("figures of backup %s: %w", id, err)
	}
	return b.Stats, nil
}
