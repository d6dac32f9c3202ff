package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
)

func newVaultBackup() *cobra.Command {
	var v vaultFlags
	var volume string
	cmd := &cobra.Command{
		Use:   "backup --volume NAME PATH",
		Short: "Back up a file or block device of this host",
		Long: "Back up a file or block device of this host as a volume's next backup, and print\n" +
			"the backup's id. NAME is the id or name of a volume that the service knows, or any\n" +
			"name: it ties the backups of one source together. Nothing must write to the source\n" +
			"meanwhile.",
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if v.store != "" || v.keyFile != "" {
				return refuse("a bare store can only be read: vault list, show and restore")
			}
			if volume == "" {
				return refuse("vault backup needs --volume")
			}
			return v.backUp(cmd, volume, args[0])
		}),
	}
	v.add(cmd)
	addText(cmd, &volume, "volume", "`NAME` or id of the volume that this is a backup of")
	return cmd
}

func (v *vaultFlags) backUp(cmd *cobra.Command, volume, path string) (err error) {
	a, err := v.openVault(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	tell, done := watch(cmd, "backing up")
	item, err := a.Backup(cmd.Context(), app.PathBackup{Project: v.project, Volume: volume, Path: path, Progress: tell})
	done()
	if err != nil {
		return err
	}
	if v.json {
		return printJSON(cmd.OutOrStdout(), item)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), item.ID)
	return err
}
