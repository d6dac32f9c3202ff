// Command growth does what would take too much disk, or too long, with real
// volumes: it stands on the engine itself. What it takes is seen from outside.
//
//	growth hooks TIB          holds the hooks of TIB of unique data in an index of the usual budget
//	growth terabyte FOLDER    backs up a volume of 1 TiB that holds 20 GiB, to a store in FOLDER
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 {
		switch args[0] {
		case "hooks":
			tib, err := strconv.Atoi(args[1])
			if err != nil || tib < 1 || tib > 64 {
				return errors.New("hooks takes a number of TiB, 1 to 64")
			}
			return holdHooks(tib)
		case "terabyte":
			return backTerabyteUp(ctx, args[1])
		}
	}
	return errors.New("usage: growth hooks TIB | terabyte FOLDER")
}
