package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/progress"
)

// pathRestore is what the flags of vault restore say.
type pathRestore struct {
	vaultFlags
	force          bool
	offset, length int64 // length -1: to the backup's end
}

func newVaultRestore() *cobra.Command {
	var r pathRestore
	cmd := &cobra.Command{
		Use:   "restore ID PATH",
		Short: "Restore a backup to a file or block device of this host",
		Long: "Restore a backup to a file or block device of this host. A file that doesn't exist\n" +
			"is made, readable by its owner alone and of exactly the backup's size; it is removed\n" +
			"again if the restore fails. A file that holds something is written only with --force.\n" +
			"Existing files and devices must be large enough; what lies beyond the backup's size\n" +
			"stays as it is. With --offset and --length a part of the backup is written, to the\n" +
			"beginning of the file or device.",
		Args: cobra.ExactArgs(2),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if r.offset < 0 || cmd.Flags().Changed("length") && r.length <= 0 {
				return refuse("--offset counts from 0 and --length from 1, in bytes")
			}
			return r.restore(cmd, args[0], args[1])
		}),
	}
	r.add(cmd)
	cmd.Flags().BoolVar(&r.force, "force", false, "overwrite a file that holds something")
	cmd.Flags().Int64Var(&r.offset, "offset", 0, "leave out the first `BYTES` of the backup")
	cmd.Flags().Int64Var(&r.length, "length", -1, "restore no more than `BYTES`")
	cmd.Flag("length").DefValue = "0" // not shown
	return cmd
}

func (r *pathRestore) restore(cmd *cobra.Command, id, path string) (err error) {
	a, err := r.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	item, err := a.Show(cmd.Context(), r.project, id)
	if err != nil {
		return err
	}
	p := app.PathRestore{Project: r.project, ID: id, Path: path}
	size, err := r.part(&p, item.Size)
	if err != nil {
		return err
	}
	undo, err := prepareTarget(path, size, r.force)
	if err != nil {
		return err
	}
	tell, done := watch(cmd, "restoring")
	p.Progress = tell
	err = a.Restore(cmd.Context(), p)
	done()
	if err != nil {
		return errors.Join(err, undo())
	}
	if r.json {
		return printJSON(cmd.OutOrStdout(), item)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "restored %s (%s) to %s\n", id, progress.Bytes(size), path)
	return err
}

// part asks for the part of a backup that the flags name, and returns its size.
func (r *pathRestore) part(p *app.PathRestore, size int64) (int64, error) {
	if r.offset == 0 && r.length < 0 {
		return size, nil
	}
	if r.offset >= size {
		return 0, fmt.Errorf("the backup has %d bytes, none from %d on", size, r.offset)
	}
	p.Offset, p.Length = r.offset, size-r.offset
	if r.length >= 0 {
		if r.length > p.Length {
			return 0, fmt.Errorf("the backup has %d bytes, and not %d from %d on", size, r.length, r.offset)
		}
		p.Length = r.length
	}
	return p.Length, nil
}
