package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newConfig() *cobra.Command {
	return group(&cobra.Command{Use: "config", Short: "Look after the configuration"}, newConfigCheck())
}

func newConfigCheck() *cobra.Command {
	var p place
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration without starting anything",
		Long: "Check a configuration file with everything that it names: keys, values, secrets,\n" +
			"certificates. Nothing is started or made.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if _, err := p.load(); err != nil {
				return err
			}
			what := p.file
			if what == "" {
				what = "the embedded default"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", what)
			return err
		}),
	}
	p.addConfig(cmd)
	return cmd
}
