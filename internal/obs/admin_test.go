package obs_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/obs"
)

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

type ready struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

func getReady(t *testing.T, h http.Handler) (int, ready) {
	t.Helper()
	w := get(h, "/readyz")
	var body ready
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return w.Code, body
}

func admin(checks ...obs.Check) http.Handler {
	return obs.Admin{Metrics: obs.NewMetrics(), Checks: checks, Timeout: 5 * time.Second}.Handler()
}

func check(name string, err error) obs.Check {
	return obs.Check{Name: name, Run: func(context.Context) error { return err }}
}

func TestReadiness(t *testing.T) {
	code, body := getReady(t, admin(check("database", nil), check("store", nil)))
	want := ready{Status: "ready", Checks: map[string]string{"database": "ok", "store": "ok"}}
	if diff := cmp.Diff(want, body); code != 200 || diff != "" {
		t.Errorf("%d (-want +got):\n%s", code, diff)
	}

	code, body = getReady(t, admin(
		check("database", errors.New("dial postgres://u:hunter2@h/d: refused")),
		check("store", nil),
		check("keys", errors.New("no master key")),
	))
	want = ready{Status: "not ready: database, keys", Checks: map[string]string{
		"database": "dial postgres://u:[redacted]@h/d: refused", "store": "ok", "keys": "no master key",
	}}
	if diff := cmp.Diff(want, body); code != 503 || diff != "" {
		t.Errorf("%d (-want +got):\n%s", code, diff)
	}
}

func TestReadinessDoesNotHangWithItsCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		runs := 0
		h := admin(check("database", nil), obs.Check{Name: "store", Run: func(context.Context) error {
			runs++
			<-release
			return nil
		}})
		for range 2 {
			began := time.Now()
			code, body := getReady(t, h)
			if code != 503 || body.Checks["store"] != "no answer within 5s" || body.Checks["database"] != "ok" {
				t.Errorf("%d %+v", code, body)
			}
			if took := time.Since(began); took != 5*time.Second {
				t.Errorf("answered after %v", took)
			}
		}
		close(release)
		synctest.Wait()
		if code, body := getReady(t, h); code != 200 {
			t.Errorf("once it answers: %d %+v", code, body)
		}
		if runs != 2 {
			t.Errorf("the check ran %d times, want once while it hung and once after", runs)
		}
	})
}

func TestReadinessIsSharedByThoseWhoAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := admin(obs.Check{Name: "store", Run: func(ctx context.Context) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { // who started the check goes away
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
		})
		synctest.Wait()
		for range 3 {
			wg.Go(func() {
				if code, body := getReady(t, h); code != 200 {
					t.Errorf("%d %+v", code, body)
				}
			})
		}
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestAdminPages(t *testing.T) {
	h := admin()
	if w := get(h, "/healthz"); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("healthz: %d %s", w.Code, w.Body)
	}
	if w := get(h, "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), "go_goroutines") {
		t.Errorf("metrics: %d %s", w.Code, w.Body)
	}
	if w := get(h, "/debug/pprof/"); w.Code != 404 {
		t.Errorf("profiles that nobody asked for: %d", w.Code)
	}
	h = obs.Admin{Metrics: obs.NewMetrics(), Timeout: time.Second, Pprof: true}.Handler()
	if w := get(h, "/debug/pprof/goroutine?debug=1"); w.Code != 200 || !strings.Contains(w.Body.String(), "goroutine profile") {
		t.Errorf("profiles: %d %s", w.Code, w.Body)
	}
}
