package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScripts runs the scripts in testdata, each in an empty folder of its
// own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"refused":  refused,
			"image":    image,
			"take":     take,
			"mode":     mode,
			"size":     size,
			"damage":   damage,
			"patch":    patch,
			"mapof":    mapOf,
			"exits":    exits,
			"settings": settings,
			"cheaply":  cheaply,
		},
	})
}

// refused CODE PATTERN ARG... runs holdfast, which must end with the code, say
// one line that matches the pattern on standard error, and print nothing.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refused CODE PATTERN ARG...")
	}
	err := ts.Exec("holdfast", args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("%v, want exit status %s", err, args[0])
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("printed %q", out)
	}
	line, ok := strings.CutSuffix(ts.ReadFile("stderr"), "\n")
	if !ok || strings.Contains(line, "\n") || !strings.HasPrefix(line, "holdfast: ") {
		ts.Fatalf("said %q, want one line", line)
	}
	if !regexp.MustCompile(args[1]).MatchString(line) {
		ts.Fatalf("said %q, want %q", line, args[1])
	}
}

// image FILE BYTES SEED makes a file of data and holes. Files of different
// seeds hold different data in their first half, and the same in the second.
func image(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := make([]byte, n)
	var seed [32]byte
	copy(seed[:], args[2])
	random := rand.NewChaCha8(seed)
	for i := 0; i+8192 <= n/2; i += 16384 {
		_, err := random.Read(b[i:][:8192])
		ts.Check(err)
	}
	for i := n / 2; i < n; i++ {
		b[i] = byte(i>>8) ^ byte(i>>16) | 1
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// take NAME sets an environment variable to what was printed last.
func take(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// mode PATH MODE checks who may do what.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// settings FILE DATA RECIPIENT writes a configuration.
func settings(ts *testscript.TestScript, _ bool, args []string) {
	text := fmt.Sprintf("data: %s\nrecovery_recipients:\n  - %s\n", args[1], args[2])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// cheaply PATH PASSPHRASE puts the text of a key file under a passphrase that
// takes hardly any work to try.
func cheaply(ts *testscript.TestScript, _ bool, args []string) {
	r, err := age.NewScryptRecipient(args[1])
	ts.Check(err)
	r.SetWorkFactor(1)
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	sealed, err := age.Encrypt(armored, r)
	ts.Check(err)
	_, err = sealed.Write([]byte(ts.ReadFile(args[0])))
	ts.Check(errors.Join(err, sealed.Close(), armored.Close()))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), out.Bytes(), 0o600))
}

// size PATH BYTES checks a file's size.
func size(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatInt(info.Size(), 10); got != args[1] {
		ts.Fatalf("%s has %s bytes, want %s", args[0], got, args[1])
	}
}

// patch PATH OFFSET SEED changes a block of a file.
func patch(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	b := make([]byte, 4096)
	var seed [32]byte
	copy(seed[:], args[2])
	_, err = rand.NewChaCha8(seed).Read(b)
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteAt(b, at)
	ts.Check(errors.Join(err, f.Close()))
}

// mapOf FILE SINCE BYTES VOLUME writes a change map without extents.
func mapOf(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("holdfast", "vault", "list", "--data", "data", "--json"))
	var all []struct {
		Volume   string `json:"volume"`
		VolumeID string `json:"volume_id"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &all))
	for _, b := range all {
		if b.Volume == args[3] {
			text := fmt.Sprintf(`{"volume": %q, "since": %q, "size": %s, "extents": []}`, b.VolumeID, args[1], args[2])
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
			return
		}
	}
	ts.Fatalf("no backup of %s", args[3])
}

// exits CODE ARG... runs holdfast, which must end with the code, whatever it
// prints.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("holdfast", args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("%v, want exit status %s", err, args[0])
	}
}

// damage DIR changes a byte in the middle of every file of more than 64 KiB.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) < 64<<10 {
			return err
		}
		b[len(b)/2] ^= 1
		return os.WriteFile(path, b, 0o600)
	}))
}
