package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
)

func newKeyRecovery() *cobra.Command {
	return group(&cobra.Command{
		Use:   "recovery",
		Short: "Look after recovery keys, which open vaults without the master key",
		Long: "Look after recovery keys. A recovery key is an age identity that is kept offline; its\n" +
			"recipient, which is no secret, stands in recovery_recipients of the configuration.\n" +
			"The keys of all vaults are wrapped for it too, so that the identity alone opens the\n" +
			"store: holdfast vault list --store DIR --key-file IDENTITY.",
	}, newKeyRecoveryNew(), newKeyRecoveryApply())
}

func newKeyRecoveryNew() *cobra.Command {
	return &cobra.Command{
		Use:   "new FILE",
		Short: "Make a recovery key and print its recipient",
		Long: "Make a recovery key: write the secret identity to a new file, readable by its owner\n" +
			"alone, and print its recipient for recovery_recipients. It needs no installation, and\n" +
			"is best made on the machine where the identity is kept.",
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			recipient, err := app.NewRecoveryKey(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), recipient)
			return err
		}),
	}
}

func newKeyRecoveryApply() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Wrap all vaults' keys for the configured recipients now",
		Long: "Wrap the keys of all vaults for the recipients in the configuration, and no others,\n" +
			"beside a running service or without one. The service does the same when it starts.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			log, err := warnings(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := askMaster(cmd, &cfg); err != nil {
				return err
			}
			done, err := app.ApplyRecovery(cmd.Context(), cfg, log)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d vaults are wrapped for %d recovery recipients (%d changed)\n",
				done.Vaults, len(cfg.RecoveryRecipients), done.Changed)
			return err
		}),
	}
	p.addConfig(cmd)
	p.addData(cmd)
	return cmd
}
