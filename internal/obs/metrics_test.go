package obs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/internal/obs"
)

// scrape returns the metrics that begin with "holdfast_", without histograms.
func scrape(t *testing.T, m *obs.Metrics) string {
	t.Helper()
	w := get(m.Handler(), "/metrics")
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, w.Body)
	}
	var out strings.Builder
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "holdfast_") && !strings.Contains(line, "_bucket") && !strings.Contains(line, "_sum") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func TestMetrics(t *testing.T) {
	m := obs.NewMetrics()
	m.Request("block-storage", "POST", 202, 3*time.Millisecond)
	m.Request("block-storage", "POST", 202, 3*time.Millisecond)
	m.Request("identity", "GET", 401, time.Second)
	m.JobStarted("backup")
	m.JobStarted("backup")
	m.JobEnded("backup", "done", time.Minute)
	m.Bytes(100, 20, 7)
	m.Bytes(1, -1, 0)
	m.Freed(30)
	m.Freed(-1)
	m.Vaults(func(context.Context) (obs.Care, error) {
		return obs.Care{Condemned: 3, Damaged: 2, Verified: time.UnixMilli(1500)}, nil
	})
	m.Queue(func(context.Context) ([]obs.JobCount, error) {
		return []obs.JobCount{{Kind: "backup", State: "running", Count: 1}, {Kind: "delete", State: "queued", Count: 4}}, nil
	})
	want := `holdfast_condemned_packs 3
holdfast_damaged_packs 2
holdfast_freed_bytes_total 30
holdfast_http_request_duration_seconds_count{face="block-storage"} 2
holdfast_http_request_duration_seconds_count{face="identity"} 1
holdfast_http_requests_total{code="202",face="block-storage",method="POST"} 2
holdfast_http_requests_total{code="401",face="identity",method="GET"} 1
holdfast_job_duration_seconds_count{kind="backup"} 1
holdfast_jobs{kind="backup",state="running"} 1
holdfast_jobs{kind="delete",state="queued"} 4
holdfast_jobs_running{kind="backup"} 1
holdfast_jobs_total{kind="backup",state="done"} 1
holdfast_new_bytes_total 20
holdfast_read_bytes_total 101
holdfast_stored_bytes_total 7
holdfast_verified_timestamp_seconds 1.5
`
	if got := scrape(t, m); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestMetricsAreServedWhileTheQueueIsOutOfReach(t *testing.T) {
	m := obs.NewMetrics()
	m.Bytes(1, 1, 1)
	m.Queue(func(context.Context) ([]obs.JobCount, error) { return nil, errors.New("database is gone") })
	m.Vaults(func(context.Context) (obs.Care, error) { return obs.Care{}, errors.New("database is gone") })
	want := "holdfast_freed_bytes_total 0\nholdfast_new_bytes_total 1\nholdfast_read_bytes_total 1\nholdfast_stored_bytes_total 1\n"
	if got := scrape(t, m); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
