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

// dropBases removes the captured instants of a volume that nothing needs:
// unfinished backups read theirs, and the newest one that is stored is what
// the next backup is compared with, where keeping it costs nothing.
func (w *Worker) dropBases(ctx context.Context, volumeID string) error {
	keep, err := w.Volumes.Exists(volumeID)
	if err != nil {
		return err
	}
	states, err := w.Volumes.Bases(volumeID)
	if err != nil || len(states) == 0 {
		return err
	}
	needed := map[string]bool{}
	err = w.DB.View(ctx, func(tx *catalog.Tx) error {
		clear(needed)
		if err := w.need(ctx, tx, needed, states, backup.Creating, len(states)); err != nil {
			return err
		}
		if keep && w.Volumes.Instant() {
			return w.need(ctx, tx, needed, states, backup.Available, 1)
		}
		return nil
	})
	if err != nil {
		return err
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

// need adds the newest of those backups among ids that have a status.
func (w *Worker) need(ctx context.Context, tx *catalog.Tx, needed map[string]bool, ids []string, status backup.Status, limit int) error {
	found, err := tx.Backups(ctx, catalog.Query{
		Filters: []catalog.Filter{{Field: "id", Values: ids}, {Field: "status", Values: []string{string(status)}}},
		Sort:    []catalog.Sort{{Field: "data_timestamp", Desc: true}}, Limit: limit,
	})
	for _, b := range found {
		needed[b.ID] = true
	}
	return err
}
