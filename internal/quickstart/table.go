package quickstart

import (
	"fmt"
	"io"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/progress"
)

// Row is a line of the table of results. Sizes are in bytes.
type Row struct {
	What    string
	Size    int64         // of the volume
	Stats   *backup.Stats // of a backup
	Time    time.Duration
	Outcome string // of a comparison
}

// WriteTable writes the results.
func WriteTable(w io.Writer, rows []Row) {
	fmt.Fprintf(w, "  %-33s%9s%9s%9s%9s%9s%7s\n", "", "size", "read", "added", "stored", "seconds", "MB/s")
	for _, r := range rows {
		read, added, stored := "", "", ""
		if s := r.Stats; s != nil {
			read, added, stored = progress.Bytes(s.Read), progress.Bytes(s.New), progress.Bytes(s.Stored)
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
	if len(rows) > 0 && rows[0].Stats != nil && rows[0].Stats.New < rows[0].Stats.Read/2 {
		fmt.Fprint(w, "  The vault had most of this content from an earlier quickstart, so little was added.\n")
	}
}
