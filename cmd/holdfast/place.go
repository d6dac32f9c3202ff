package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/obs"
)

// place says which installation a command is about: a configuration file, or
// the embedded default in a data folder.
type place struct {
	file string
	over config.Overrides
}

func (p *place) addConfig(cmd *cobra.Command) {
	addText(cmd, &p.file, "config", "configuration `FILE`")
}

func (p *place) addData(cmd *cobra.Command) {
	addText(cmd, &p.over.Data, "data", "data folder `DIR` (default "+config.Default().Data+")")
}

func (p *place) addListen(cmd *cobra.Command) {
	addText(cmd, &p.over.Listen, "listen", "`ADDRESS` to listen on (default "+config.Default().Listen+")")
}

// load reads and checks the configuration.
func (p *place) load() (config.Config, error) {
	cfg, err := config.Load(p.file, p.over)
	if err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// warnings returns the logger of a command that shows its outcome by itself:
// it keeps to what must not be overlooked.
func warnings(w io.Writer) (*slog.Logger, error) { return obs.NewLogger(w, "warn", "text") }

// warnOfNewKey says what the first start must say.
func warnOfNewKey(w io.Writer, path string) {
	fmt.Fprintf(w, "holdfast: made the master key %s: without it no backup can be read, "+
		"so keep a copy of it somewhere else (holdfast key export)\n", path)
}
