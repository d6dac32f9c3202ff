package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/config"
)

func newKeyProtect() *cobra.Command {
	var p place
	var stdin bool
	cmd := &cobra.Command{
		Use:   "protect",
		Short: "Put the master key file under a passphrase",
		Long: "Put the master key file under a passphrase, or under another one. The key stays the\n" +
			"same. From then on whatever opens it needs the passphrase: on a terminal it is asked\n" +
			"for, a service takes it from master_key_passphrase_file or " + config.EnvKeyPassphrase + ".\n" +
			"The file is an armored age file, which age -d opens, too.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			if err := askMaster(cmd, &cfg); err != nil {
				return err
			}
			passphrase, err := newPassphrase(cmd, stdin)
			if err != nil {
				return err
			}
			if err := app.ProtectKey(cfg, passphrase); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s needs the passphrase now\n", cfg.MasterKeyFile)
			return err
		}),
	}
	p.addConfig(cmd)
	p.addData(cmd)
	addStdin(cmd, &stdin)
	return cmd
}

func newKeyUnprotect() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "unprotect",
		Short: "Take the passphrase off the master key file",
		Long:  "Take the passphrase off the master key file. The key stays the same.",
		Args:  cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			if err := askMaster(cmd, &cfg); err != nil {
				return err
			}
			if err := app.ProtectKey(cfg, ""); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s needs no passphrase now\n", cfg.MasterKeyFile)
			return err
		}),
	}
	p.addConfig(cmd)
	p.addData(cmd)
	return cmd
}
