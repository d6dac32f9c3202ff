// Command holdfast is the backup service, its demonstration, and the tools
// that go with it. One file per command; what they do is in internal/app.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
)

func main() {
	spareMemory()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run carries out a command line and returns the process's exit code.
func run(args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	ctx, stop := untilSignal(context.Background())
	defer stop()
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	text, code := verdict(cmd, err)
	fmt.Fprintf(errs, "holdfast: %s\n", text)
	return code
}
