package identity_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	face "holdfast/internal/api/identity"
	"holdfast/internal/api/kit"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/identity"
)

const base = "http://cloud.example/identity"

type server struct {
	t       *testing.T
	handler http.Handler
	clock   *clock.Fake
	log     *bytes.Buffer
}

// newServer has two projects: alice writes in one, bob reads in two, root
// administers one. Its randomness is fixed, so that answers can be compared
// whole.
func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, clock: clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC)), log: &bytes.Buffer{}}
	db, err := catalog.Open(t.Context(), catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db"), Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	core := identity.New(identity.Config{DB: db, Clock: s.clock, Rand: rand.NewChaCha8([32]byte{1})})
	grant := func(project, role string) []identity.GrantSpec {
		return []identity.GrantSpec{{Project: project, Roles: []string{role}}}
	}
	err = core.Sync(t.Context(), identity.Spec{
		Projects: []identity.ProjectSpec{{Name: "one"}, {Name: "two"}},
		Users: []identity.UserSpec{
			{Name: "alice", Password: "alice's", Grants: grant("one", "member")},
			{Name: "bob", Password: "bob's", Grants: grant("two", "reader")},
			{Name: "root", Password: "root's", Grants: grant("one", "admin")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.handler, err = face.New(face.Config{
		Identity: core, PublicURL: base, Region: face.Region,
		Services: []face.Service{
			{Type: "identity", Name: "keystone", URL: base},
			{Type: "volumev3", Name: "cinder", URL: "http://cloud.example/volume/v3/{project_id}"},
		},
	}, kit.Env{Log: slog.New(slog.NewTextHandler(s.log, nil)), Clock: s.clock, Rand: rand.NewChaCha8([32]byte{2})})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func loginBody(user, password, scope string) string {
	if scope != "" {
		scope = `,"scope":` + scope
	}
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"domain":{"name":"Default"},"password":%q}}}%s}}`,
		user, password, scope)
}

func scopeTo(project string) string {
	return fmt.Sprintf(`{"project":{"name":%q,"domain":{"id":"default"}}}`, project)
}

// token logs in and returns the secret and the answer.
func (s *server) token(user, project string) (string, map[string]any) {
	s.t.Helper()
	scope := ""
	if project != "" {
		scope = scopeTo(project)
	}
	w := s.do("POST", "/v3/auth/tokens", loginBody(user, user+"'s", scope))
	if w.Code != 201 {
		s.t.Fatalf("login of %s: %d %s", user, w.Code, w.Body)
	}
	return w.Header().Get("X-Subject-Token"), decode(s.t, w)["token"].(map[string]any)
}

func decode(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%q: %v", w.Body, err)
	}
	return v
}

// TestGolden compares whole answers with testdata; UPDATE_GOLDEN=1 writes
// them anew.
func TestGolden(t *testing.T) {
	s := newServer(t)
	root, token := s.token("root", "one")
	userID := token["user"].(map[string]any)["id"].(string)
	for name, do := range map[string]func() *httptest.ResponseRecorder{
		"versions": func() *httptest.ResponseRecorder { return s.do("GET", "/", "") },
		"version":  func() *httptest.ResponseRecorder { return s.do("GET", "/v3/", "") },
		"login": func() *httptest.ResponseRecorder {
			return s.do("GET", "/v3/auth/tokens", "", "X-Auth-Token", root, "X-Subject-Token", root)
		},
		"nocatalog": func() *httptest.ResponseRecorder {
			return s.do("GET", "/v3/auth/tokens?nocatalog", "", "X-Auth-Token", root, "X-Subject-Token", root)
		},
		"catalog":   func() *httptest.ResponseRecorder { return s.do("GET", "/v3/auth/catalog", "", "X-Auth-Token", root) },
		"projects":  func() *httptest.ResponseRecorder { return s.do("GET", "/v3/projects", "", "X-Auth-Token", root) },
		"user":      func() *httptest.ResponseRecorder { return s.do("GET", "/v3/users/"+userID, "", "X-Auth-Token", root) },
		"roles":     func() *httptest.ResponseRecorder { return s.do("GET", "/v3/roles", "", "X-Auth-Token", root) },
		"domains":   func() *httptest.ResponseRecorder { return s.do("GET", "/v3/domains", "", "X-Auth-Token", root) },
		"endpoints": func() *httptest.ResponseRecorder { return s.do("GET", "/v3/endpoints", "", "X-Auth-Token", root) },
		"services":  func() *httptest.ResponseRecorder { return s.do("GET", "/v3/services", "", "X-Auth-Token", root) },
		"refused":   func() *httptest.ResponseRecorder { return s.do("POST", "/v3/auth/tokens", loginBody("root", "x", "")) },
		"not-found": func() *httptest.ResponseRecorder { return s.do("GET", "/v3/nothing", "", "X-Auth-Token", root) },
	} {
		w := do()
		var body bytes.Buffer
		fmt.Fprintf(&body, "HTTP %d\n", w.Code)
		if err := json.Indent(&body, w.Body.Bytes(), "", "  "); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body.WriteByte('\n')
		path := filepath.Join("testdata", name+".json")
		if os.Getenv("UPDATE_GOLDEN") == "1" {
			if err := os.WriteFile(path, body.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if diff := cmp.Diff(string(want), body.String()); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestVersionDocumentsNeedNothing(t *testing.T) {
	s := newServer(t)
	for path, code := range map[string]int{"": 300, "/": 300, "/v3": 200, "/v3/": 200} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != code || w.Header().Get("Location") != "" {
			t.Errorf("%q: %d %v", path, w.Code, w.Header())
		}
	}
}

func TestLoginAnswer(t *testing.T) {
	s := newServer(t)
	w := s.do("POST", "/v3/auth/tokens", loginBody("alice", "alice's", scopeTo("one")))
	if w.Code != 201 || len(w.Header().Get("X-Subject-Token")) != 43 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	token := decode(t, w)["token"].(map[string]any)
	if token["issued_at"] != "2026-03-01T12:00:00.000000Z" || token["expires_at"] != "2026-03-01T13:00:00.000000Z" {
		t.Errorf("times of %v", token)
	}
	project := token["project"].(map[string]any)["id"].(string)
	if body := w.Body.String(); !strings.Contains(body, "http://cloud.example/volume/v3/"+project+`"`) || strings.Contains(body, "{project_id}") {
		t.Errorf("catalog of %s", body)
	}
	if strings.Contains(s.log.String(), w.Header().Get("X-Subject-Token")) || strings.Contains(s.log.String(), "alice's") {
		t.Errorf("the log tells secrets: %s", s.log)
	}
}

func TestUnscoped(t *testing.T) {
	s := newServer(t)
	for _, scope := range []string{"", `"unscoped"`, `{"unscoped":{}}`, `null`} {
		w := s.do("POST", "/v3/auth/tokens", loginBody("alice", "alice's", scope))
		token := decode(t, w)["token"].(map[string]any)
		for _, key := range []string{"project", "roles", "catalog", "is_domain"} {
			if _, ok := token[key]; w.Code != 201 || ok {
				t.Errorf("scope %s: %d, has %s", scope, w.Code, key)
			}
		}
	}
	secret, _ := s.token("alice", "")
	if w := s.do("GET", "/v3/auth/catalog", "", "X-Auth-Token", secret); w.Code != 403 {
		t.Errorf("catalog: %d", w.Code)
	}
	w := s.do("GET", "/v3/auth/projects", "", "X-Auth-Token", secret)
	projects := decode(t, w)["projects"].([]any)
	if len(projects) != 1 || projects[0].(map[string]any)["name"] != "one" {
		t.Errorf("projects: %s", w.Body)
	}
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["token"],"token":{"id":%q}},"scope":%s}}`, secret, scopeTo("one"))
	w = s.do("POST", "/v3/auth/tokens", body)
	token := decode(t, w)["token"].(map[string]any)
	if w.Code != 201 || token["project"] == nil || !cmp.Equal(token["methods"], []any{"token", "password"}) {
		t.Errorf("rescoped: %d %s", w.Code, w.Body)
	}
}

func TestNastyLogins(t *testing.T) {
	s := newServer(t)
	for body, code := range map[string]int{
		``:                                     400,
		`{}`:                                   400,
		`[]`:                                   400,
		`{"auth":null}`:                        400,
		`{"auth":[]}`:                          400,
		`{"auth":{}}`:                          400,
		`{"auth":{"identity":{}}}`:             400,
		`{"auth":{"identity":{"methods":[]}}}`: 400,
		`{"auth":{"identity":{"methods":"password"}}}`:                                                       400,
		`{"auth":{"identity":{"methods":["totp"]}}}`:                                                         401,
		`{"auth":{"identity":{"methods":[1]}}}`:                                                              401,
		`{"auth":{"identity":{"methods":["password","token"]}}}`:                                             401,
		`{"auth":{"identity":{"methods":["password"]}}}`:                                                     400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{}}}}}`:                              400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"password":"x"}}}}}`:                400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"root","password":"x"}}}}}`:  400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"root","password":1}}}}}`:      400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":{"a":1},"password":"x"}}}}}`:   400,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"a\u0000","password":"x"}}}}}`: 400,
		`{"auth":{"identity":{"methods":["token"]}}}`:                                                        400,
		`{"auth":{"identity":{"methods":["token"],"token":{"id":""}}}}`:                                      400,
		`{"auth":{"identity":{"methods":["token"],"token":{"id":"' OR 1=1"}}}}`:                              401,
		loginBody("root", "root's", `{}`):                                                                    400,
		loginBody("root", "root's", `[]`):                                                                    400,
		loginBody("root", "root's", `{"project":{}}`):                                                        400,
		loginBody("root", "root's", `{"project":{"name":"one"}}`):                                            400,
		loginBody("root", "root's", `{"project":{"name":"one","domain":{}}}`):                                400,
		loginBody("root", "root's", `{"system":{"all":true}}`):                                               401,
		loginBody("root", "root's", `{"domain":{"id":"default"}}`):                                           401,
		loginBody("root", "root's", scopeTo("two")):                                                          401,
		loginBody("root", strings.Repeat("x", 5000), ""):                                                     400,
		loginBody(strings.Repeat("x", 300), "x", ""):                                                         400,
	} {
		w := s.do("POST", "/v3/auth/tokens", body)
		e, _ := decode(t, w)["error"].(map[string]any)
		if w.Code != code || e["code"] != float64(code) || e["title"] != http.StatusText(code) || e["message"] == "" {
			t.Errorf("%.120s: %d %s", body, w.Code, w.Body)
		}
		if w.Code == 401 && w.Header().Get("WWW-Authenticate") != `Keystone uri="`+base+`"` {
			t.Errorf("%.120s: %v", body, w.Header())
		}
		if w.Header().Get("X-Subject-Token") != "" {
			t.Errorf("%.120s: a token", body)
		}
	}
}

func TestRefusalsNeverRepeatThePassword(t *testing.T) {
	s := newServer(t)
	for _, body := range []string{
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"id":"hunter2","password":{"hunter2":1}}}}}}`,
		`{"auth":{"identity":{"methods":["password"],"password":"hunter2"}}}`,
		`{"auth":{"identity":{"methods":["password"],"password":{"user":"hunter2"}}}}`,
		loginBody("root", "hunter2", ""),
	} {
		if w := s.do("POST", "/v3/auth/tokens", body); strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %s", body, w.Body)
		}
	}
	if strings.Contains(s.log.String(), "hunter2") {
		t.Errorf("log: %s", s.log)
	}
}

func TestThrottling(t *testing.T) {
	s := newServer(t)
	for range 6 {
		if w := s.do("POST", "/v3/auth/tokens", loginBody("root", "x", "")); w.Code != 401 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	w := s.do("POST", "/v3/auth/tokens", loginBody("root", "root's", ""))
	if w.Code != 429 || w.Header().Get("Retry-After") != "1" || w.Header().Get("X-Subject-Token") != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestOwnersAndAdminsValidate(t *testing.T) {
	s := newServer(t)
	alice, _ := s.token("alice", "one")
	bob, _ := s.token("bob", "two")
	root, _ := s.token("root", "one")
	unscopedRoot, _ := s.token("root", "")
	for _, tc := range []struct {
		name, token, subject string
		code                 int
	}{
		{"own", alice, alice, 200},
		{"another's", alice, bob, 403},
		{"an admin's by another", bob, root, 403},
		{"by an admin", root, bob, 200},
		{"by an admin without scope", unscopedRoot, bob, 403},
		{"unknown", root, "nonsense", 404},
		{"none", root, "", 400},
		{"no token", "", alice, 401},
		{"bad token", "nonsense", alice, 401},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w := s.do(method, "/v3/auth/tokens", "", "X-Auth-Token", tc.token, "X-Subject-Token", tc.subject)
			if w.Code != tc.code {
				t.Errorf("%s %s: %d, want %d: %s", method, tc.name, w.Code, tc.code, w.Body)
			}
			if (w.Header().Get("X-Subject-Token") == tc.subject) != (tc.code == 200) && tc.subject != "" {
				t.Errorf("%s %s: %v", method, tc.name, w.Header())
			}
		}
	}
	if w := s.do("DELETE", "/v3/auth/tokens", "", "X-Auth-Token", alice, "X-Subject-Token", bob); w.Code != 403 {
		t.Errorf("revoke another's: %d", w.Code)
	}
	if w := s.do("DELETE", "/v3/auth/tokens", "", "X-Auth-Token", root, "X-Subject-Token", bob); w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("an admin revokes: %d %s", w.Code, w.Body)
	}
	if w := s.do("GET", "/v3/auth/projects", "", "X-Auth-Token", bob); w.Code != 401 {
		t.Errorf("a revoked token: %d", w.Code)
	}
	if w := s.do("DELETE", "/v3/auth/tokens", "", "X-Auth-Token", alice, "X-Subject-Token", alice); w.Code != 204 {
		t.Errorf("log out: %d", w.Code)
	}
	s.clock.Advance(time.Hour)
	if w := s.do("GET", "/v3/auth/projects", "", "X-Auth-Token", root); w.Code != 401 {
		t.Errorf("an old token: %d", w.Code)
	}
}

func TestLookups(t *testing.T) {
	s := newServer(t)
	root, _ := s.token("root", "one")
	bob, token := s.token("bob", "two")
	me := token["user"].(map[string]any)["id"].(string)
	mine := token["project"].(map[string]any)["id"].(string)
	_, other := s.token("alice", "one")
	hers := other["user"].(map[string]any)["id"].(string)
	count := func(code int, list string, n int) string { return fmt.Sprint(code, " ", list, " ", n) }
	for _, tc := range []struct {
		token, path, want string
	}{
		{root, "/v3/users", count(200, "users", 3)},
		{root, "/v3/users?name=bob", count(200, "users", 1)},
		{root, "/v3/users?name=bob&domain_id=other", count(200, "users", 0)},
		{root, "/v3/users?enabled=False", count(200, "users", 0)},
		{root, "/v3/users/" + me, "200"},
		{root, "/v3/users/bob", "404"},
		{root, "/v3/users/" + me + "/projects", count(200, "projects", 1)},
		{root, "/v3/users/bob/projects", "404"},
		{root, "/v3/projects?name=two", count(200, "projects", 1)},
		{root, "/v3/projects/two", "404"},
		{root, "/v3/projects/a%2Fb", "404"},
		{root, "/v3/roles?name=reader", count(200, "roles", 1)},
		{root, "/v3/roles/reader", "404"},
		{root, "/v3/services?type=volumev3", count(200, "services", 1)},
		{root, "/v3/endpoints?interface=public", count(200, "endpoints", 2)},
		{root, "/v3/domains?name=Default", count(200, "domains", 1)},
		{root, "/v3/domains/default", "200"},
		{root, "/v3/domains/Default", "404"},
		{root, "/v3/auth/domains", count(200, "domains", 0)},
		{root, "/v3/regions", count(200, "regions", 1)},
		{root, "/v3/regions/RegionOne", "200"},
		{bob, "/v3/users", "403"},
		{bob, "/v3/users/" + me, "200"},
		{bob, "/v3/users/" + hers, "403"},
		{bob, "/v3/users/" + me + "/projects", count(200, "projects", 1)},
		{bob, "/v3/users/" + hers + "/projects", "403"},
		{bob, "/v3/projects", "403"},
		{bob, "/v3/projects/" + mine, "200"},
		{bob, "/v3/projects/0", "403"},
		{bob, "/v3/roles", "403"},
		{bob, "/v3/services", "403"},
		{bob, "/v3/endpoints", "403"},
		{bob, "/v3/domains", "403"},
		{"", "/v3/users", "401"},
	} {
		w := s.do("GET", tc.path, "", "X-Auth-Token", tc.token)
		got := fmt.Sprint(w.Code)
		for key, v := range decode(t, w) {
			if items, ok := v.([]any); ok {
				got = count(w.Code, key, len(items))
			}
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s: %s", tc.path, got, tc.want, w.Body)
		}
	}
	for _, path := range []string{"/v3/users", "/v3/projects", "/v3/roles"} {
		if w := s.do("POST", path, `{}`, "X-Auth-Token", root); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d %v", path, w.Code, w.Header())
		}
	}
}

// The ids of things without rows are the same in every process, and differ.
func TestFixedIDs(t *testing.T) {
	var seen [2][]string
	for i := range seen {
		s := newServer(t)
		root, _ := s.token("root", "one")
		for _, list := range []string{"roles", "services", "endpoints"} {
			w := s.do("GET", "/v3/"+list, "", "X-Auth-Token", root)
			for _, item := range decode(t, w)[list].([]any) {
				seen[i] = append(seen[i], item.(map[string]any)["id"].(string))
			}
		}
	}
	if diff := cmp.Diff(seen[0], seen[1]); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
	slices.Sort(seen[0])
	if n := len(slices.Compact(seen[0])); n != len(seen[1]) {
		t.Errorf("%d different of %d", n, len(seen[1]))
	}
}

func FuzzLogin(f *testing.F) {
	f.Add([]byte(loginBody("root", "x", scopeTo("one"))))
	f.Add([]byte(loginBody("root", "x", `{"unscoped":{}}`)))
	f.Add([]byte(`{"auth":{"identity":{"methods":["token"],"token":{"id":"x"}},"scope":{"system":{"all":true}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		body, err := kit.Decode(raw)
		if err != nil {
			return
		}
		c, err := face.DecodeLogin(body)
		if err != nil {
			return
		}
		user := c.User.ID != "" || c.User.Name != "" && (c.User.DomainID != "" || c.User.DomainName != "")
		if user == (c.Token != "") || len(c.Password) > identity.MaxPassword || c.Scope.Elsewhere && c.Scope.Project != nil {
			t.Errorf("%q: accepted as %+v", raw, c)
		}
	})
}
