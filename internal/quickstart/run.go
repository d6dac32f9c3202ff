package quickstart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/app"
	"holdfast/internal/backup"
	"holdfast/internal/clock"
	"holdfast/internal/config"
)

// What the demonstration puts on its volume, and the free space that it asks
// for: the volume, copies of it while it is backed up, one restored volume, the
// store, and room to spare. Every run has the same content.
const (
	volumeSize = backup.GiB
	dataSize   = 600 << 20
	seed       = 2025 // a layout with copies of files in it, as on real disks
	freeSpace  = 4 * backup.GiB
)

// Settings say how to demonstrate.
type Settings struct {
	Config   config.Config // the embedded default, with its data folder and address
	Exit     bool          // end after the demonstration, instead of serving on
	Out      io.Writer
	Terminal bool // Out can rewrite a line
	Clock    clock.Clock
	Log      *slog.Logger
}

// Run starts the service, demonstrates the main job as a client of it, and
// keeps serving until ctx ends, unless Settings.Exit says otherwise. It fails
// where anything comes back other than it was.
func Run(ctx context.Context, s Settings) error {
	if err := CheckSpace(s.Config.Data, freeSpace); err != nil {
		return err
	}
	a, err := app.New(ctx, s.Config, s.Log)
	if err != nil {
		return err
	}
	err = whileServing(ctx, a, func(ctx context.Context) error {
		if err := demonstrate(ctx, s, a); err != nil || s.Exit {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return errors.Join(err, a.Close())
}

// whileServing does something while the service runs, and lets it drain
// afterwards.
func whileServing(ctx context.Context, a *app.App, do func(context.Context) error) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(serving) })
	g.Go(func() error {
		defer stop()
		return do(ctx)
	})
	return g.Wait()
}

func demonstrate(ctx context.Context, s Settings, a *app.App) error {
	places, err := findPlaces(s, a)
	if err != nil {
		return err
	}
	login, err := ReadLogin(places.Clouds)
	if err != nil {
		return err
	}
	client, err := Connect(ctx, login)
	if err != nil {
		return err
	}
	defer client.Close()
	fmt.Fprintf(s.Out, "Holdfast serves at %s, data in %s.\n\n", a.URL(), places.Data)
	result, err := Demo{
		Client: client, Local: a, Out: s.Out, Terminal: s.Terminal, Clock: s.Clock,
		Content: NewContent(Plan{Seed: seed, Size: volumeSize, Data: dataSize}),
	}.Run(ctx)
	if errors.Is(err, context.Canceled) {
		return errors.New("the quickstart was stopped before its end")
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(s.Out)
	WriteTable(s.Out, result.Rows)
	WriteSummary(s.Out, places, result)
	return nil
}

func findPlaces(s Settings, a *app.App) (Places, error) {
	p := Places{URL: a.URL()}
	if s.Exit {
		p.URL = ""
	}
	for _, f := range []struct {
		to   *string
		path string
	}{{&p.Data, s.Config.Data}, {&p.Clouds, a.CloudsPath()}, {&p.Key, a.KeyPath()}} {
		path, err := filepath.Abs(f.path)
		if err != nil {
			return p, err
		}
		*f.to = path
	}
	return p, nil
}
