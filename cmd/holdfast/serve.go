package main

import (
	"context"
	"errors"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/obs"
)

func newServe() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: "Run the service until SIGTERM or SIGINT; then it lets what is under way come to a\n" +
			"durable point and ends. A second signal ends it at once. Without --config it runs\n" +
			"on the embedded default and needs nothing else on the machine.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error { return serve(cmd, &p) }),
	}
	p.addConfig(cmd)
	p.addData(cmd)
	p.addListen(cmd)
	return cmd
}

func serve(cmd *cobra.Command, p *place) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	log, err := obs.NewLogger(cmd.ErrOrStderr(), cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return usageError{err}
	}
	if err := askMaster(cmd, &cfg); err != nil {
		return err
	}
	a, err := app.New(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	if a.FirstStart() {
		warnOfNewKey(cmd.ErrOrStderr(), a.KeyPath())
	}
	defer notify(cmd.Context())()
	return errors.Join(a.Run(cmd.Context()), a.Close())
}

// notify tells systemd, where it started the process, that the service is
// ready, and later, when ctx ends, that it is stopping. The function that it
// returns ends this.
func notify(ctx context.Context) func() bool {
	// Nobody needs to know that nobody listened.
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	return context.AfterFunc(ctx, func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) })
}
