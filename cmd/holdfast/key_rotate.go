package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
)

func newKeyRotate() *cobra.Command {
	var p place
	var keyFile string
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Make a new master key, for which all vaults' keys are wrapped",
		Long: "Make a new master key and wrap the keys of all vaults for it, in place of the old one.\n" +
			"No backup data is written anew. The service must be stopped, on all hosts. Broken off\n" +
			"anywhere, it can be run again; until it has ended, the old key is kept beside the new\n" +
			"one, with .old after its name. Export the new key afterwards: copies of the old one\n" +
			"no longer open the store.\n\n" +
			"With --key-file the vaults are opened with a recovery identity, or another copy of the\n" +
			"key: this is the way back to a service when the master key was lost.",
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
			var with *app.KeyFile
			if keyFile != "" {
				f, err := askKeyFile(cmd, keyFile)
				if err != nil {
					return err
				}
				with = &f
			}
			if err := askMaster(cmd, &cfg); err != nil {
				return err
			}
			done, err := app.RotateKey(cmd.Context(), cfg, log, with)
			if err != nil {
				return err
			}
			what := "made a new master key in"
			if done.Finished {
				what = "finished the change to"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s, which opens %d vaults: keep a copy of it somewhere else (holdfast key export)\n",
				what, cfg.MasterKeyFile, done.Vaults)
			return err
		}),
	}
	p.addConfig(cmd)
	p.addData(cmd)
	addText(cmd, &keyFile, "key-file", "open the vaults with this `FILE` in place of the master key file")
	return cmd
}
