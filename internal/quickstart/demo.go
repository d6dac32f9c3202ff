package quickstart

import (
	"context"
	"fmt"
	"io"

	"holdfast/internal/backup"
	"holdfast/internal/clock"
	"holdfast/internal/progress"
)

// Local gives what the demonstration can't have through the API: it stands
// for the hypervisor, which writes a volume's bytes, and for the vault, which
// knows what a backup took.
type Local interface {
	// VolumePath returns the path of a volume's raw file.
	VolumePath(id string) (string, error)

	// BackupStats returns what taking a backup did.
	BackupStats(ctx context.Context, id string) (backup.Stats, error)
}

// Demo is what a demonstration stands on. Every field is needed.
type Demo struct {
	Client   *Client
	Local    Local
	Content  *Content
	Out      io.Writer
	Terminal bool // Out can rewrite a line
	Clock    clock.Clock
}

// Result is what a demonstration leaves and found out.
type Result struct {
	VolumeID string // still there
	BackupID string // the second backup, still there
	Rows     []Row
}

// The names of what the demonstration makes.
const (
	volumeName   = "quickstart"
	firstName    = "quickstart-1"
	secondName   = "quickstart-2"
	restoredName = "quickstart-restored"
)

// identical is what a comparison comes out as, if it doesn't fail.
const identical = "identical"

// Run fills a volume, backs it up, changes it, backs it up again, restores
// both backups, compares every byte, deletes the first backup and restores
// the second once more. It shows each step as it happens. A restored volume
// that is not what was backed up is an error that wraps a *DifferenceError.
func (d Demo) Run(ctx context.Context) (Result, error) {
	r := &run{Demo: d, screen: &screen{
		out: d.Out, line: progress.NewLine(d.Out, d.Terminal, d.Clock), clock: d.Clock,
	}}
	err := r.tell(ctx)
	return r.result, err
}

// run is one demonstration under way.
type run struct {
	Demo
	screen   *screen
	path     string // of the volume's file
	first    string // id of the first backup
	restored string // id of the volume restored last
	result   Result
}

func (r *run) tell(ctx context.Context) error {
	size, second := progress.Bytes(r.Content.Size()), &r.result.BackupID
	for _, s := range []struct {
		number, text string
		do           func(context.Context, *step) (string, error)
	}{
		{"1", "create a volume of " + size, r.createVolume},
		{"", "fill " + progress.Bytes(r.Content.Data()) + ": text, binary, incompressible, holes", r.fill},
		{"2", "back it up", r.backUp(firstName, "backup 1, full", &r.first)},
		{"", "change " + progress.Bytes(r.Content.ChangedBytes()) + " of it, some to zeros", r.change},
		{"", "back it up again, as an incremental", r.backUp(secondName, "backup 2, incremental", second)},
		{"3", "restore the first backup to a new volume", r.restore("restore of backup 1", &r.first)},
		{"", "compare every byte", r.compare(Filled)},
		{"", "restore the second backup to a new volume", r.restore("restore of backup 2", second)},
		{"", "compare every byte, the zeroed ones too", r.compare(Changed)},
		{"4", "delete the first backup", r.deleteFirst},
		{"", "restore the second backup once more", r.restore("restore of backup 2, alone", second)},
		{"", "compare every byte, the zeroed ones too", r.compare(Changed)},
	} {
		st := r.screen.begin(s.number, s.text)
		outcome, err := s.do(ctx, st)
		if err != nil {
			st.broken(ctx)
			return fmt.Errorf("%s: %w", s.text, err)
		}
		st.done(outcome)
	}
	return nil
}

func (r *run) createVolume(ctx context.Context, st *step) (string, error) {
	id, err := r.Client.newVolume(ctx, volumeName, (r.Content.Size()+backup.GiB-1)/backup.GiB, st.status)
	if err != nil {
		return "", err
	}
	r.result.VolumeID = id
	r.path, err = r.Local.VolumePath(id)
	return "", err
}

func (r *run) fill(ctx context.Context, st *step) (string, error) {
	return "", Fill(ctx, r.path, r.Content, st.advance)
}

func (r *run) change(ctx context.Context, st *step) (string, error) {
	return "", Apply(ctx, r.path, r.Content, st.advance)
}

// backUp makes a backup, incremental unless it is the first, and keeps its id.
func (r *run) backUp(name, what string, id *string) func(context.Context, *step) (string, error) {
	return func(ctx context.Context, st *step) (string, error) {
		made, err := r.Client.backUp(ctx, newBackup{
			VolumeID: r.result.VolumeID, Name: name, Incremental: r.first != "",
		}, st.status)
		if err != nil {
			return "", err
		}
		took := st.elapsed()
		stats, err := r.Local.BackupStats(ctx, made)
		if err != nil {
			return "", err
		}
		*id = made
		r.result.Rows = append(r.result.Rows, Row{What: what, Size: r.Content.Size(), Stats: &stats, Time: took})
		return progress.Bytes(stats.Stored) + " stored", nil
	}
}

// restore restores a backup to a new volume.
func (r *run) restore(what string, id *string) func(context.Context, *step) (string, error) {
	return func(ctx context.Context, st *step) (string, error) {
		made, err := r.Client.restore(ctx, *id, restoredName, st.status)
		if err != nil {
			return "", err
		}
		r.restored = made
		r.result.Rows = append(r.result.Rows, Row{What: what, Size: r.Content.Size(), Time: st.elapsed()})
		return "", nil
	}
}

// compare compares the volume restored last with what the source held at a
// moment, and deletes it where the two are identical.
func (r *run) compare(at Moment) func(context.Context, *step) (string, error) {
	return func(ctx context.Context, st *step) (string, error) {
		path, err := r.Local.VolumePath(r.restored)
		if err != nil {
			return "", err
		}
		if err := Compare(ctx, path, r.Content, at, st.advance); err != nil {
			return "", fmt.Errorf("restored volume %s: %w", r.restored, err)
		}
		r.result.Rows[len(r.result.Rows)-1].Outcome = identical
		return identical, r.Client.remove(ctx, "/volumes/"+r.restored, st.status)
	}
}

func (r *run) deleteFirst(ctx context.Context, st *step) (string, error) {
	return "", r.Client.remove(ctx, "/backups/"+r.first, st.status)
}
