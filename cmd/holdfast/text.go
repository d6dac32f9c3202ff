package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// text is the value of a flag that must not be empty: an unset variable of
// the shell must not stand for the default.
type text string

// addText gives cmd a flag whose value goes to target, which stays as it is
// where the flag isn't given.
func addText(cmd *cobra.Command, target *string, name, usage string) {
	cmd.Flags().Var((*text)(target), name, usage)
}

// String returns the value as it stands.
func (t *text) String() string { return string(*t) }

// Set takes a value from the command line.
func (t *text) Set(value string) error {
	if value == "" {
		return errors.New("it is empty")
	}
	*t = text(value)
	return nil
}

// Type names the kind of value, where the usage names none.
func (t *text) Type() string { return "string" }
