package quickstart_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/backup"
	"holdfast/internal/quickstart"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	quickstart.WriteTable(&out, []quickstart.Row{
		{
			What: "backup 1, full", Size: 1 << 30, Time: 2140 * time.Millisecond,
			Stats: &backup.Stats{Read: 600 << 20, New: 561 << 20, Stored: 231 << 20},
		},
		{
			What: "backup 2, incremental", Size: 1 << 30, Time: 91 * time.Millisecond,
			Stats: &backup.Stats{Read: 22 << 20, New: 16 << 20, Stored: 9<<20 + 400<<10},
		},
		{What: "restore of backup 1", Size: 1 << 30, Time: 1200 * time.Millisecond, Outcome: "identical"},
		{What: "restore of backup 2, alone", Size: 1 << 40, Time: 0},
	})
	out.WriteString("\nOnce more:\n\n")
	quickstart.WriteTable(&out, []quickstart.Row{{
		What: "backup 1, full", Size: 1 << 30, Time: time.Second,
		Stats: &backup.Stats{Read: 600 << 20, New: 5 << 20, Stored: 3 << 20},
	}})
	golden(t, "table.txt", out.Bytes())
}

func TestSummary(t *testing.T) {
	var out bytes.Buffer
	result := quickstart.Result{
		VolumeID: "6edbc2f4-1507-44f8-ac0d-eed1d2608d38", BackupID: "2ef47aee-8844-490c-804d-2a8efe561c65",
	}
	quickstart.WriteSummary(&out, quickstart.Places{
		Data: "/srv/holdfast-data", Clouds: "/srv/holdfast-data/clouds.yaml", Key: "/srv/holdfast-data/master.key",
		URL: "http://127.0.0.1:8790",
	}, result)
	quickstart.WriteSummary(&out, quickstart.Places{
		Data: "/srv/it's mine", Clouds: "/srv/it's mine/clouds.yaml", Key: "/srv/it's mine/master.key",
	}, result)
	golden(t, "summary.txt", out.Bytes())
}

func TestCheckSpace(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "not", "there", "yet")
	if err := quickstart.CheckSpace(missing, 1); err != nil {
		t.Errorf("one byte: %v", err)
	}
	err := quickstart.CheckSpace(missing, 1<<62)
	if err == nil || !strings.Contains(err.Error(), "the quickstart needs 4.0 EiB: choose another place with --data") {
		t.Errorf("4 EiB: error %v", err)
	}
}

func TestReadLogin(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(`clouds:
  other: {auth: {auth_url: http://elsewhere}}
  holdfast:
    region_name: RegionOne
    auth:
      auth_url: http://127.0.0.1:8790/identity/v3
      username: admin
      password: "sesame: open"
      project_name: demo
      user_domain_name: Default
      project_domain_name: Default
`)
	got, err := quickstart.ReadLogin(path)
	want := quickstart.Login{
		AuthURL: "http://127.0.0.1:8790/identity/v3", Username: "admin", Password: "sesame: open", Project: "demo",
		UserDomain: "Default", ProjectDomain: "Default", Region: "RegionOne",
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("error %v, login (-want +got):\n%s", err, d)
	}
	for name, text := range map[string]string{
		"no cloud":    "clouds: {other: {auth: {password: sesame}}}",
		"no password": "clouds: {holdfast: {auth: {auth_url: http://x, username: admin}}}",
		"not YAML":    "clouds: {holdfast: [sesame}",
		"other types": "clouds: {holdfast: {auth: sesame}}",
	} {
		put(text)
		if _, err := quickstart.ReadLogin(path); err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
