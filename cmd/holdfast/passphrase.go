package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"holdfast/internal/app"
	"holdfast/internal/config"
)

// askMaster asks for the passphrase of the master key file, where it needs one
// that nothing else gives, and someone is there to ask.
func askMaster(cmd *cobra.Command, cfg *config.Config) error {
	if cfg.MasterKeyPassphrase != "" || !app.KeyProtected(cfg.MasterKeyFile) || terminal(cmd) == nil {
		return nil
	}
	answer, err := ask(cmd, "Passphrase of "+cfg.MasterKeyFile+": ")
	cfg.MasterKeyPassphrase = config.Secret(answer)
	return err
}

// askKeyFile does so for a key file that no configuration names.
func askKeyFile(cmd *cobra.Command, path string) (app.KeyFile, error) {
	f := app.KeyFile{Path: path, Passphrase: config.KeyPassphrase()}
	if f.Passphrase != "" || !app.KeyProtected(path) || terminal(cmd) == nil {
		return f, nil
	}
	answer, err := ask(cmd, "Passphrase of "+path+": ")
	f.Passphrase = config.Secret(answer)
	return f, err
}

// newPassphrase reads a passphrase that is to be set: one line of standard
// input, or on a terminal, twice.
func newPassphrase(cmd *cobra.Command, stdin bool) (string, error) {
	if stdin {
		return readPassword(cmd.InOrStdin())
	}
	if terminal(cmd) == nil {
		return "", refuse("there is no terminal to ask for the new passphrase: give it on standard input with --stdin")
	}
	first, err := ask(cmd, "New passphrase: ")
	if err != nil {
		return "", err
	}
	second, err := ask(cmd, "Once more: ")
	switch {
	case err != nil:
		return "", err
	case first == "":
		return "", refuse("the passphrase is empty")
	case first != second:
		return "", refuse("the two passphrases differ")
	}
	return first, nil
}

// terminal returns the terminal that standard input is, or nil.
func terminal(cmd *cobra.Command) *os.File {
	f, ok := cmd.InOrStdin().(*os.File)
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return f
}

// ask reads a line from the terminal without showing it.
func ask(cmd *cobra.Command, question string) (answer string, err error) {
	f := terminal(cmd)
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", err
	}
	hidden := *before
	hidden.Lflag = hidden.Lflag&^unix.ECHO | unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return "", err
	}
	defer func() {
		fmt.Fprintln(cmd.ErrOrStderr())
		err = errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, before))
	}()
	fmt.Fprint(cmd.ErrOrStderr(), question)
	if err := readable(cmd.Context(), fd); err != nil {
		return "", err
	}
	line := make([]byte, maxPassword+2) // a terminal gives at most a line at once
	n, err := f.Read(line)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	answer, whole := strings.CutSuffix(string(line[:n]), "\n")
	if n == len(line) && !whole {
		return "", refuse("the passphrase is longer than %d bytes", maxPassword)
	}
	return answer, nil
}

// readable waits until there is something to read, or ctx ends.
func readable(ctx context.Context, fd int) error {
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}
