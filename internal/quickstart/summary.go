package quickstart

import (
	"fmt"
	"io"
	"strings"
)

// Places says where the demonstration's things lie. Paths are absolute.
type Places struct {
	Data   string
	Clouds string // clouds.yaml
	Key    string // the master key
	URL    string // of the service; empty: it ends now
}

// WriteSummary writes where everything lies and what to do next.
func WriteSummary(w io.Writer, p Places, r Result) {
	fmt.Fprintf(w, `
  data          %s
  login         %s (cloud name: holdfast)
  master key    %s
                Without it no backup can be read: keep a copy of it somewhere else
                ("holdfast key export FILE" makes one).

  To go on with the stock client, paste:

    export OS_CLIENT_CONFIG_FILE=%s OS_CLOUD=holdfast
    openstack volume backup list
    openstack volume backup show %s
    openstack volume backup create --incremental --name mine %s

`, p.Data, p.Clouds, p.Key, quote(p.Clouds), r.BackupID, r.VolumeID)
	if p.URL == "" {
		fmt.Fprintf(w, "  The service ends here; \"holdfast serve --data %s\" starts it again.\n", quote(p.Data))
		return
	}
	fmt.Fprintf(w, "  Serving at %s until Ctrl-C.\n", p.URL)
}

// quote makes a word of s that a shell takes as it is.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
