package worker

import (
	"context"
	"strings"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
)

// A captured volume's source state is the id of the backup that captured it;
// a snapshot's is its own id behind this prefix. Both name files that never
// change.
const snapshotState = "snapshot:"

// stateOf names the instant that a backup of the inventory is made of.
func stateOf(b backup.Backup) string {
	if b.SnapshotID != "" {
		return snapshotState + b.SnapshotID
	}
	return b.ID
}

// instantPath returns the file that shows a volume at a source state.
func (w *Worker) instantPath(volumeID, state string) (string, error) {
	if id, ok := strings.CutPrefix(state, snapshotState); ok {
		return w.Volumes.SnapshotPath(id)
	}
	return w.Volumes.BasePath(volumeID, state)
}

// dropBase removes one captured instant. What stays behind after an error is
// removed with the volume, or when the next backup of it ends.
func (w *Worker) dropBase(ctx context.Context, volumeID, state string) {
	if err := w.Volumes.DropBase(context.WithoutCancel(ctx), volumeID, state); err != nil {
		w.Log.WarnContext(ctx, "captured instant not removed", "volume_id", volumeID, "error", err)
	}
}

// dropBases removes all captured instants of a volume but keep, and but those
// that an unfinished backup reads.
func (w *Worker) dropBases(ctx context.Context, volumeID, keep string) error {
	states, err := w.Volumes.Bases(volumeID)
	if err != nil {
		return err
	}
	var unfinished []backup.Backup
	err = w.DB.View(ctx, func(tx *catalog.Tx) (err error) {
		unfinished, err = tx.Backups(ctx, catalog.Query{Limit: len(states) + 1000, Filters: []catalog.Filter{
			{Field: "volume_id", Values: []string{volumeID}},
			{Field: "status", Values: []string{string(backup.Creating)}},
		}})
		return err
	})
	if err != nil {
		return err
	}
	needed := map[string]bool{keep: true}
	for _, b := range unfinished {
		needed[b.ID] = true
	}
	for _, state := range states {
		if needed[state] {
			continue
		}
		if err := w.Volumes.DropBase(ctx, volumeID, state); err != nil {
			return err
		}
	}
	return nil
}
