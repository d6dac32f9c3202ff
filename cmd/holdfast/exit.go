package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
)

// The exit codes beside 0.
const (
	exitFailed = 1 // the operation failed
	exitUsage  = 2 // the command line or the configuration can't be used

	exitLosses  = 3 // a recovery did what can be done, and data is lost
	exitDamaged = 4 // a verification found damage
)

// failure is an error of a command that was understood and begun.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// usageError is an error of a command that can't be begun as it stands.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// outcome is an error of an operation that came to its end, but not to a good
// one, with an exit code of its own.
type outcome struct {
	error
	code int
}

func (o outcome) Unwrap() error { return o.error }

func refuse(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// action makes what a command does. An error that it doesn't come from is the
// command line's.
func action(do func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := do(cmd, args); err != nil {
			return failure{err}
		}
		return nil
	}
}

// verdict returns the one line that an error is told in, and the exit code
// that it ends with.
func verdict(cmd *cobra.Command, err error) (text string, code int) {
	text = strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	text = strings.Join(strings.Fields(text), " ") // one line, whatever a library put into its own
	var begun failure
	if !errors.As(err, &begun) {
		return fmt.Sprintf("%s (see %s --help)", text, cmd.CommandPath()), exitUsage
	}
	var usage usageError
	var start *app.StartError
	if errors.As(err, &usage) || errors.As(err, &start) {
		return text, exitUsage
	}
	var ended outcome
	if errors.As(err, &ended) {
		return text, ended.code
	}
	return text, exitFailed
}
