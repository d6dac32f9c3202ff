package main

import (
	"github.com/spf13/cobra"

	"holdfast/internal/clock"
	"holdfast/internal/quickstart"
)

func newQuickstart() *cobra.Command {
	var p place
	var exit bool
	cmd := &cobra.Command{
		Use:   "quickstart",
		Short: "Show the main job on real bytes",
		Long: "Start the service on its embedded default, and act as a client of it: fill a\n" +
			"volume, back it up twice, restore both backups and compare every byte. Then it\n" +
			"keeps serving, unless --exit is given.",
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
			out := cmd.OutOrStdout()
			return quickstart.Run(cmd.Context(), quickstart.Settings{
				Config: cfg, Exit: exit, Out: out, Terminal: isTerminal(out), Clock: clock.Real{}, Log: log,
			})
		}),
	}
	p.addData(cmd)
	p.addListen(cmd)
	cmd.Flags().BoolVar(&exit, "exit", false, "end after the demonstration")
	return cmd
}
