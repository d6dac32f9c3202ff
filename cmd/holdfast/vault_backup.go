package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/clock"
	"holdfast/internal/progress"
)

// pathBackup is what the flags of vault backup say.
type pathBackup struct {
	vaultFlags
	volume, parent, changeMap string
}

func newVaultBackup() *cobra.Command {
	var b pathBackup
	cmd := &cobra.Command{
		Use:   "backup --volume NAME [flags] PATH|-",
		Short: "Back up a file or block device of this host, or a stream",
		Long: "Back up a raw image or block device of this host, or standard input (-), as a volume's\n" +
			"next backup, and print the backup's id. NAME is the id or name of a volume that the\n" +
			"service knows, or any name: it ties the backups of one source together. Nothing must\n" +
			"write to the source meanwhile. A stream is first read to its end, into the data folder.\n" +
			"\n" +
			"The backup is compared with the newest one of the volume, or with that of --parent.\n" +
			"All of the source is read, unless a change map says what may differ from the parent:\n" +
			"{\"volume\": ID, \"since\": STATE, \"size\": BYTES, \"extents\": [{\"offset\": BYTES,\n" +
			"\"length\": BYTES}, ...]}, or the list of extents alone, which needs --parent. Samples of\n" +
			"what it leaves out are read all the same, and everything where it proves wrong.",
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if err := b.writable("backup"); err != nil {
				return err
			}
			if b.volume == "" {
				return refuse("vault backup needs --volume")
			}
			return b.backUp(cmd, args[0])
		}),
	}
	b.addOwn(cmd)
	addText(cmd, &b.volume, "volume", "`NAME` or id of the volume that this is a backup of")
	addText(cmd, &b.parent, "parent", "`ID` of the backup to compare with (default: the volume's newest)")
	addText(cmd, &b.changeMap, "change-map", "read no more than the extents in `FILE`, and samples of the rest")
	return cmd
}

func (b *pathBackup) backUp(cmd *cobra.Command, path string) (err error) {
	p := app.PathBackup{Project: b.project, Volume: b.volume, Path: path, Parent: b.parent, ChangeMap: b.changeMap}
	tell, done := watch(cmd, "backing up")
	defer done()
	p.Progress = tell
	if path == "-" {
		if in, ok := cmd.InOrStdin().(*os.File); ok && progress.IsTerminal(in) {
			return refuse("standard input is a terminal: give a path, or put a stream there")
		}
		line := progress.NewLine(cmd.ErrOrStderr(), isTerminal(cmd.ErrOrStderr()), clock.Real{})
		p.Stream = &counted{in: cmd.InOrStdin(), tell: func(n int64) { line.Show("reading standard input: " + progress.Bytes(n)) }}
	}
	a, err := b.openVault(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	res, err := a.Backup(cmd.Context(), p)
	done()
	if err != nil {
		return err
	}
	if res.MapLied {
		fmt.Fprintln(cmd.ErrOrStderr(), "holdfast: the change map left out a change, so everything was read")
	}
	if b.json {
		return printJSON(cmd.OutOrStdout(), res)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), res.ID)
	return err
}
