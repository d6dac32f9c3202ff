// Package app puts the parts together: it opens what a configuration names,
// binds the listeners, runs the service and drains it. The commands and the
// tests from outside share it.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/blob"
	"holdfast/internal/catalog"
	"holdfast/internal/config"
	"holdfast/internal/identity"
	"holdfast/internal/jobs"
	"holdfast/internal/obs"
	"holdfast/internal/worker"
)

// How often the services list hears of this host, and how long a readiness
// check may take.
const (
	beatEvery    = 20 * time.Second
	readyTimeout = 5 * time.Second
)

// App is a service that is ready to run.
type App struct {
	*core
	users *identity.Service
	url   string // public, without a final slash

	main      *listener
	alone     []*listener // in the order of the configuration
	admin     *listener
	listeners []*listener // all of them
}

// New binds the listeners that cfg names and opens all else. Nothing is made
// in the data folder before the addresses are taken. An error that wraps a
// *StartError is the operator's to mend.
func New(ctx context.Context, cfg config.Config, log *slog.Logger) (a *App, err error) {
	a = &App{core: &core{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
			a = nil
		}
	}()
	if err := a.bind(cfg, log); err != nil {
		return a, err
	}
	if a.core, err = openCore(ctx, cfg, log); err != nil {
		a.core = &core{}
		return a, err
	}
	if err := a.probeStore(ctx); err != nil {
		return a, err
	}
	if a.users, err = a.openIdentity(ctx, a.url); err != nil {
		return a, err
	}
	if err := a.syncIdentity(ctx); err != nil {
		return a, err
	}
	if err := a.mountFaces(); err != nil {
		return a, err
	}
	a.mountAdmin()
	return a, nil
}

// bind takes every address, so that a start fails early where one is busy.
func (a *App) bind(cfg config.Config, log *slog.Logger) error {
	main, err := bind("listen", cfg.Listen, cfg.TLS)
	if err != nil {
		return err
	}
	a.main = serve(main, log)
	a.listeners = append(a.listeners, a.main)
	a.url = publicURL(cfg.PublicURL, main, cfg.TLS)
	for i, c := range cfg.Listeners {
		l, err := bind(fmt.Sprintf("listeners[%d].listen", i), c.Listen, c.TLS)
		if err != nil {
			return err
		}
		a.alone = append(a.alone, serve(l, log))
	}
	a.listeners = append(a.listeners, a.alone...)
	admin, err := bindAdmin(cfg.Admin.Listen)
	if err != nil {
		return err
	}
	a.admin = serve(admin, log)
	a.listeners = append(a.listeners, a.admin)
	return nil
}

// publicURL is the configured address of a listener, or the one that it
// really has.
func publicURL(configured string, l net.Listener, t config.TLS) string {
	if configured != "" {
		return configured
	}
	return config.BaseURL(l.Addr().String(), t.Enabled())
}

func (a *App) mountAdmin() {
	a.metrics.Queue(a.countJobs)
	a.metrics.Vaults(a.vaultsCare)
	a.admin.server.Handler = obs.Admin{
		Metrics: a.metrics, Timeout: readyTimeout, Pprof: a.cfg.Admin.Pprof, Checks: a.checks(),
	}.Handler()
}

// countJobs counts the queue's jobs for the metrics.
func (a *App) countJobs(ctx context.Context) ([]obs.JobCount, error) {
	var all []obs.JobCount
	err := a.db.View(ctx, func(tx *catalog.Tx) error {
		counts, err := jobs.Counts(ctx, tx)
		all = nil
		for _, n := range counts {
			all = append(all, obs.JobCount{Kind: n.Kind, State: string(n.State), Count: n.N})
		}
		return err
	})
	return all, err
}

// Run serves until ctx ends; then it takes no more jobs and requests, lets
// those under way come to a durable point, and returns.
func (a *App) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range a.listeners {
		g.Go(func() error { return l.run(ctx, a.cfg.Limits.DrainTimeout) })
	}
	g.Go(func() error {
		return a.queue.Serve(ctx, worker.Pools(a.cfg.Jobs.Workers), a.worker.Handlers())
	})
	g.Go(func() error { a.beat(ctx); return nil })
	g.Go(func() error { a.maintain(ctx); return nil })
	g.Go(func() error { a.keepRecovery(ctx); return nil })
	a.log.InfoContext(ctx, "serving", "url", a.url, "admin", a.AdminURL(), "data", a.cfg.Data)
	<-ctx.Done()
	a.log.InfoContext(ctx, "stopping")
	err := g.Wait()
	a.log.InfoContext(ctx, "stopped")
	return err
}

// beat keeps this host's services up in the services list.
func (a *App) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		if err := a.service.Beat(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "services list not written", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close releases what New opened. It is to be called after Run.
func (a *App) Close() error {
	var errs []error
	for _, l := range a.listeners {
		if err := l.server.Close(); err != nil {
			errs = append(errs, err)
		}
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, a.core.close())...)
}

// URL returns the public address of the main listener.
func (a *App) URL() string { return a.url }

// AdminURL returns the address of the admin listener.
func (a *App) AdminURL() string { return config.BaseURL(a.admin.Addr().String(), false) }

// FirstStart reports whether the master key was made in this start.
func (a *App) FirstStart() bool { return a.firstStart }

// KeyPath returns the path of the master key file.
func (a *App) KeyPath() string { return a.cfg.MasterKeyFile }

// CloudsPath returns the path of clouds.yaml.
func (a *App) CloudsPath() string { return cloudsPath(a.cfg) }

func cloudsPath(cfg config.Config) string { return filepath.Join(cfg.Data, "clouds.yaml") }

// checks are what readiness depends on.
func (a *App) checks() []obs.Check {
	return []obs.Check{
		{Name: "database", Run: a.db.Ping},
		{Name: "store", Run: a.checkStore},
		{Name: "keys", Run: a.checkKey},
	}
}

// checkStore asks for an object that is never there.
func (a *App) checkStore(ctx context.Context) error {
	_, err := a.store.Stat(ctx, "readiness/probe")
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	return err
}
