package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/progress"
)

func newVaultStats() *cobra.Command {
	var v vaultFlags
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what vaults hold and take",
		Long: "Show what each vault holds: how much its backups show, what that takes, what waits to be\n" +
			"freed, what is damaged, and when it was last looked after. Of a bare store, all objects\n" +
			"are counted by kind.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if v.bare() {
				return v.bareStats(cmd)
			}
			return v.stats(cmd)
		}),
	}
	v.add(cmd)
	ofAll(cmd)
	return cmd
}

func (v *vaultFlags) stats(cmd *cobra.Command) (err error) {
	a, err := v.openExisting(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	all, err := a.StatsAll(cmd.Context(), v.project)
	if err != nil {
		return err
	}
	if v.json {
		return printJSON(cmd.OutOrStdout(), all)
	}
	for i, s := range all {
		if err := printTable(cmd.OutOrStdout(), i > 0, statsRows(s)); err != nil {
			return err
		}
	}
	return nil
}

func statsRows(s app.StatsOf) [][2]string {
	rows := [][2]string{
		{"project", word(s.Name)},
		{"vault", s.Vault},
		{"backups", holding(s.Backups, s.Logical)},
		{"stored", smaller(s.Stored, s.Logical)},
	}
	for _, p := range s.Packs {
		unit := "block"
		if p.Kind == "pages" {
			unit = "page"
		}
		rows = append(rows, [2]string{p.Kind + ", " + p.State, fmt.Sprintf("%s, %s, %s",
			counting(p.Packs, "pack"), progress.Bytes(p.Size), counting(p.Live, unit))})
	}
	rows = append(rows, [][2]string{
		{"waits to be freed", fmt.Sprintf("%s, %s, and %s", counting(s.CondemnedPacks, "pack"), progress.Bytes(s.Condemned),
			counting(int64(s.DeadObjects), "object"))},
		{"index", fmt.Sprintf("%s, %s", counting(int64(s.Segments), "segment"), progress.Bytes(s.Index))},
		{"damaged packs", fmt.Sprint(s.DamagedPacks)},
		{"backups under way", fmt.Sprint(s.Sessions)},
		{"collected", last(s.CollectedAt)},
		{"maintained", last(s.MaintainedAt)},
		{"verified", last(s.VerifiedAt)},
	}...)
	if s.Hold {
		rows = append(rows, [2]string{"held", "nothing is removed: the catalog was recovered, and the old one may be alive (vault recover --confirm)"})
	}
	return rows
}

func (v *vaultFlags) bareStats(cmd *cobra.Command) (err error) {
	s, err := v.openStore(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	all, err := s.Stats(cmd.Context(), v.project)
	if err != nil {
		return err
	}
	if v.json {
		return printJSON(cmd.OutOrStdout(), all)
	}
	for i, b := range all {
		rows := [][2]string{
			{"vault", b.Vault},
			{"backups", holding(b.Backups, b.Logical)},
			{"stored", smaller(b.Stored, b.Logical)},
		}
		if b.Lost > 0 {
			rows = append(rows, [2]string{"unreadable", counting(b.Lost, "record")})
		}
		for _, o := range b.Objects {
			rows = append(rows, [2]string{o.Kind, fmt.Sprintf("%s, %s", counting(o.Objects, "object"), progress.Bytes(o.Size))})
		}
		if err := printTable(cmd.OutOrStdout(), i > 0, rows); err != nil {
			return err
		}
	}
	return nil
}

// printTable prints names and values in two columns, after an empty line where
// another table is above.
func printTable(w io.Writer, apart bool, rows [][2]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if apart {
		fmt.Fprintln(t)
	}
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\n", r[0], r[1])
	}
	return t.Flush()
}

func holding(backups, logical int64) string {
	return fmt.Sprintf("%d of %s", backups, progress.Bytes(logical))
}

// smaller says how much is stored of what backups show.
func smaller(stored, logical int64) string {
	if stored == 0 || logical == 0 {
		return progress.Bytes(stored)
	}
	return fmt.Sprintf("%s, 1/%.1f of that", progress.Bytes(stored), float64(logical)/float64(stored))
}

func last(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return instant(*t)
}
