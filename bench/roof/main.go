// Command roof does the work of a backup or restore with no engine around it:
// what the machine gives at best with the same digests, compression and
// sealing. No map, no index, no catalog; all cores.
//
//	roof unchanged IMAGE                    reads and hashes
//	roof first METHOD IMAGE FOLDER          and compresses (s2, zstd), seals and writes to FOLDER, which it makes
//	roof restore FOLDER IMAGE               reads that back, checks each block and writes the image
package main

import (
	"errors"
	"fmt"
	"os"

	"holdfast/internal/vault/compress"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "roof:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "unchanged":
		return unchanged(args[1])
	case len(args) == 4 && args[0] == "first" && args[1] == "s2":
		return first(args[2], args[3], compress.S2)
	case len(args) == 4 && args[0] == "first" && args[1] == "zstd":
		return first(args[2], args[3], compress.ZstdFastest)
	case len(args) == 3 && args[0] == "restore":
		return restore(args[1], args[2])
	}
	return errors.New("usage: roof unchanged IMAGE | first s2|zstd IMAGE FOLDER | restore FOLDER IMAGE")
}
