package kit_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/clock"
)

const project = "0123456789abcdef0123456789abcdef"

// tokens knows three tokens; "down" stands for an identity out of reach.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (backup.Caller, error) {
	switch token {
	case "good":
		return backup.Caller{UserID: "u1", ProjectID: project, Roles: []string{"member"}}, nil
	case "unscoped":
		return backup.Caller{UserID: "u1"}, nil
	case "down":
		return backup.Caller{}, backup.Errorf(backup.Unavailable, "identity is out of reach")
	default:
		return backup.Caller{}, backup.Errorf(backup.Unauthorized, "unknown token")
	}
}

type counter struct{ got []string }

func (c *counter) Request(face, method string, code int, _ time.Duration) {
	c.got = append(c.got, fmt.Sprint(face, " ", method, " ", code))
}

// render is a fault form of its own, to see that the face's is used.
func render(f *kit.Fault) []byte {
	body, _ := json.Marshal(map[string]any{"fault": map[string]any{"code": f.Code, "message": f.Message}})
	return body
}

func echo(name string) kit.Handler {
	return func(w http.ResponseWriter, r *kit.Request) error {
		out := map[string]any{"route": name, "version": r.Version.String(), "project": r.Project, "user": r.Caller.UserID}
		if strings.Contains(name, "{id}") {
			out["id"] = r.Param("id")
		}
		return kit.WriteJSON(w, http.StatusOK, out)
	}
}

func testFace() kit.Face {
	get, post := http.MethodGet, http.MethodPost
	face := kit.Face{
		Name:        "test",
		Auth:        tokens{},
		IdentityURL: "http://cloud.example/identity",
		Scoped:      true,
		Versions:    &kit.Versions{Service: "volume", Min: kit.V(3, 0), Max: kit.V(3, 71), Default: kit.V(3, 0)},
		Project:     kit.ProjectAfter("v3"),
		Faults: kit.Faults{
			Render: render,
			Word: func(e *backup.Error) *kit.Fault {
				if e.Reason == backup.BackupNotFound {
					return &kit.Fault{Message: "Backup " + e.Args["id"] + " could not be found."}
				}
				return nil
			},
		},
		RequestIDHeaders: []string{"x-compute-request-id"},
	}
	add := func(method, pattern string, h kit.Handler) {
		face.Routes = append(face.Routes, kit.Route{Method: method, Pattern: pattern, Handler: h})
	}
	for _, r := range []string{
		"GET v3/backups", "POST v3/backups", "GET v3/backups/detail", "GET v3/backups/{id}", "DELETE v3/backups/{id}",
		"POST v3/backups/{id}/restore", "GET v3/backups/{id}/export_record", "GET v3/volumes/{id}/metadata/{key}",
	} {
		method, pattern, _ := strings.Cut(r, " ")
		add(method, pattern, echo(r))
	}
	face.Routes = append(face.Routes,
		kit.Route{Method: get, Pattern: "", Public: true, Handler: echo("root")},
		kit.Route{Method: get, Pattern: "v3", Public: true, Handler: echo("v3")},
		kit.Route{Method: http.MethodPut, Pattern: "v3/backups/{id}", Since: kit.V(3, 9), Handler: echo("PUT v3/backups/{id}")})
	add(post, "v3/body", func(w http.ResponseWriter, r *kit.Request) error {
		o, err := r.Object()
		if err != nil {
			return err
		}
		return kit.WriteJSON(w, http.StatusOK, o.Keys())
	})
	add(get, "v3/fail/{id}", func(w http.ResponseWriter, r *kit.Request) error { return failure(w, r.Param("id")) })
	return face
}

func failure(w http.ResponseWriter, how string) error {
	switch how {
	case "panic":
		panic("secret text of a panic")
	case "unknown":
		return errors.New("secret text of an error")
	case "corrupt":
		return backup.Errorf(backup.Corrupt, "secret object name")
	case "worded":
		return fmt.Errorf("show: %w", &backup.Error{Kind: backup.NotFound, Reason: backup.BackupNotFound, Args: map[string]string{"id": "b1"}})
	case "quota":
		return &kit.Fault{Code: http.StatusRequestEntityTooLarge, Message: "quota", Header: http.Header{"Retry-After": {"0"}}}
	case "late":
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "half")
		return errors.New("secret text after the fact")
	default:
		return backup.Errorf(backup.Conflict, "it is busy")
	}
}

type harness struct {
	t       *testing.T
	handler http.Handler
	logs    *bytes.Buffer
	metrics *counter
}

func newHarness(t *testing.T, change func(*kit.Face, *kit.Env)) *harness {
	t.Helper()
	h := &harness{t: t, logs: &bytes.Buffer{}, metrics: &counter{}}
	face := testFace()
	env := kit.Env{
		Log: slog.New(slog.NewJSONHandler(h.logs, nil)), Clock: clock.Real{}, Rand: rand.Reader, Metrics: h.metrics,
	}
	if change != nil {
		change(&face, &env)
	}
	var err error
	if h.handler, err = kit.New(face, env); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *harness) do(method, target, body string, header ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("X-Auth-Token", "good")
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w
}

func TestRouting(t *testing.T) {
	h := newHarness(t, nil)
	p := "/v3/" + project
	for _, tc := range []struct {
		method, path string
		code         int
		route, id    string
	}{
		{"GET", "/", 200, "root", ""},
		{"GET", "/v3", 200, "v3", ""},
		{"GET", "/v3/", 200, "v3", ""},
		{"GET", p + "/backups", 200, "GET v3/backups", ""},
		{"GET", p + "/backups/", 200, "GET v3/backups", ""},
		{"GET", "/v3/backups", 200, "GET v3/backups", ""},
		{"GET", p + "/backups/detail", 200, "GET v3/backups/detail", ""},
		{"DELETE", p + "/backups/detail", 200, "DELETE v3/backups/{id}", "detail"},
		{"GET", p + "/backups/b1", 200, "GET v3/backups/{id}", "b1"},
		{"GET", "/v3/backups/b1/export_record", 200, "GET v3/backups/{id}/export_record", "b1"},
		{"POST", p + "/backups/b1/restore", 200, "POST v3/backups/{id}/restore", "b1"},
		{"GET", p + "/backups/vm2%2Fcirros%2FBoot%20volume", 200, "GET v3/backups/{id}", "vm2/cirros/Boot volume"},
		{"GET", p + "/backups/vm2/cirros/Boot%20volume-2024-05-09T10:41:13", 404, "", ""},
		{"GET", p + "/backups/vm2/restore", 404, "", ""},
		{"GET", p + "/backups/%2e%2e", 200, "GET v3/backups/{id}", ".."},
		{"GET", p + "/backups/..", 200, "GET v3/backups/{id}", ".."},
		{"GET", p + "/backups/..;/x", 404, "", ""},
		{"GET", p + "//backups", 404, "", ""},
		{"GET", p + "/backups//", 404, "", ""},
		{"GET", "//", 404, "", ""},
		{"GET", p + "/backups/a%00b", 404, "", ""},
		{"GET", p + "/backups/a%ffb", 404, "", ""},
		{"GET", p + "/" + strings.Repeat("a/", 5000), 404, "", ""},
		{"GET", p, 404, "", ""},
		{"GET", p + "/nothing", 404, "", ""},
		{"PATCH", p + "/backups", 405, "", ""},
		{"PATCH", p + "/backups/b1", 405, "", ""},
		{"OPTIONS", p + "/backups", 405, "", ""},
		{"HEAD", p + "/backups", 200, "GET v3/backups", ""},
		{"GET", "/v3/not-a-project/backups", 404, "", ""},
		{"GET", "/v3/fedcba98765432100123456789abcdef/backups", 400, "", ""},
	} {
		w := h.do(tc.method, tc.path, "")
		if w.Code != tc.code {
			t.Errorf("%s %s: %d, want %d: %s", tc.method, tc.path, w.Code, tc.code, w.Body)
			continue
		}
		var got struct {
			Route, ID string
			Fault     struct{ Code int }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("%s %s: %q is not JSON", tc.method, tc.path, w.Body)
		}
		if tc.code == 200 && (got.Route != tc.route || got.ID != tc.id) || tc.code != 200 && got.Fault.Code != tc.code {
			t.Errorf("%s %s: answered %s", tc.method, tc.path, w.Body)
		}
		if w.Header().Get("Location") != "" {
			t.Errorf("%s %s: redirects", tc.method, tc.path)
		}
	}
}

func TestMethodNotAllowedNamesTheMethods(t *testing.T) {
	w := newHarness(t, nil).do("PATCH", "/v3/"+project+"/backups/detail", "")
	if got := w.Header().Get("Allow"); got != "DELETE, GET, HEAD, PUT" {
		t.Errorf("Allow: %q", got)
	}
}

func TestTableContradictions(t *testing.T) {
	ok := func(http.ResponseWriter, *kit.Request) error { return nil }
	for name, routes := range map[string][]kit.Route{
		"twice":         {{Method: "GET", Pattern: "a/{x}", Handler: ok}, {Method: "GET", Pattern: "a/{y}", Handler: ok}},
		"empty segment": {{Method: "GET", Pattern: "a//b", Handler: ok}},
		"no handler":    {{Method: "GET", Pattern: "a"}},
	} {
		_, err := kit.New(kit.Face{Name: "t", Routes: routes, Faults: kit.Faults{Render: render}}, kit.Env{})
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestVersions(t *testing.T) {
	h := newHarness(t, nil)
	for _, tc := range []struct {
		asked, served string
		code          int
		message       string
	}{
		{"", "3.0", 200, ""},
		{"volume 3.43", "3.43", 200, ""},
		{"volume latest", "3.71", 200, ""},
		{"compute 2.1, volume 3.9", "3.9", 200, ""},
		{"compute 2.1", "3.0", 200, ""},
		{"volumes 9.9", "3.0", 200, ""},
		{"volume 3.99", "3.0", 406, "Version 3.99 is not supported by the API. Minimum is 3.0 and maximum is 3.71."},
		{"volume 2.0", "3.0", 406, "Version 2.0 is not supported by the API. Minimum is 3.0 and maximum is 3.71."},
		{"volume 3.", "3.0", 400, "API Version String 3. is of invalid format. Must be of format MajorNum.MinorNum."},
		{"volume", "3.0", 400, "API Version String  is of invalid format. Must be of format MajorNum.MinorNum."},
		{"volume 3.43 x", "3.0", 400, "API Version String 3.43 x is of invalid format. Must be of format MajorNum.MinorNum."},
		{"volume 3.007", "3.0", 400, "API Version String 3.007 is of invalid format. Must be of format MajorNum.MinorNum."},
	} {
		w := h.do("GET", "/v3/backups", "", kit.VersionHeader, tc.asked)
		if w.Code != tc.code || tc.message != "" && !strings.Contains(w.Body.String(), tc.message) {
			t.Errorf("%q: %d %s", tc.asked, w.Code, w.Body)
		}
		if got := w.Header().Get(kit.VersionHeader); got != "volume "+tc.served {
			t.Errorf("%q: served %q", tc.asked, got)
		}
		if got := w.Header().Get("Vary"); got != kit.VersionHeader {
			t.Errorf("%q: Vary %q", tc.asked, got)
		}
	}
	if w := h.do("PUT", "/v3/backups/b1", "{}"); w.Code != 404 {
		t.Errorf("a method before its version: %d", w.Code)
	}
	if w := h.do("PUT", "/v3/backups/b1", "{}", kit.VersionHeader, "volume 3.9"); w.Code != 200 {
		t.Errorf("a method at its version: %d", w.Code)
	}
	if w := h.do("GET", "/v3/", "", kit.VersionHeader, "volume 9.9"); w.Code != 200 {
		t.Errorf("a version document refuses a version: %d", w.Code)
	}
}

func TestEveryAnswerCarriesIDsAndVersion(t *testing.T) {
	h := newHarness(t, nil)
	form := regexp.MustCompile(`^req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for _, path := range []string{"/", "/v3/backups", "/v3/nothing", "/v3/fail/panic", "/v3/fail/unknown"} {
		for _, token := range []string{"good", "bad", "", "down"} {
			w := h.do("GET", path, "", "X-Auth-Token", token)
			id := w.Header().Get("x-openstack-request-id")
			if !form.MatchString(id) || w.Header().Get("x-compute-request-id") != id {
				t.Errorf("%s %q: request ids %v", path, token, w.Header())
			}
			if w.Header().Get(kit.VersionHeader) == "" || w.Header().Get("Vary") == "" {
				t.Errorf("%s %q: version headers %v", path, token, w.Header())
			}
		}
	}
}

func TestAuthentication(t *testing.T) {
	h := newHarness(t, nil)
	for _, token := range []string{"", "bad", strings.Repeat("x", 9000)} {
		w := h.do("GET", "/v3/backups", "", "X-Auth-Token", token)
		const body = `{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}`
		if w.Code != 401 || w.Body.String() != body || w.Header().Get("WWW-Authenticate") != `Keystone uri="http://cloud.example/identity"` {
			t.Errorf("token %.10q: %d %s %v", token, w.Code, w.Body, w.Header())
		}
	}
	if w := h.do("GET", "/v3/nothing", "", "X-Auth-Token", ""); w.Code != 401 {
		t.Errorf("an unknown path without token: %d", w.Code)
	}
	if w := h.do("GET", "/v3/backups", "", "X-Auth-Token", "down"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("identity down: %d %v", w.Code, w.Header())
	}
	if w := h.do("GET", "/v3/backups", "", "X-Auth-Token", "unscoped"); w.Code != 403 {
		t.Errorf("unscoped token: %d", w.Code)
	}
	if w := h.do("GET", "/v3/", "", "X-Auth-Token", ""); w.Code != 200 {
		t.Errorf("version document without token: %d", w.Code)
	}
}

func TestFaults(t *testing.T) {
	h := newHarness(t, nil)
	for how, want := range map[string]struct {
		code int
		text string
	}{
		"panic":   {500, "incapable of performing the requested operation. Request id: req-"},
		"unknown": {500, "Request id: req-"},
		"corrupt": {500, "Request id: req-"},
		"worded":  {404, "Backup b1 could not be found."},
		"quota":   {413, "quota"},
		"other":   {409, "it is busy"},
	} {
		h.logs.Reset()
		w := h.do("GET", "/v3/fail/"+how, "")
		if w.Code != want.code || !strings.Contains(w.Body.String(), want.text) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", how, w.Code, w.Body)
		}
		if logged := strings.Count(h.logs.String(), "request failed"); (want.code == 500) != (logged == 1) {
			t.Errorf("%s: cause logged %d times: %s", how, logged, h.logs)
		}
	}
	if w := h.do("GET", "/v3/fail/quota", ""); w.Header().Get("Retry-After") != "0" {
		t.Errorf("headers of a fault: %v", w.Header())
	}
}

func TestFaultAfterTheAnswerBeganBreaksItOff(t *testing.T) {
	h := newHarness(t, nil)
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("recovered %v", p)
		}
		if !strings.Contains(h.logs.String(), "secret text after the fact") || !strings.Contains(h.logs.String(), `"msg":"request"`) {
			t.Errorf("log: %s", h.logs)
		}
	}()
	h.do("GET", "/v3/fail/late", "")
	t.Error("answered as if whole")
}

func TestBodies(t *testing.T) {
	h := newHarness(t, func(_ *kit.Face, e *kit.Env) { e.BodyLimit = 64 })
	for _, tc := range []struct {
		body, media string
		code        int
		text        string
	}{
		{`{"a":1}`, "application/json", 200, `["a"]`},
		{`{"a":1}`, "application/json; charset=utf-8", 200, `["a"]`},
		{`{"a":1}`, "", 200, `["a"]`},
		{`{"a":1}`, "text/plain", 415, "Unsupported Content-Type"},
		{``, "application/json", 400, "Malformed request body"},
		{`[1]`, "application/json", 400, "Malformed request body"},
		{`{"a":1} x`, "application/json", 400, "Malformed request body"},
		{`{"a":"` + strings.Repeat("x", 100) + `"}`, "application/json", 413, "Request is too large."},
	} {
		w := h.do("POST", "/v3/body", tc.body, "Content-Type", tc.media)
		if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.text) {
			t.Errorf("%.20q as %q: %d %s", tc.body, tc.media, w.Code, w.Body)
		}
	}
}

// Who says beforehand how large a body is hears at once that it is too large,
// and is not asked to send it.
func TestBodyThatIsNotAskedFor(t *testing.T) {
	h := newHarness(t, func(_ *kit.Face, e *kit.Env) { e.BodyLimit = 64 })
	srv := httptest.NewServer(h.handler)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v3/body HTTP/1.1\r\nHost: x\r\nX-Auth-Token: good\r\n"+
		"Expect: 100-continue\r\nContent-Length: 65\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close {
		t.Errorf("answered %s, and keeps the connection: %v", resp.Status, !resp.Close)
	}
}

func TestBodyThatDoesNotArrive(t *testing.T) {
	h := newHarness(t, func(_ *kit.Face, e *kit.Env) { e.BodyTimeout = 20 * time.Millisecond })
	srv := httptest.NewServer(h.handler)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v3/body HTTP/1.1\r\nHost: x\r\nX-Auth-Token: good\r\nContent-Length: 50\r\n\r\n{")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("answered %s", resp.Status)
	}
}

// The deadline of a body must not outlive it: a handler that works longer
// would see its request cancelled.
func TestDeadlineEndsWithTheBody(t *testing.T) {
	const timeout = 20 * time.Millisecond
	h := newHarness(t, func(f *kit.Face, e *kit.Env) {
		e.BodyTimeout = timeout
		f.Routes = append(f.Routes, kit.Route{Method: "POST", Pattern: "v3/slow", Handler: func(w http.ResponseWriter, r *kit.Request) error {
			if _, err := r.Object(); err != nil {
				return err
			}
			select {
			case <-r.Context().Done():
				return r.Context().Err()
			case <-time.After(5 * timeout):
				return kit.WriteEmpty(w, http.StatusAccepted)
			}
		}})
	})
	srv := httptest.NewServer(h.handler)
	defer srv.Close()
	req, _ := http.NewRequest("POST", srv.URL+"/v3/slow", strings.NewReader(`{"a":1}`))
	req.Header.Set("X-Auth-Token", "good")
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("answered %s", resp.Status)
	}
}

func TestAccessLog(t *testing.T) {
	h := newHarness(t, nil)
	h.do("GET", "/v3/backups?name=private", "", "X-Auth-Token", "good")
	var line map[string]any
	if err := json.Unmarshal(h.logs.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	delete(line, "took")
	delete(line, "request_id")
	want := map[string]any{
		"level": "INFO", "msg": "request", "face": "test", "method": "GET", "path": "/v3/backups", "status": 200.0,
		"bytes": 67.0, "project": project, "user": "u1", "client": "192.0.2.1",
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Errorf("log line (-want +got):\n%s", diff)
	}
	if strings.Contains(h.logs.String(), "good") || strings.Contains(h.logs.String(), "private") {
		t.Errorf("the log tells too much: %s", h.logs)
	}
	h.do("BREW", "/v3/backups", "")
	if diff := cmp.Diff([]string{"test GET 200", "test other 405"}, h.metrics.got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestClientAddress(t *testing.T) {
	for _, tc := range []struct {
		name, remote, forwarded, want string
	}{
		{"direct", "203.0.113.9:1", "", "203.0.113.9"},
		{"header of a stranger", "203.0.113.9:1", "198.51.100.1", "203.0.113.9"},
		{"proxy", "10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", "198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"forged start", "10.0.0.1:1", "1.1.1.1, 198.51.100.1", "198.51.100.1"},
		{"garbage", "10.0.0.1:1", "198.51.100.1, nonsense", "10.0.0.1"},
		{"mapped", "[::ffff:10.0.0.1]:1", "2001:db8::1", "2001:db8::1"},
		{"socket", "@", "198.51.100.1", "invalid IP"},
	} {
		h := newHarness(t, func(f *kit.Face, e *kit.Env) {
			e.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
			f.Routes = append(f.Routes, kit.Route{Method: "GET", Pattern: "who", Public: true, Handler: func(w http.ResponseWriter, r *kit.Request) error {
				return kit.WriteJSON(w, 200, r.Client.String())
			}})
		})
		r := httptest.NewRequest("GET", "/who", nil)
		r.RemoteAddr = tc.remote
		r.Header.Set("X-Forwarded-For", tc.forwarded)
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		if got := strings.Trim(w.Body.String(), `"`); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestQueryIsStrict(t *testing.T) {
	h := newHarness(t, nil)
	for _, q := range []string{"a=%zz", "a=%00", "a=%ff", "a;b=1"} {
		if w := h.do("GET", "/v3/backups?"+q, ""); w.Code != 400 {
			t.Errorf("%s: %d", q, w.Code)
		}
	}
}

func FuzzRouting(f *testing.F) {
	for _, s := range []string{"/", "/v3/x%2Fy", "/v3/" + project + "/backups/a/b", "//", "/%", "/v3/backups/%00"} {
		f.Add(s, "GET", "volume 3.1")
	}
	face, env := testFace(), kit.Env{Log: slog.New(slog.DiscardHandler), Clock: clock.Real{}, Rand: rand.Reader}
	handler, err := kit.New(face, env)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, method, version string) {
		r, err := http.NewRequest(method, "http://x/", nil)
		if err != nil {
			return
		}
		if u, err := r.URL.Parse(path); err == nil {
			r.URL = u
		} else {
			r.URL.Path = path
		}
		r.Header.Set("X-Auth-Token", "good")
		r.Header.Set(kit.VersionHeader, version)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code >= 300 && w.Code < 400 || w.Header().Get(kit.VersionHeader) == "" {
			t.Errorf("%q %q %q: %d %s", method, path, version, w.Code, w.Body)
		}
	})
}

func TestNoTokenInThePathIsLogged(t *testing.T) {
	h := newHarness(t, nil)
	token := strings.Repeat("gAAAAAB_-", 6)
	h.do("DELETE", "/v3/auth/tokens/"+token+"?x="+token, "")
	if strings.Contains(h.logs.String(), token) || !strings.Contains(h.logs.String(), "/v3/auth/tokens/REDACTED") {
		t.Errorf("log: %s", h.logs)
	}
	h.logs.Reset()
	h.do("GET", "/v3/backups/0b7b7b39-29e7-4f0e-9c33-2242418eee10", "")
	if !strings.Contains(h.logs.String(), "/v3/backups/0b7b7b39-29e7-4f0e-9c33-2242418eee10") {
		t.Errorf("log: %s", h.logs)
	}
}
