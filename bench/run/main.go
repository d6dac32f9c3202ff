// Command run measures Holdfast beside its peers on the disks that
// bench/corpus makes, and prints one table. make bench runs it;
// docs/performance.md says what the rows mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options is what the command line says.
type options struct {
	corpus string
	dir    string
	runs   int
	small  bool
	scale  int
	seed   int
	table  string
	only   string
}

func main() {
	var o options
	flag.StringVar(&o.corpus, "corpus", "", "`folder` with a finished corpus (default: one is made in -dir)")
	flag.StringVar(&o.dir, "dir", filepath.Join(os.TempDir(), "holdfast-bench"), "`folder` to work in; needs some 16 GiB, with a corpus of its own 30 more")
	flag.IntVar(&o.runs, "runs", 5, "`rounds`, whose medians are shown")
	flag.BoolVar(&o.small, "small", false, "a quick look: one round, fewer rows, the fastest peers")
	flag.IntVar(&o.scale, "scale", 100, "`percentage` of the corpus' data that is made")
	flag.IntVar(&o.seed, "seed", 1, "`seed` of the corpus that is made")
	flag.StringVar(&o.table, "table", "", "write the table to a `file` too")
	flag.StringVar(&o.only, "only", "", "measure only `contenders`, by their names with commas between")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if flag.NArg() > 0 || o.runs < 1 {
		return errors.New("usage: see -help")
	}
	if o.small {
		o.runs = 1
	}
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	b := &bench{options: o, images: images{o.corpus}, results: newResults()}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.rounds(ctx); err != nil {
		return err
	}
	text := b.results.table(heading(ctx, b), rows())
	fmt.Print(text)
	if o.table == "" {
		return nil
	}
	return os.WriteFile(o.table, []byte(text), 0o644)
}
