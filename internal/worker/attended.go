package worker

import (
	"errors"

	"holdfast/internal/backup"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
	"holdfast/internal/vault"
	"holdfast/internal/volume"
)

// Attended is what a process holds of a path backup that it has asked for and
// waits for, and what it is told of it. Nobody else can go on with a stream;
// where another process goes on with a file, it does so without the change map,
// by reading everything.
type Attended struct {
	Backup  string             // id
	Stream  *volume.FileSource // of the path "-"; else nil. The caller closes it.
	Changes *vault.ChangeMap   // nil: everything is read
	Watch   func(Progress)     // may be nil
	Result  *vault.Result      // set once the backup is stored, by this process
}

// Attend returns the handlers of Handlers for a process that waits for a.
func (w *Worker) Attend(a *Attended) map[string]jobs.Handler {
	return (&Worker{Config: w.Config, watch: a.Watch, attended: a}).Handlers()
}

// attends returns what this process holds of a backup, empty for nothing.
func (w *Worker) attends(id string) *Attended {
	if w.attended == nil || w.attended.Backup != id { // another that waited in the same lane
		return &Attended{}
	}
	return w.attended
}

// streamPath stands for a stream in a path job.
const streamPath = "-"

// errStreamGone says that a backup of a stream can't be gone on with.
var errStreamGone = errors.New("the process that had the stream has ended")

// openPath opens what a path job reads. What it returns is to be closed, unless
// the process holds it for the job.
func (w *Worker) openPath(b backup.Backup, p service.BackupWork) (src *source, held bool, err error) {
	if p.Path != streamPath {
		src, err = w.openSource(b, p.Path)
		return src, false, err
	}
	stream := w.attends(b.ID).Stream
	if stream == nil {
		return nil, false, &volume.SourceError{Path: p.Path, Err: errStreamGone}
	}
	return &source{FileSource: stream}, true, nil
}
