package e2e_test

import (
	"strings"
	"testing"
)

// TestCinderClient backs up and restores with Debian's cinder command, which
// negotiates the newest microversion and sends every key, null or not.
func TestCinderClient(t *testing.T) {
	t.Parallel()
	cli := newStockClient(t, "/usr/bin/cinder", "python3-cinderclient", false)
	s := newServer(t, settings{more: people(t, map[string]string{"root": "red admin"})})
	s.launch()
	s.client = s.as("root", password("root"), "red")
	cli.env = append(cli.env, "OS_AUTH_URL="+s.auth, "OS_USERNAME=root", "OS_PASSWORD="+password("root"),
		"OS_PROJECT_NAME=red", "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default")

	cli.run("create", "--name", "disk", "1")
	s.settleAll("volume", 1)
	disk := s.list("volume")[0]["id"].(string)
	s.wait("volume", disk, "available")
	scribble(t, newRand(t), s.volumeFile(disk), 40, 1<<20)
	want := digest(t, s.volumeFile(disk))
	cli.run("backup-create", "--name", slashed, "--metadata", "tier=gold", "disk")
	first := s.list("backup")[0]["id"].(string)
	s.wait("backup", first, "available")
	cli.run("backup-create", "--incremental", "--name", "second", "disk")
	s.wait("backup", s.list("backup")[0]["id"].(string), "available")
	for _, text := range []string{first, "{'tier': 'gold'}", "available"} {
		if out := cli.run("backup-show", slashed); !strings.Contains(out, text) {
			t.Errorf("backup-show doesn't say %q:\n%s", text, out)
		}
	}
	cli.run("backup-restore", "--name", "back", slashed)
	s.wait("backup", first, "available")
	cli.run("create", "--backup-id", first, "--name", "made", "1")
	for _, v := range s.list("volume") {
		s.wait("volume", v["id"].(string), "available")
		if digest(t, s.volumeFile(v["id"].(string))) != want {
			t.Errorf("volume %s holds something else", v["name"])
		}
	}
	cli.run("backup-reset-state", "--state", "error", "second")
	cli.run("backup-delete", "--force", "second", slashed)
	s.settleAll("backup", 0)
}
