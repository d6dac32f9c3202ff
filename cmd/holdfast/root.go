package main

import (
	"github.com/spf13/cobra"
)

func newRoot() *cobra.Command {
	root := group(&cobra.Command{
		Use:   "holdfast",
		Short: "Back up the volumes of OpenStack and KVM clouds",
		Long: "Holdfast backs up the volumes of OpenStack and KVM clouds, and brings them back\n" +
			"byte for byte. Clients drive it through the APIs that they already speak.",
	}, newQuickstart(), newServe(), newConfig(), newUser(), newKey(), newVault(), newVersion())
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.DisableSuggestions = true // an error is one line
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

// group makes a command of others, which does nothing by itself but tell
// what there is.
func group(cmd *cobra.Command, commands ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return refuse("there is no command %q", cmd.CommandPath()+" "+args[0])
		}
		return refuse("%s needs a command", cmd.CommandPath())
	}
	cmd.AddCommand(commands...)
	return cmd
}
