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
	return group(&cobra.Command{Use: "key", Short: "Look after the master key"}, newKeyExport())
}

func newKeyExport() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "export [FILE|-]",
		Short: "Copy the master key, to be kept somewhere else",
		Long: "Copy the master key to a new file, readable by its owner alone, or to standard\n" +
			"output. Without the master key no backup can be read; whoever has it and the store\n" +
			"can read them all. The copy can stand in for the key file as it is.",
		Args: cobra.MaximumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			if len(args) == 0 || args[0] == "-" {
				return app.ExportKey(cfg, cmd.OutOrStdout())
			}
			return exportKey(cfg, args[0])
		}),
	}
	p.addConfig(cmd)
	p.addData(cmd)
	return cmd
}

// exportKey writes the key to a file that must not exist.
func exportKey(cfg config.Config, path string) (err error) {
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
	err = app.ExportKey(cfg, f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
