package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stockClient is a command-line client of OpenStack, as distributions ship
// it.
type stockClient struct {
	t     testing.TB
	path  string
	env   []string
	calls int
	took  time.Duration
}

// newStockClient finds a client that some package installs. One that is
// needed but not there fails the test where the environment says CI=true.
func newStockClient(t testing.TB, path, pkg string, needed bool) *stockClient {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		if needed && os.Getenv("CI") == "true" {
			t.Fatalf("there is no %s: install Debian's %s", path, pkg)
		}
		t.Skipf("there is no %s (Debian's %s): not tested with it", path, pkg)
	}
	c := &stockClient{t: t, path: path}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OS_") {
			c.env = append(c.env, v)
		}
	}
	t.Cleanup(func() { t.Logf("%d calls of %s took %.1f s", c.calls, filepath.Base(path), c.took.Seconds()) })
	return c
}

// try runs one command and returns what it printed, and its complaint where
// it failed.
func (c *stockClient) try(args ...string) (out, complaint string) {
	c.t.Helper()
	cmd := exec.Command(c.path, args...)
	cmd.Env = c.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	c.calls++
	c.took += time.Since(began)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return stdout.String(), "failed: " + strings.TrimSpace(stderr.String())
	case err != nil:
		c.t.Fatal(err)
	}
	return stdout.String(), ""
}

// run runs a command that must succeed.
func (c *stockClient) run(args ...string) string {
	c.t.Helper()
	out, complaint := c.try(args...)
	if complaint != "" {
		c.t.Fatalf("%s %q %s", filepath.Base(c.path), args, complaint)
	}
	return out
}

// refused runs a command that must fail with a message that contains some
// text.
func (c *stockClient) refused(text string, args ...string) {
	c.t.Helper()
	out, complaint := c.try(args...)
	if !strings.Contains(complaint, text) {
		c.t.Fatalf("%s %q: want a failure that says %q: %q %s", filepath.Base(c.path), args, text, complaint, out)
	}
}

// show runs a command that prints one resource.
func (c *stockClient) show(args ...string) object {
	c.t.Helper()
	return printed[object](c, args)
}

// list runs a command that prints a table.
func (c *stockClient) list(args ...string) []object {
	c.t.Helper()
	return printed[[]object](c, args)
}

func printed[T any](c *stockClient, args []string) (v T) {
	c.t.Helper()
	out := c.run(append(args, "-f", "json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.t.Fatalf("%q printed %q: %v", args, out, err)
	}
	return v
}

// column returns one column of a table.
func column(table []object, name string) []any {
	var all []any
	for _, row := range table {
		all = append(all, row[name])
	}
	return all
}

// expect compares some fields of a resource, or columns of a row.
func expect(t testing.TB, got, want object) {
	t.Helper()
	some := object{}
	for name := range want {
		if v, ok := got[name]; ok {
			some[name] = v
		}
	}
	if diff := cmp.Diff(want, some); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
