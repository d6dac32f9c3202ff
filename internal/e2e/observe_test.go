package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Readiness names what is not there, and only while it is not there.
func TestReadiness(t *testing.T) {
	t.Parallel()
	s := newServer(t, settings{})
	s.start()
	s.ready("ready", http.StatusOK)
	for _, tt := range []struct{ path, status string }{
		{"store", "not ready: store"},
		{"master.key", "not ready: keys"},
	} {
		path := filepath.Join(s.dir, tt.path)
		must(t, os.Rename(path, path+".away"))
		s.ready(tt.status, http.StatusServiceUnavailable)
		if a := s.call("GET", s.admin+"/healthz", nil); a.code != http.StatusOK {
			t.Errorf("healthz without %s: %d", tt.path, a.code)
		}
		must(t, os.Rename(path+".away", path))
		s.ready("ready", http.StatusOK)
	}
	for _, path := range []string{"/readyz", "/metrics", "/healthz"} {
		if a := s.call("GET", s.url+path, nil); a.code != http.StatusNotFound {
			t.Errorf("the main listener answers %s with %d", path, a.code)
		}
	}
}

// ready expects an answer of /readyz.
func (s *server) ready(status string, code int) {
	s.t.Helper()
	a := s.call("GET", s.admin+"/readyz", nil)
	if a.code != code || a.body["status"] != status {
		s.t.Errorf("readyz: %d %s, want %d %q", a.code, a.raw, code, status)
	}
}

// metric reads a number of /metrics, 0 where there is none.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	a := s.call("GET", s.admin+"/metrics", nil)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(a.raw)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	must(s.t, err)
	return n
}

// Metrics count what was done.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newServer(t, settings{})
	s.start()
	volume := s.createVolume("disk", 1)
	fill(t, newRand(t), s.volumeFile(volume), 0, 8<<20)
	backup := s.finishBackup(volume, false)
	s.wait("volume", s.restore(backup), "available")
	s.show("volume", "nosuch")

	done := func(kind string) string { return `holdfast_jobs_total{kind="` + kind + `",state="done"}` }
	for _, kind := range []string{"volume.create", "backup.capture", "backup.store", "backup.restore"} {
		within(t, 5*time.Second, "job "+kind+" to be counted", func() bool { return s.metric(done(kind)) == 1 })
	}
	for name, least := range map[string]float64{
		`holdfast_http_requests_total{code="202",face="block-storage",method="POST"}`: 3,
		`holdfast_http_requests_total{code="404",face="block-storage",method="GET"}`:  1,
		`holdfast_http_requests_total{code="201",face="identity",method="POST"}`:      1,
		`holdfast_read_bytes_total`:                       8 << 20,
		`holdfast_new_bytes_total`:                        8 << 20,
		`holdfast_stored_bytes_total`:                     8 << 20,
		`holdfast_jobs{kind="backup.store",state="done"}`: 1,
		`go_goroutines`:                                   5,
	} {
		if got := s.metric(name); got < least || got > 2*least+100 {
			t.Errorf("%s is %v, want about %v", name, got, least)
		}
	}
	text := string(s.call("GET", s.admin+"/metrics", nil).raw)
	for _, id := range []string{volume, backup, s.project, s.token} {
		if strings.Contains(text, id) {
			t.Errorf("metrics tell of %s", id)
		}
	}
}

// Requests and jobs are logged with ids by which one finds the other, and
// nothing of what a client sends in confidence is, at the most talkative
// level and in both formats.
func TestLog(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, settings{format: format})
			if format == "json" {
				s.serving = regexp.MustCompile(`"msg":"serving","url":"([^"]+)","admin":"([^"]+)"`)
			}
			s.start()
			volume := s.createVolume("disk", 1)
			a := s.call("POST", s.volume+"/backups", object{"backup": object{"volume_id": volume}})
			id := a.body["backup"].(object)["id"].(string)
			s.wait("backup", id, "available")
			request := a.header.Get("X-Openstack-Request-Id")
			within(t, 5*time.Second, "the jobs to be in the log", func() bool {
				return strings.Count(s.log.String(), request) >= 3
			})
			for _, want := range []string{"backup.capture", "backup.store", "job_id", "block-storage", "/backups", s.project} {
				if !strings.Contains(s.log.String(), want) {
					t.Errorf("the log lacks %s", want)
				}
			}

			wrong := "a wrong password, and not a short one"
			s.secrets = append(s.secrets, wrong, "a-token-that-is-none", "in-the-query")
			stranger := &client{t: t, auth: s.auth, token: "a-token-that-is-none"}
			stranger.call("GET", s.volume+"/volumes", nil)
			stranger.call("POST", s.auth+"/auth/tokens", credentials("admin", wrong, "admin"))
			stranger.call("POST", s.auth+"/auth/tokens", object{"auth": object{"identity": object{
				"methods": []string{"token"}, "token": object{"id": "a-token-that-is-none"},
			}}})
			stranger.call("POST", s.auth+"/auth/tokens", object{"auth": wrong})
			s.call("GET", s.url+"/identity/v3/auth/tokens?token=in-the-query&password=in-the-query", nil)
			s.call("DELETE", s.auth+"/auth/tokens", nil)
			within(t, 5*time.Second, "the last request to be in the log", func() bool {
				return strings.Contains(s.log.String(), "DELETE")
			})
			s.kill(syscall.SIGTERM)
		})
	}
}

// Names that tenants choose can't forge lines of the log.
func TestLogIsNotForged(t *testing.T) {
	t.Parallel()
	s := newServer(t, settings{})
	s.start()
	forged := "x\nlevel=ERROR msg=forged"
	s.call("POST", s.volume+"/volumes", object{"volume": object{"name": forged, "size": 1}})
	s.call("GET", s.volume+"/volumes/x%0alevel=ERROR%20msg=forged", nil)
	s.call("GET", s.url+"/x%0alevel=ERROR%20msg=forged", nil)
	s.call("POST", s.auth+"/auth/tokens", credentials(forged, forged, forged))
	s.kill(syscall.SIGTERM)
	for line := range strings.Lines(s.log.String()) {
		if strings.HasPrefix(line, "level=ERROR") {
			t.Errorf("a forged line is in the log: %s", line)
		}
	}
}

// Everything in the data folder is for its owner alone, whatever the umask.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	s := newServer(t, settings{})
	s.start()
	volume := s.createVolume("disk", 1)
	s.wait("snapshot", s.created("snapshot", "/snapshots", object{"volume_id": volume}), "available")
	s.finishBackup(volume, false)
	count := 0
	must(t, filepath.WalkDir(s.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if os.IsNotExist(err) { // a job's, removed meanwhile
			return nil
		}
		if err != nil {
			return err
		}
		count++
		want := "-rw-------"
		if e.IsDir() {
			want = "drwx------"
		}
		if got := fmt.Sprint(info.Mode()); got != want {
			t.Errorf("%s is %s, want %s", strings.TrimPrefix(path, s.dir), got, want)
		}
		return nil
	}))
	t.Logf("%d files and folders", count)
}
