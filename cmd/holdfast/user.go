package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
)

// maxPassword bounds a password that is read, in bytes.
const maxPassword = 1024

func newUser() *cobra.Command {
	return group(&cobra.Command{Use: "user", Short: "Look after the embedded identity's users"}, newUserPassword(), newUserHash())
}

func newUserPassword() *cobra.Command {
	var p place
	var stdin bool
	cmd := &cobra.Command{
		Use:   "password NAME",
		Short: "Give a user a new password",
		Long: "Give a user a new password, which is made up and printed once, or read from\n" +
			"standard input. The user's tokens end. Where clouds.yaml logs this user in, it is\n" +
			"renewed.",
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			log, err := warnings(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			password := rand.Text()
			if stdin {
				if password, err = readPassword(cmd.InOrStdin()); err != nil {
					return err
				}
			}
			if err := app.SetPassword(cmd.Context(), cfg, log, args[0], password); err != nil || stdin {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), password)
			return err
		}),
	}
	p.addConfig(cmd)
	p.addData(cmd)
	cmd.Flags().BoolVar(&stdin, "stdin", false, "read the new password from standard input (one line)")
	return cmd
}

func newUserHash() *cobra.Command {
	return &cobra.Command{
		Use:   "hash",
		Short: "Print the hash of a password for the configuration",
		Long: "Read a password from standard input (one line) and print its hash, as password_hash\n" +
			"in the configuration takes it.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			password, err := readPassword(cmd.InOrStdin())
			if err != nil {
				return err
			}
			hash, err := app.HashPassword(cmd.Context(), password)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), hash)
			return err
		}),
	}
}

// readPassword reads one line.
func readPassword(r io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxPassword+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	switch {
	case line == "":
		return "", refuse("standard input holds no password")
	case len(line) > maxPassword:
		return "", refuse("the password is longer than %d bytes", maxPassword)
	}
	return line, nil
}
