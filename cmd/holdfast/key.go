package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/config"
)

func newKey() *cobra.Command {
	return group(&cobra.Command{
		Use: "key", Short: "Look after the master key and recovery keys",
	}, newKeyExport(), newKeyProtect(), newKeyUnprotect(), newKeyRotate(), newKeyRecovery())
}

func newKeyExport() *cobra.Command {
	var p place
	var protect, stdin bool
	cmd := &cobra.Command{
		Use:   "export [FILE|-]",
		Short: "Copy the master key, to be kept somewhere else",
		Long: "Copy the master key to a new file, readable by its owner alone, or to standard\n" +
			"output. Without the master key no backup can be read; whoever has it and the store\n" +
			"can read them all. The copy can stand in for the key file as it is: it has the same\n" +
			"passphrase, if any, or with --passphrase one of its own.",
		Args: cobra.MaximumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if stdin && !protect {
				return refuse("--stdin gives the passphrase that --passphrase is about")
			}
			cfg, err := p.load()
			if err != nil {
				return err
			}
			if err := askMaster(cmd, &cfg); err != nil {
				return err
			}
			passphrase := ""
			if protect {
				if passphrase, err = newPassphrase(cmd, stdin); err != nil {
					return err
				}
			}
			if len(args) == 0 || args[0] == "-" {
				return app.ExportKey(cfg, cmd.OutOrStdout(), passphrase)
			}
			return exportKey(cfg, args[0], passphrase)
		}),
	}
	p.addConfig(cmd)
	p.addData(cmd)
	cmd.Flags().BoolVar(&protect, "passphrase", false, "put the copy under a new passphrase")
	addStdin(cmd, &stdin)
	return cmd
}

func addStdin(cmd *cobra.Command, stdin *bool) {
	cmd.Flags().BoolVar(stdin, "stdin", false, "read the new passphrase from standard input (one line)")
}

// exportKey writes the key to a file that must not exist.
func exportKey(cfg config.Config, path, passphrase string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already and is left as it is", path)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	err = app.ExportKey(cfg, f, passphrase)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
