package blockstorage

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/api/kit"
)

// concrete puts something into a pattern's parameters.
func concrete(pattern string) string {
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = "zzz"
		}
	}
	return "/" + strings.Join(segments, "/")
}

// Whatever nobody answers is this face's own fault, with the headers that
// every answer has, and nothing redirects.
func TestUnansweredRequests(t *testing.T) {
	routes := New(Config{BaseURL: "https://cloud.example/volume"}).Routes
	methods := map[string][]string{}
	for _, r := range routes {
		methods[r.Pattern] = append(methods[r.Pattern], r.Method)
	}
	check := func(method, path string, code int, name string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		r.Header.Set("OpenStack-API-Version", "volume 3.50")
		w := serve(t, routes, r)
		var body map[string]struct {
			Code    int
			Message string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
		}
		if f, ok := body[name]; w.Code != code || !ok || f.Code != code || f.Message == "" || len(body) != 1 {
			t.Errorf("%s %s: got %d %s, want %d %s", method, path, w.Code, w.Body, code, name)
		}
		for header, want := range map[string]string{
			"OpenStack-API-Version":  "volume 3.50",
			"Vary":                   "OpenStack-API-Version",
			"X-Openstack-Request-Id": "req-00000000-0000-4000-8000-000000000000",
			"X-Compute-Request-Id":   "req-00000000-0000-4000-8000-000000000000",
			"Content-Type":           "application/json",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s %s: %s is %q, want %q", method, path, header, got, want)
			}
		}
		if w.Header().Get("Location") != "" {
			t.Errorf("%s %s: redirected to %s", method, path, w.Header().Get("Location"))
		}
	}
	for pattern, known := range methods {
		path := concrete(pattern)
		check(http.MethodPatch, path, http.StatusMethodNotAllowed, "badMethod")
		check("BREW", path, http.StatusMethodNotAllowed, "badMethod")
		if !slices.Contains(known, http.MethodGet) {
			check(http.MethodGet, path, http.StatusNotFound, "itemNotFound")
		}
		check(http.MethodPatch, path+"/a/b/c/d/e/f", http.StatusNotFound, "itemNotFound")
	}
	for _, path := range []string{
		"/v2", "/v3/nosuch", "/v3/messages", "/v3/attachments", "/v3/resource_filters", "/v3/backups/zzz/export_record",
		"/v3/backups//restore", "/v3//backups", "/v3/backups/vm2/cirros/Boot%20volume-2024-05-09T10:41:13",
		"/v3/backups/vm2/action", "/v3/backups/a%2Fb/c", "/v3/abc-123/backups/a/b",
	} {
		check(http.MethodGet, path, http.StatusNotFound, "itemNotFound")
	}
}

// The announced versions are those that routes and views know.
func TestVersionsStayInRange(t *testing.T) {
	for _, r := range New(Config{}).Routes {
		if r.Since != (kit.Version{}) && (!r.Since.AtLeast(minVersion) || !maxVersion.AtLeast(r.Since)) {
			t.Errorf("%s %s is there from %s on, and %s is the newest", r.Method, r.Pattern, r.Since, maxVersion)
		}
	}
}

// On a listener of its own the face has no prefix, and neither have its
// links.
func TestOwnListener(t *testing.T) {
	routes := New(Config{BaseURL: "https://volume.example:8776/"}).Routes
	for path, code := range map[string]int{"/": 300, "/v3": 200, "/v3/": 200} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := serve(t, routes, httptest.NewRequestWithContext(t.Context(), method, path, nil))
			if w.Code != code || method == http.MethodGet && !strings.Contains(w.Body.String(), `"https://volume.example:8776/v3/"`) {
				t.Errorf("%s %s: got %d %s, want %d", method, path, w.Code, w.Body, code)
			}
		}
	}
}
