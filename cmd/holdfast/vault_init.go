package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func newVaultInit() *cobra.Command {
	var v vaultFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the data folder, the store and a project's vault",
		Long: "Make what is missing of the data folder, its catalog, the master key, the store and the\n" +
			"project's vault with its keys. A bucket is tried out first. It may be done again: what is\n" +
			"there stays as it is. The first backup would do the same.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if err := v.writable("init"); err != nil {
				return err
			}
			return v.init(cmd)
		}),
	}
	v.addOwn(cmd)
	return cmd
}

func (v *vaultFlags) init(cmd *cobra.Command) (err error) {
	a, err := v.openVault(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	made, err := a.Init(cmd.Context(), v.project)
	if err != nil {
		return err
	}
	if v.json {
		return printJSON(cmd.OutOrStdout(), made)
	}
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "project\t%s\nvault\t%s\ndata folder\t%s\nstore\t%s\n", word(made.Name), made.Vault, made.Data, made.Store)
	fmt.Fprintf(t, "master key\t%s (without it no backup can be read: keep a copy somewhere else)\n", made.KeyFile)
	return t.Flush()
}
