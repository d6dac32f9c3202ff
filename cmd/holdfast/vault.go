package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/clock"
	"holdfast/internal/progress"
)

func newVault() *cobra.Command {
	return group(&cobra.Command{
		Use:   "vault",
		Short: "Back up, restore and look after backups at the command line",
		Long: "Back up files and devices of this host, list, show, restore and delete backups, and\n" +
			"look after what they are stored in, beside a running service or without one. With\n" +
			"--store and --key-file a bare store is read, so that nothing is lost while store and\n" +
			"key survive.",
	}, newVaultInit(), newVaultBackup(), newVaultList(), newVaultShow(), newVaultRestore(), newVaultDelete(),
		newVaultCollect(), newVaultMaintain(), newVaultVerify(), newVaultStats(), newVaultRecover())
}

// vaultFlags are those that all vault commands have.
type vaultFlags struct {
	place
	project string
	store   string
	keyFile string
	json    bool
}

func (v *vaultFlags) add(cmd *cobra.Command) {
	v.addConfig(cmd)
	v.addData(cmd)
	addText(cmd, &v.project, "project", "`NAME` or id of the project (default: the admin's; in a bare store: all)")
	addText(cmd, &v.store, "store", "read the bare store in `PLACE`, a folder or s3://bucket/prefix?endpoint=URL, without a catalog (needs --key-file)")
	addText(cmd, &v.keyFile, "key-file", "master key `FILE`, or recovery identity, of the bare store")
	cmd.Flags().BoolVar(&v.json, "json", false, "print JSON")
}

// addOwn does what add does for a command that a bare store can't serve: flags
// that name one are refused with the reason, and not offered.
func (v *vaultFlags) addOwn(cmd *cobra.Command) {
	v.add(cmd)
	cmd.Flag("store").Hidden, cmd.Flag("key-file").Hidden = true, true
	cmd.Flag("project").Usage = "`NAME` or id of the project (default: the admin's)"
}

// ofAll says that a command is about all projects unless one is named.
func ofAll(cmd *cobra.Command) {
	cmd.Flag("project").Usage = "`NAME` or id of the project (default: all)"
}

// vault is what can be read of a data folder and of a bare store alike.
type vault interface {
	List(ctx context.Context, project string) ([]app.Item, error)
	Show(ctx context.Context, project, id string) (app.Item, error)
	Restore(ctx context.Context, p app.PathRestore) error
	VerifyAll(ctx context.Context, r app.VerifyRequest) ([]app.VerifiedOf, error)
	Close() error
}

// open opens what the flags name, which has to be there.
func (v *vaultFlags) open(cmd *cobra.Command) (vault, error) {
	if v.bare() {
		s, err := v.openStore(cmd)
		if err != nil {
			return nil, err // not s, which would be a vault that is not nil
		}
		return s, nil
	}
	a, err := v.openExisting(cmd)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// bare reports whether the flags name a bare store.
func (v *vaultFlags) bare() bool { return v.store != "" || v.keyFile != "" }

// openExisting opens a data folder that has to be there.
func (v *vaultFlags) openExisting(cmd *cobra.Command) (*app.Vault, error) {
	cfg, err := v.load()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(cfg.Data); errors.Is(err, fs.ErrNotExist) && cfg.Database.URL.Reveal() == "" {
		return nil, refuse("there is no data folder %s (holdfast vault init makes one)", cfg.Data)
	}
	return v.openVault(cmd)
}

// openStore opens the bare store that the flags name.
func (v *vaultFlags) openStore(cmd *cobra.Command) (*app.Store, error) {
	switch {
	case v.store == "":
		return nil, refuse("--key-file needs --store")
	case v.keyFile == "":
		return nil, refuse("--store needs --key-file")
	case v.file != "" || v.over.Data != "":
		return nil, refuse("--store stands for itself: leave out --config and --data")
	}
	log, err := warnings(cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	key, err := askKeyFile(cmd, v.keyFile)
	if err != nil {
		return nil, err
	}
	return app.OpenStore(cmd.Context(), v.store, key, log)
}

// writable refuses a command that writes where a bare store is named.
func (v *vaultFlags) writable(what string) error {
	if v.bare() {
		return refuse("a bare store can only be read: vault %s needs the data folder", what)
	}
	return nil
}

// openVault opens a data folder, which it makes if it is missing.
func (v *vaultFlags) openVault(cmd *cobra.Command) (*app.Vault, error) {
	cfg, err := v.load()
	if err != nil {
		return nil, err
	}
	log, err := warnings(cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	if err := askMaster(cmd, &cfg); err != nil {
		return nil, err
	}
	a, err := app.OpenVault(cmd.Context(), cfg, log)
	if err != nil {
		return nil, err
	}
	if a.FirstStart() {
		warnOfNewKey(cmd.ErrOrStderr(), a.KeyPath())
	}
	return a, nil
}

// watch returns what shows the progress of an operation, and what takes it
// away again.
func watch(cmd *cobra.Command, verb string) (tell func(app.Progress), done func()) {
	out := cmd.ErrOrStderr()
	line := progress.NewLine(out, isTerminal(out), clock.Real{})
	return func(p app.Progress) {
		line.Show(fmt.Sprintf("%s %s %s of %s", verb, progress.Bar(p.Done, p.Size), progress.Bytes(p.Done), progress.Bytes(p.Size)))
	}, line.Clear
}

// watchShare does what watch does, where what is counted is no bytes.
func watchShare(cmd *cobra.Command, verb string) (tell func(app.Progress), done func()) {
	out := cmd.ErrOrStderr()
	line := progress.NewLine(out, isTerminal(out), clock.Real{})
	return func(p app.Progress) { line.Show(verb + " " + progress.Bar(p.Done, max(1, p.Size))) }, line.Clear
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && progress.IsTerminal(f)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
