package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newVaultDelete() *cobra.Command {
	var v vaultFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "delete ID...",
		Short: "Delete backups",
		Long: "Delete backups, in any order, without asking. It is done when their records are gone:\n" +
			"nothing can be restored of them any more. The space that only they took is given back\n" +
			"by the service a moment later, or by vault collect. One that something still reads is\n" +
			"gone from the lists at once, and its record when that has ended.",
		Args: cobra.MinimumNArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if err := v.writable("delete"); err != nil {
				return err
			}
			return v.delete(cmd, args, force)
		}),
	}
	v.addOwn(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "delete in any status, also what is being made or read")
	return cmd
}

func (v *vaultFlags) delete(cmd *cobra.Command, ids []string, force bool) (err error) {
	a, err := v.openExisting(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	deleted, err := a.DeleteAll(cmd.Context(), v.project, ids, force)
	for _, d := range deleted {
		if d.Held {
			fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: %s: its data stays until the recovery is confirmed (holdfast vault recover --confirm)\n", d.ID)
		}
		if d.InUse {
			fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: %s is in use: its data stays until that has ended\n", d.ID)
		}
	}
	if v.json {
		err = errors.Join(err, printJSON(cmd.OutOrStdout(), deleted))
	}
	return err
}
