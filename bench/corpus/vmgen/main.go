// Command vmgen makes the content of a synthetic VM's disk, the same bytes for
// the same seed, and compares disk images.
//
//	vmgen logs  SEED BYTES FILE     lines as of syslog and nginx (compress 6 to 10 times)
//	vmgen json  SEED BYTES FILE     documents, one a line (3 to 4 times)
//	vmgen db    SEED BYTES FILE     heap pages of 8 KiB: header, line pointers, rows (2 to 3 times)
//	vmgen rand  SEED BYTES FILE     random bytes: media, archives, ciphertext
//	vmgen dbmod SEED PAGES FILE     rewrites pages in place, four fifths of them in a tenth of the file
//	vmgen poke  SEED N LEN FILE     overwrites LEN bytes at N places
//	vmgen edit  SEED FILE           inserts lines; the file is replaced
//	vmgen cmp   A B                 changed bytes between two images, at several granularities
//	vmgen cbt   A B GRANULARITY     changed extents as JSON
//	vmgen stat  IMAGE               blocks of data and of zeros
package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vmgen:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: see the comment at the top of bench/corpus/vmgen/main.go")

// arguments is how many each command takes.
func arguments() map[string]int {
	return map[string]int{
		"logs": 3, "json": 3, "db": 3, "rand": 3, "dbmod": 3, "poke": 4, "edit": 2, "cmp": 2, "cbt": 3, "stat": 1,
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	command, args := args[0], args[1:]
	if n, ok := arguments()[command]; !ok || len(args) != n {
		return errUsage
	}
	switch command {
	case "cmp":
		return printChanged(os.Stdout, args[0], args[1])
	case "stat":
		return printStat(os.Stdout, args[0])
	}
	path := args[len(args)-1]
	ints := args[:len(args)-1]
	if command == "cbt" {
		path, ints = args[1], args[2:]
	}
	n := make([]int64, len(ints))
	for i := range ints {
		var err error
		if n[i], err = strconv.ParseInt(ints[i], 10, 64); err != nil {
			return err
		}
	}
	if command == "cbt" {
		return printMap(os.Stdout, args[0], path, n[0])
	}
	return write(command, n, path)
}

func write(command string, n []int64, path string) error {
	r := newRand(n[0])
	switch command {
	case "dbmod":
		return modifyPages(r, n[1], path)
	case "poke":
		return poke(r, n[1], n[2], path)
	case "edit":
		return edit(r, n[0], path)
	case "rand":
		return fill(path, n[1], randomBytes(n[0]))
	case "logs":
		return fill(path, n[1], logLines(r, n[0]))
	case "json":
		return fill(path, n[1], documents(r))
	}
	return fill(path, n[1], heapPages(r))
}

func newRand(seed int64) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(seed), 0x9e3779b97f4a7c15^uint64(seed)))
}
