package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
)

func newVaultShow() *cobra.Command {
	var v vaultFlags
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a backup",
		Args:  cobra.ExactArgs(1),
		RunE:  action(func(cmd *cobra.Command, args []string) error { return v.show(cmd, args[0]) }),
	}
	v.add(cmd)
	return cmd
}

func (v *vaultFlags) show(cmd *cobra.Command, id string) (err error) {
	a, err := v.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	item, err := a.Show(cmd.Context(), v.project, id)
	if err != nil {
		return err
	}
	if v.json {
		return printJSON(cmd.OutOrStdout(), item)
	}
	return printItem(cmd.OutOrStdout(), item)
}

func printItem(w io.Writer, i app.Item) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, field := range []struct{ name, value string }{
		{"id", i.ID},
		{"project", i.Project},
		{"volume", word(i.Volume)},
		{"volume id", i.VolumeID},
		{"name", word(i.Name)},
		{"status", i.Status},
		{"fail reason", word(i.FailReason)},
		{"incremental", fmt.Sprint(i.Incremental)},
		{"created", instant(i.CreatedAt)},
		{"taken", instant(i.DataTimestamp)},
		{"size", fmt.Sprint(i.Size)},
		{"read", fmt.Sprint(i.Read)},
		{"new", fmt.Sprint(i.New)},
		{"stored", fmt.Sprint(i.Stored)},
	} {
		fmt.Fprintf(t, "%s\t%s\n", field.name, field.value)
	}
	return t.Flush()
}
