package service

import (
	"context"
	"log/slog"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/jobs"
)

// Config is what a Service stands on. Every field is needed.
type Config struct {
	DB    *catalog.DB
	Queue *jobs.Queue
	Clock clock.Clock
	NewID func() string // UUIDs
	Log   *slog.Logger
	Host  string // this host's name in the services list

	Types  []backup.VolumeType // the first is the default
	Zone   string              // the availability zone
	Quotas map[string]int64    // limits of a project that has none of its own; absent: unlimited

	// RefuseDeleteWithDependents makes a backup that another continues
	// undeletable, as Cinder does.
	RefuseDeleteWithDependents bool
	// NoHealing leaves damage as it is, unless an operator asks for healing.
	NoHealing bool
}

// Service carries out the use cases. Its methods may be called concurrently.
type Service struct {
	cfg Config
	db  *catalog.DB
}

// New returns a Service.
func New(cfg Config) *Service { return &Service{cfg: cfg, db: cfg.DB} }

// enqueue adds a job inside the caller's transaction.
func (s *Service) enqueue(ctx context.Context, tx *catalog.Tx, c backup.Caller, n jobs.New) error {
	n.RequestID = c.RequestID
	_, err := s.cfg.Queue.Enqueue(ctx, tx, n)
	return err
}

// query turns a face's list into the catalog's.
func query(c backup.Caller, l List) catalog.Query {
	q := catalog.Query{Project: c.ProjectID, Limit: l.Limit, Offset: l.Offset, Marker: l.Marker}
	if l.AllProjects && c.Admin() {
		q.Project = ""
	}
	for _, f := range l.Filters {
		q.Filters = append(q.Filters, catalog.Filter{Field: f.Field, Key: f.Key, Values: f.Values})
	}
	for _, o := range l.Sort {
		q.Sort = append(q.Sort, catalog.Sort{Field: o.Field, Desc: o.Desc})
	}
	return q
}

// list reads one page of a kind of resource.
func list[T any](
	ctx context.Context, db *catalog.DB, q catalog.Query, count bool,
	read func(*catalog.Tx, context.Context, catalog.Query) ([]T, error),
	total func(*catalog.Tx, context.Context, catalog.Query) (int, error),
) (Page[T], error) {
	var p Page[T]
	err := db.View(ctx, func(tx *catalog.Tx) (err error) {
		if p.Items, err = read(tx, ctx, q); err != nil || !count {
			return err
		}
		p.Count, err = total(tx, ctx, q)
		return err
	})
	return p, err
}

// ours returns notFound's error where a resource belongs to another project
// and the caller doesn't administer the installation.
func ours(c backup.Caller, project string, reason backup.Reason, id string) error {
	if project == c.ProjectID || c.Admin() {
		return nil
	}
	return notFound(reason, id)
}

func notFound(reason backup.Reason, id string) error {
	return &backup.Error{
		Kind: backup.NotFound, Reason: reason,
		Args:    map[string]string{"id": id},
		Message: string(reason) + ": " + id,
	}
}

func conflict(reason backup.Reason, message string, args map[string]string) error {
	return &backup.Error{Kind: backup.Conflict, Reason: reason, Args: args, Message: message}
}

func invalid(reason backup.Reason, message string, args map[string]string) error {
	return &backup.Error{Kind: backup.Invalid, Reason: reason, Args: args, Message: message}
}
