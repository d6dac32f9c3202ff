package quickstart

import (
	"fmt"
	"io"
	"time"

	"holdfast/internal/progress"
)

// Row is a line of the table of results. Sizes are in bytes.
type Row struct {
	What    string
	Size    int64  // of the volume
	Stats   *Stats // of a backup
	Time    time.Duration
	Outcome string // of a comparison
}

// Stats is what taking a backup did, in bytes.
type Stats struct {
	Read   int64 // from the volume
	Added  int64 // of that, in blocks that the vault did not have
	Stored int64 // in the store for it: compressed, sealed, all metadata included
}

// WriteTable writes the results.
func WriteTable(w io.Writer, rows []Row) {
	fmt.Fprintf(w, "  %-33s%9s%9s%9s%9s%9s%7s\n", "", "size", "read", "added", "stored", "seconds", "MB/s")
	for _, r := range rows {
		read, added, stored := "", "", ""
		if s := r.Stats; s != nil {
			read, added, stored = progress.Bytes(s.Read), progress.Bytes(s.Added), progress.Bytes(s.Stored)
		}
		fmt.Fprintf(w, "  %-33s%9s%9s%9s%9s%9.1f%7s", r.What, progress.Bytes(r.Size), read, added, stored,
			r.Time.Seconds(), progress.Rate(r.Size, r.Time))
		if r.Outcome != "" {
			fmt.Fprintf(w, "   %s", r.Outcome)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, `
  size: the volume's; read: from it; added: in blocks that the vault did not have;
  stored: what those took in the store, compressed and encrypted, with all metadata;
  seconds: from the request until available; MB/s: size by seconds.
`)
}
