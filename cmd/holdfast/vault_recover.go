package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/app"
	"holdfast/internal/clock"
	"holdfast/internal/config"
	"holdfast/internal/progress"
)

func newVaultRecover() *cobra.Command {
	var v recoverFlags
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Rebuild a lost catalog from store and key",
		Long: "Rebuild a lost catalog from the store and the key alone, also where objects of the\n" +
			"store are lost: then it says of which backups, and which ranges. The store and the\n" +
			"key are those of --config, or of the data folder, or --store and --key-file. The\n" +
			"catalog must be a new one; the service must be stopped.\n\n" +
			"From then on an older catalog of this store writes nothing more, and nothing is\n" +
			"deleted from the store, until the operator has made sure that the old catalog is dead\n" +
			"and says so with --confirm.\n\n" +
			"Exit codes: 0 everything is whole; 1 failed; 2 can't be begun as it stands; 3 what\n" +
			"there is was recovered, and some of it has lost data.",
		Args: cobra.NoArgs,
		RunE: action(func(cmd *cobra.Command, _ []string) error { return v.run(cmd) }),
	}
	v.addConfig(cmd)
	v.addData(cmd)
	addText(cmd, &v.store, "store", "the store in `PLACE`, a folder or s3://bucket/prefix?endpoint=URL (needs --key-file and --data)")
	addText(cmd, &v.keyFile, "key-file", "master key `FILE`, or recovery identity")
	cmd.Flags().BoolVar(&v.dry, "dry-run", false, "check and tell, and write nothing")
	cmd.Flags().BoolVar(&v.readData, "read-data", false, "also read all data that backups need")
	cmd.Flags().BoolVar(&v.confirm, "confirm", false, "the old catalog is dead: things may be deleted again")
	cmd.Flags().BoolVar(&v.json, "json", false, "print JSON")
	return cmd
}

type recoverFlags struct {
	place
	store    string
	keyFile  string
	dry      bool
	readData bool
	confirm  bool
	json     bool
}

func (v *recoverFlags) run(cmd *cobra.Command) error {
	if v.confirm {
		return v.confirmed(cmd)
	}
	req, err := v.request(cmd)
	if err != nil {
		return err
	}
	log, err := warnings(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	out := cmd.ErrOrStderr()
	line := progress.NewLine(out, isTerminal(out), clock.Real{})
	req.Progress = func(p app.RecoverProgress) { line.Show(recoverLine(p)) }
	found, err := app.Recover(cmd.Context(), req, log)
	line.Clear()
	if err != nil {
		return err
	}
	if v.json {
		err = printJSON(cmd.OutOrStdout(), found)
	} else {
		err = v.print(cmd.OutOrStdout(), req.Config, &found)
	}
	if err == nil && !found.Complete() {
		err = outcome{fmt.Errorf("%d of %d backups have lost data", found.Damaged, found.Damaged+found.Whole), exitLosses}
	}
	return err
}

// request says what is recovered from where.
func (v *recoverFlags) request(cmd *cobra.Command) (app.RecoverRequest, error) {
	req := app.RecoverRequest{DryRun: v.dry, ReadData: v.readData}
	switch {
	case v.store == "" && v.keyFile != "" && v.file == "" && v.over.Data == "":
		return req, refuse("--key-file needs --store, --data or --config")
	case v.store != "" && v.keyFile == "":
		return req, refuse("--store needs --key-file")
	case v.store != "" && v.file != "":
		return req, refuse("--config names the store already: leave out --store")
	case v.store != "" && v.over.Data == "" && !v.dry:
		return req, refuse("--store needs --data, the folder of the new catalog (or --dry-run)")
	}
	cfg, err := v.load()
	if err != nil {
		return req, err
	}
	if v.store != "" {
		if cfg.Store, err = config.ParseStore(v.store); err != nil {
			return req, usageError{fmt.Errorf("store: %w", err)}
		}
	}
	if v.keyFile != "" {
		req.Key, err = askKeyFile(cmd, v.keyFile)
		cfg.MasterKeyFile, cfg.MasterKeyPassphraseFile = v.keyFile, ""
	} else {
		err = askMaster(cmd, &cfg)
		req.Key = app.KeyFile{Path: cfg.MasterKeyFile, Passphrase: cfg.MasterKeyPassphrase}
	}
	req.Config = cfg
	return req, err
}

// confirmed lets things be deleted again.
func (v *recoverFlags) confirmed(cmd *cobra.Command) (err error) {
	if v.dry || v.readData {
		return refuse("--confirm goes with neither --dry-run nor --read-data")
	}
	req, err := v.request(cmd)
	if err != nil {
		return err
	}
	log, err := warnings(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	req.Config.MasterKeyPassphrase = req.Key.Passphrase
	a, err := app.OpenVault(cmd.Context(), req.Config, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	done, err := a.ConfirmRecovery(cmd.Context())
	switch {
	case err != nil:
		return err
	case v.json:
		return printJSON(cmd.OutOrStdout(), done)
	case done.Vaults == 0:
		return errors.New("no vault waits for a confirmation")
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "confirmed: things may be deleted again from %d vaults\n", done.Vaults)
	return err
}

func recoverLine(p app.RecoverProgress) string {
	text := fmt.Sprintf("vault %d of %d: %s", p.Vault, p.Vaults, p.Step)
	if p.Size > 0 {
		text += fmt.Sprintf(" %s %d of %d", progress.Bar(p.Done, p.Size), p.Done, p.Size)
	}
	return text
}

// toldRanges is how many lost ranges the summary names of one backup.
const toldRanges = 10

// print tells what was found, and what comes next.
func (v *recoverFlags) print(w io.Writer, cfg config.Config, found *app.RecoveredStore) error {
	var b strings.Builder
	for _, vault := range found.Vaults {
		printRecovered(&b, vault)
	}
	fmt.Fprintf(&b, "%d backups are whole, %d have lost data\n", found.Whole, found.Damaged)
	if !v.dry {
		v.printNext(&b, cfg, found.RecoveryKey)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printRecovered(b *strings.Builder, v app.RecoveredVault) {
	fmt.Fprintf(b, "vault %s", v.Vault)
	if v.Project != "" {
		fmt.Fprintf(b, " of project %s", v.Project)
	}
	if v.ProjectName != "" && v.ProjectName != v.Project {
		fmt.Fprintf(b, " (%s)", word(v.ProjectName))
	}
	switch {
	case v.Error != "":
		fmt.Fprintf(b, ": %s\n", v.Error)
	case v.Whole+len(v.Damaged) == 0:
		fmt.Fprint(b, ": empty\n")
	default:
		fmt.Fprintf(b, ": %d backups whole, %d damaged; %d packs, %s; %d packs lost or damaged\n",
			v.Whole, len(v.Damaged), v.Packs, progress.Bytes(v.Size), v.LostPacks)
	}
	for _, d := range v.Damaged {
		fmt.Fprintf(b, "  damaged: %s %s %s, taken %s: ", d.ID, word(d.Volume), word(d.Name), instant(d.TakenAt))
		if d.Whole {
			fmt.Fprintf(b, "all is lost: %s\n", d.What)
			continue
		}
		fmt.Fprintf(b, "%s of %s lost\n", progress.Bytes(d.Lost), progress.Bytes(d.Size))
		for _, r := range d.Ranges[:min(len(d.Ranges), toldRanges)] {
			fmt.Fprintf(b, "    bytes %d to %d\n", r.Offset, r.Offset+r.Length-1)
		}
		if more := len(d.Ranges) - toldRanges; more > 0 || d.More > 0 {
			fmt.Fprintf(b, "    and %d ranges more (--json names them)\n", max(more, 0)+d.More)
		}
	}
}

// printNext tells what comes after a recovery.
func (v *recoverFlags) printNext(b *strings.Builder, cfg config.Config, recoveryKey bool) {
	fmt.Fprintf(b, "The catalog is in %s.\n", cfg.Data)
	if recoveryKey {
		fmt.Fprintf(b, "A recovery key opened the vaults. Make a master key before anything else, with the configuration below if\n"+
			"there is one:\n  holdfast key rotate --key-file '%s'\n", v.keyFile)
	}
	if lines := v.settings(cfg, recoveryKey); lines != "" {
		fmt.Fprintf(b, "To serve it, the configuration has to say:\n%s", lines)
	}
	flags := ""
	for _, f := range [][2]string{{"config", v.file}, {"data", v.over.Data}, {"store", v.store}, {"key-file", v.keyFile}} {
		if f[1] != "" {
			flags += fmt.Sprintf(" --%s '%s'", f[0], f[1])
		}
	}
	fmt.Fprintf(b, "Nothing is deleted from the store until you have made sure that the old catalog is dead:\n"+
		"  holdfast vault recover --confirm%s\n", flags)
}

// settings returns the lines of a configuration that serves what was named by
// flags, empty where the data folder holds all of it.
func (v *recoverFlags) settings(cfg config.Config, recoveryKey bool) string {
	if v.store == "" && v.keyFile == "" {
		return ""
	}
	abs := func(path string) string {
		if full, err := filepath.Abs(path); err == nil {
			return full
		}
		return path
	}
	var b strings.Builder
	if v.file == "" {
		fmt.Fprintf(&b, "  data: %q\n", abs(cfg.Data))
	}
	if v.store != "" {
		printStore(&b, cfg.Store, abs)
	}
	if v.keyFile != "" && !recoveryKey {
		fmt.Fprintf(&b, "  master_key_file: %q\n", abs(v.keyFile))
	}
	return b.String()
}

func printStore(b *strings.Builder, s config.Store, abs func(string) string) {
	if !s.S3.Enabled() {
		fmt.Fprintf(b, "  store:\n    local:\n      path: %q\n", abs(s.Local.Path))
		return
	}
	fmt.Fprintf(b, "  store:\n    s3:\n      bucket: %q\n      region: %q\n      path_style: %t\n", s.S3.Bucket, s.S3.Region, s.S3.PathStyle)
	for _, p := range [][2]string{{"endpoint", s.S3.Endpoint}, {"prefix", s.S3.Prefix}, {"ca_file", s.S3.CAFile}} {
		if p[1] != "" {
			fmt.Fprintf(b, "      %s: %q\n", p[0], p[1])
		}
	}
}
