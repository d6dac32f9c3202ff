package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/progress"
)

func newVaultCollect() *cobra.Command {
	var v vaultFlags
	cmd := &cobra.Command{
		Use:   "collect",
		Short: "Free what no backup needs any more",
		Long: "Free what no backup needs any more, now and in this process; beside a running service\n" +
			"too, one at a time for each vault. What a backup that is under way may still refer to is\n" +
			"freed after that has ended: by the service, or by the next collection.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error { return v.collect(cmd, "collect", false) }),
	}
	v.addOwn(cmd)
	ofAll(cmd)
	return cmd
}

func newVaultMaintain() *cobra.Command {
	var v vaultFlags
	cmd := &cobra.Command{
		Use:   "maintain",
		Short: "Free more, put small objects together, compress anew",
		Long: "Do what vault collect does, and more: free garbage that is not worth it day by day, put\n" +
			"small objects together, and compress anew what was stored fast. The service does it once\n" +
			"in maintenance.every.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error { return v.collect(cmd, "maintain", true) }),
	}
	v.addOwn(cmd)
	ofAll(cmd)
	return cmd
}

func (v *vaultFlags) collect(cmd *cobra.Command, verb string, maintain bool) (err error) {
	if err := v.writable(verb); err != nil {
		return err
	}
	a, err := v.openExisting(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	tell, done := watchShare(cmd, verb+"ing")
	all, err := a.CollectAll(cmd.Context(), v.project, maintain, tell)
	done()
	if v.json {
		return errors.Join(err, printJSON(cmd.OutOrStdout(), all))
	}
	for _, c := range all {
		err = errors.Join(err, printCollected(cmd.OutOrStdout(), c, len(all) > 1))
	}
	return err
}

func printCollected(w io.Writer, c app.CollectedOf, named bool) error {
	lines := []string{freed(c.Collected)}
	if c.Waiting {
		lines = append(lines, fmt.Sprintf("waiting for %s: more is freed when that has ended", counting(max(1, c.Sessions), "older session")))
	}
	if c.Held {
		lines = append(lines, "nothing is removed: the catalog was recovered, and the old one may be alive (vault recover --confirm says that it is not)")
	}
	if c.Damaged > 0 {
		lines = append(lines, counting(int64(c.Damaged), "damaged pack")+" met: see vault verify")
	}
	for _, l := range lines {
		if named {
			l = word(c.Name) + ": " + l
		}
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return nil
}

// freed says what a collection did.
func freed(c app.Collected) string {
	if c.Freed == 0 && c.Removed == 0 && c.Rewritten == 0 && c.Deleted == 0 && c.Orphans == 0 {
		return "nothing to free"
	}
	var did []string
	for _, d := range []struct {
		n    int
		what string
	}{
		{c.Removed, counting(int64(c.Removed), "pack") + " removed"},
		{c.Rewritten, fmt.Sprintf("%s rewritten as %s", counting(int64(c.Rewritten), "pack"), progress.Bytes(c.Written))},
		{c.Orphans, counting(int64(c.Orphans), "orphan") + " removed"},
		{c.Deleted, counting(int64(c.Deleted), "object") + " deleted"},
	} {
		if d.n > 0 {
			did = append(did, d.what)
		}
	}
	return fmt.Sprintf("freed %s (%s)", progress.Bytes(c.Freed), strings.Join(did, ", "))
}

// counting returns a number of things, of which the name of one is given.
func counting(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
