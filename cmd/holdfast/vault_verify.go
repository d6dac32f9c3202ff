package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/progress"
)

// shownRanges is how many damaged ranges of a backup are printed; the JSON has
// more.
const shownRanges = 20

func newVaultVerify() *cobra.Command {
	var v vaultFlags
	var sample percent
	var readData bool
	cmd := &cobra.Command{
		Use:   "verify [flags] [ID...]",
		Short: "Check that backups can be restored",
		Long: "Check what is stored for all backups, or for those that are named: records, maps, packs\n" +
			"and their directories. With --read-data all of the data is read and checked, with --sample\n" +
			"a share of it, drawn at random; the report says how probably damage was found.\n" +
			"\n" +
			"What is damaged is listed by backup and range. It is marked, so that later backups of the\n" +
			"same data store it again, and healed where it is found elsewhere. In a bare store it is\n" +
			"only listed. The exit code is 0 where all is whole, 4 where damage was found, healed or not.",
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if readData && sample > 0 {
				return refuse("--read-data reads all: leave out --sample")
			}
			return v.verify(cmd, app.VerifyRequest{Project: v.project, ReadData: readData, Sample: float64(sample), Backups: args})
		}),
	}
	v.add(cmd)
	ofAll(cmd)
	cmd.Flags().BoolVar(&readData, "read-data", false, "read and check all data")
	cmd.Flags().Var(&sample, "sample", "read and check `N%` of the data, at random places")
	return cmd
}

func (v *vaultFlags) verify(cmd *cobra.Command, r app.VerifyRequest) (err error) {
	a, err := v.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	tell, done := watchShare(cmd, "verifying")
	r.Progress = tell
	all, err := a.VerifyAll(cmd.Context(), r)
	done()
	damaged := 0
	for _, one := range all {
		if !one.Whole {
			damaged++
		}
		if !v.json {
			err = errors.Join(err, printVerified(cmd.OutOrStdout(), one, len(all) > 1))
		}
	}
	if v.json {
		err = errors.Join(err, printJSON(cmd.OutOrStdout(), all))
	}
	if err == nil && damaged > 0 {
		err = outcome{errors.New("damage was found"), exitDamaged}
	}
	return err
}

func printVerified(w io.Writer, v app.VerifiedOf, named bool) error {
	var b strings.Builder
	if named {
		fmt.Fprintf(&b, "project %s\n", word(v.Name))
	}
	fmt.Fprintf(&b, "checked %s: %s, %s of maps; %s of data read\n", counting(int64(v.Backups), "backup"),
		counting(v.Packs, "pack"), counting(v.Pages, "page"), progress.Bytes(v.Read))
	fmt.Fprintln(&b, v.Statement)
	if v.Whole {
		fmt.Fprintln(&b, "All is whole.")
	}
	for i := range v.DamagedBackups {
		d := &v.DamagedBackups[i]
		if d.Whole {
			fmt.Fprintf(&b, "backup %s can't be restored: %s\n", d.Backup, d.What)
			continue
		}
		fmt.Fprintf(&b, "backup %s has lost %s of %s: %s\n", d.Backup, progress.Bytes(d.Bytes), progress.Bytes(d.Size), d.What)
		shown := d.Ranges[:min(len(d.Ranges), shownRanges)]
		for _, r := range shown {
			fmt.Fprintf(&b, "  %d bytes at %d\n", r.Length, r.Offset)
		}
		if more := len(d.Ranges) - len(shown) + d.More; more > 0 {
			fmt.Fprintf(&b, "  and %s\n", counting(int64(more), "more range"))
		}
	}
	if v.MoreBackups > 0 {
		fmt.Fprintf(&b, "and %s\n", counting(int64(v.MoreBackups), "more damaged backup"))
	}
	printPacks(&b, v)
	_, err := io.WriteString(w, b.String())
	return err
}

// printPacks says how many packs are damaged, and what became of them.
func printPacks(b *strings.Builder, v app.VerifiedOf) {
	n := int64(len(v.DamagedPacks) + v.MorePacks)
	if n == 0 {
		return
	}
	spare := int64(0)
	for i := range v.DamagedPacks {
		if v.DamagedPacks[i].Spare {
			spare++
		}
	}
	fmt.Fprintf(b, "%s damaged", counting(n, "pack"))
	if spare > 0 {
		fmt.Fprintf(b, ", %d of them where restores don't read", spare)
	}
	if h := v.Healed; h != nil {
		fmt.Fprintf(b, "; %d whole again, %d not needed any more, %d still damaged", h.Whole, h.Gone, len(h.Damaged)+h.More)
	}
	fmt.Fprintln(b)
}

// percent is the value of a flag that is a share: N% or N, above 0 up to 100.
type percent float64

// String returns the value as it is given.
func (p *percent) String() string {
	if *p == 0 {
		return ""
	}
	return strconv.FormatFloat(100*float64(*p), 'g', -1, 64) + "%"
}

// Set takes a value from the command line.
func (p *percent) Set(value string) error {
	n, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
	if err != nil || math.IsNaN(n) || n <= 0 || n > 100 {
		return errors.New("it is no share above 0% and up to 100%")
	}
	*p = percent(n / 100)
	return nil
}

// Type names the kind of value.
func (p *percent) Type() string { return "percent" }
