package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/progress"
)

func newVaultList() *cobra.Command {
	var v vaultFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List backups, oldest first",
		Long: "List a project's backups, oldest first. A record of a bare store that can't be read\n" +
			"is listed under its object's name, and the command then fails.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error { return v.list(cmd) }),
	}
	v.add(cmd)
	return cmd
}

func (v *vaultFlags) list(cmd *cobra.Command) (err error) {
	a, err := v.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	items, err := a.List(cmd.Context(), v.project)
	if err != nil {
		return err
	}
	if v.json {
		err = printJSON(cmd.OutOrStdout(), append([]app.Item{}, items...)) // never null
	} else {
		err = printItems(cmd.OutOrStdout(), items)
	}
	if err == nil && v.store != "" {
		err = checkRecords(items)
	}
	return err
}

// checkRecords fails where a bare store holds records that can't be read: a
// record is written last, so none stands for a backup that failed.
func checkRecords(items []app.Item) error {
	bad := 0
	for _, i := range items {
		if i.FailReason != "" {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d records in the store can't be read", bad, len(items))
	}
	return nil
}

func printItems(w io.Writer, items []app.Item) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tTAKEN\tVOLUME\tNAME\tSIZE\tSTORED\tSTATUS")
	for _, i := range items {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, instant(i.DataTimestamp), word(i.Volume), word(i.Name),
			progress.Bytes(i.Size), progress.Bytes(i.Stored), i.Status)
	}
	return t.Flush()
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// word makes a name that a tenant chose harmless to a terminal and to the
// columns of a table.
func word(s string) string {
	if s == "" {
		return "-"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}
