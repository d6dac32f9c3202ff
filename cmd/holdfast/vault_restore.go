package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/progress"
)

func newVaultRestore() *cobra.Command {
	var v vaultFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "restore ID PATH",
		Short: "Restore a backup to a file or block device of this host",
		Long: "Restore a backup to a file or block device of this host. A file that doesn't exist\n" +
			"is made, readable by its owner alone and of exactly the backup's size; it is removed\n" +
			"again if the restore fails. A file that holds something is written only with --force.\n" +
			"Existing files and devices must be large enough; what lies beyond the backup's size\n" +
			"stays as it is.",
		Args: cobra.ExactArgs(2),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			return v.restore(cmd, args[0], args[1], force)
		}),
	}
	v.add(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "overwrite a file that holds something")
	return cmd
}

func (v *vaultFlags) restore(cmd *cobra.Command, id, path string, force bool) (err error) {
	a, err := v.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	item, err := a.Show(cmd.Context(), v.project, id)
	if err != nil {
		return err
	}
	undo, err := prepareTarget(path, item.Size, force)
	if err != nil {
		return err
	}
	tell, done := watch(cmd, "restoring")
	err = a.Restore(cmd.Context(), app.PathRestore{Project: v.project, ID: id, Path: path, Progress: tell})
	done()
	if err != nil {
		return errors.Join(err, undo())
	}
	if v.json {
		return printJSON(cmd.OutOrStdout(), item)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "restored %s (%s) to %s\n", id, progress.Bytes(item.Size), path)
	return err
}
