package obs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/obs"
)

func logger(t *testing.T, level, format string) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	l, err := obs.NewLogger(&out, level, format)
	if err != nil {
		t.Fatal(err)
	}
	return l, &out
}

func TestLogsCarryIDs(t *testing.T) {
	l, out := logger(t, "info", "json")
	ctx := obs.WithJobID(obs.WithRequestID(t.Context(), "req-1"), "job-2")
	l.With("face", "identity").InfoContext(ctx, "done", "code", 200)
	l.InfoContext(context.Background(), "none")

	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "time")
		lines = append(lines, m)
	}
	want := []map[string]any{
		{"level": "INFO", "msg": "done", "face": "identity", "code": 200.0, "request_id": "req-1", "job_id": "job-2"},
		{"level": "INFO", "msg": "none"},
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if got := obs.RequestID(ctx) + " " + obs.JobID(ctx) + obs.JobID(t.Context()); got != "req-1 job-2" {
		t.Errorf("ids from the context: %q", got)
	}
}

func TestLogLevelAndFormat(t *testing.T) {
	l, out := logger(t, "warn", "text")
	l.Info("quiet")
	l.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "level=WARN msg=loud") {
		t.Errorf("log: %s", got)
	}
	for _, bad := range [][2]string{{"loud", "text"}, {"info", "xml"}} {
		if _, err := obs.NewLogger(out, bad[0], bad[1]); err == nil {
			t.Errorf("level %s, format %s: accepted", bad[0], bad[1])
		}
	}
}

func TestSecretsAreNeverLogged(t *testing.T) {
	header := http.Header{"X-Auth-Token": {"hunter2"}, "Accept": {"text/plain"}}
	parsed, err := url.Parse("postgres://u:hunter2@h/d")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"text", "json"} {
		l, out := logger(t, "debug", format)
		for _, name := range []string{
			"token", "X-Subject-Token", "password", "new_password", "adminPassword", "key", "master_key",
			"authorization", "Set-Cookie", "client_secret", "passphrase", "token_id",
		} {
			l.Info("attribute", name, "hunter2")
			l.With(name, []byte("hunter2")).Info("attribute of a logger")
			l.WithGroup(name).Info("in a group", "value", "hunter2")
			l.Info("group", slog.Group("auth", slog.Group(name, "value", "hunter2")))
		}
		l.Info("headers", "headers", header, "query", url.Values{"token": {"hunter2"}})
		l.Info("url", "url", parsed, "text", "at postgres://u:hunter2@h/d?x=1 now")
		l.Info("dial postgres://u:hunter2@h/d failed")
		l.Error("failed", "error", fmt.Errorf("open: %w", errors.New("host=h password=hunter2 user=u")))
		if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), "aHVudGVyMg") {
			t.Errorf("%s: a secret was logged:\n%s", format, out)
		}
		if strings.Count(out.String(), "\n") != 12*4+4 {
			t.Errorf("%s: lines are missing:\n%s", format, out)
		}
	}
}

func TestWhatIsNoSecretIsLogged(t *testing.T) {
	l, out := logger(t, "info", "text")
	l.Info("put http://h:80/a/b", "object", "packs/1", "key_id", "k7", "token", 3, "error", errors.New("disk full"))
	want := `msg="put http://h:80/a/b" object=packs/1 key_id=k7 token=3 error="disk full"`
	if got := out.String(); !strings.Contains(got, want) {
		t.Errorf("got %s want %s", got, want)
	}
}
