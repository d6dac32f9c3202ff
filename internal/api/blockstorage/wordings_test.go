package blockstorage

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/clock"
)

// serve answers a request with a face that has this face's faults and
// microversions, and these routes.
func serve(t testing.TB, routes []kit.Route, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	face := New(Config{BaseURL: "https://cloud.example/volume"})
	face.Auth, face.Scoped, face.Routes = nil, false, routes
	h, err := kit.New(face, kit.Env{Log: slog.New(slog.DiscardHandler), Clock: clock.Real{}, Rand: zeros{}})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// failing answers a request with an error.
func failing(t testing.TB, err error) *httptest.ResponseRecorder {
	t.Helper()
	handler := func(http.ResponseWriter, *kit.Request) error { return err }
	return serve(t, []kit.Route{{Method: http.MethodGet, Pattern: "v3/x", Handler: handler}},
		httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v3/x", nil))
}

// arguments are values for every argument that a rule may have.
func arguments(k broken) map[string]string {
	return map[string]string{
		"id": "ID", "rule": "backup:create", "status": "creating", "action": cmp.Or(k.variant, "ACTION"), "source": "",
		"volume_id": "VOLUME", "snapshot_volume_id": "OTHER", "size": "1", "backup_size": "2", "source_size": "2",
		"current": "3", "limit": "10", "requested": "4", "used": "8", "keys": "a,b", "resource": "backups",
		situationArg: string(k.where),
	}
}

// Each row of the table, as a client sees it.
func TestWordings(t *testing.T) {
	rows := slices.SortedFunc(maps.Keys(wordings), func(a, b broken) int {
		return cmp.Or(cmp.Compare(a.reason, b.reason), cmp.Compare(a.variant, b.variant), cmp.Compare(a.where, b.where))
	})
	place := regexp.MustCompile(`\{[a-z_]+\}`)
	var got bytes.Buffer
	for _, k := range rows {
		w := failing(t, &backup.Error{Kind: backup.Internal, Reason: k.reason, Args: arguments(k), Message: "SECRET"})
		row := slices.DeleteFunc([]string{string(k.reason), k.variant, string(k.where)}, func(s string) bool { return s == "" })
		fmt.Fprintf(&got, "%s\n", strings.Join(row, " / "))
		if after := w.Header().Get("Retry-After"); after != "" {
			fmt.Fprintf(&got, "\tRetry-After: %s\n", after)
		}
		fmt.Fprintf(&got, "\t%d %s\n", w.Code, w.Body)
		if place.Match(w.Body.Bytes()) {
			t.Errorf("%v: a place was not filled: %s", k, w.Body)
		}
	}
	const path = "testdata/wordings.txt"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// A rule that the service can break has words here.
func TestEveryReasonHasWords(t *testing.T) {
	known := map[backup.Reason]bool{
		backup.KeyNotFound:    true, // worded by the metadata routes, which know of what
		backup.MarkerNotFound: true, // worded by the list that it is of
	}
	for k := range wordings {
		if k.variant == "" && k.where == "" {
			known[k.reason] = true
		}
	}
	variants := map[backup.Reason]bool{backup.SizeTooSmall: true} // always says of what
	for _, reason := range reasons(t) {
		if !known[reason] && !variants[reason] {
			t.Errorf("%q has no words", reason)
		}
	}
}

// reasons reads the constants of the package that declares them.
func reasons(t *testing.T) []backup.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../backup/reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []backup.Reason
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, backup.Reason(text))
		}
		return true
	})
	if len(all) < 30 {
		t.Fatalf("found only %d reasons", len(all))
	}
	return all
}

// What has no row falls back to its kind, and what is not the caller's to
// know stays untold.
func TestKinds(t *testing.T) {
	for kind, want := range map[backup.Kind]struct {
		code int
		name string
		tell bool
	}{
		backup.Invalid:     {400, "badRequest", true},
		backup.Conflict:    {400, "badRequest", true},
		backup.Forbidden:   {403, "forbidden", true},
		backup.NotFound:    {404, "itemNotFound", true},
		backup.OverQuota:   {413, "overLimit", true},
		backup.Internal:    {500, "computeFault", false},
		backup.Corrupt:     {500, "computeFault", false},
		backup.Unavailable: {503, "serviceUnavailable", false},
	} {
		w := failing(t, fmt.Errorf("do it: %w", &backup.Error{Kind: kind, Message: "the reason"}))
		if w.Code != want.code || !strings.HasPrefix(w.Body.String(), `{"`+want.name+`":{`) {
			t.Errorf("%s: got %d %s, want %d %s", kind, w.Code, w.Body, want.code, want.name)
		}
		if told := strings.Contains(w.Body.String(), "the reason"); told != want.tell {
			t.Errorf("%s: reason told is %t: %s", kind, told, w.Body)
		}
	}
	if w := failing(t, io.ErrUnexpectedEOF); w.Code != 500 || strings.Contains(w.Body.String(), "EOF") {
		t.Errorf("unknown error: got %d %s", w.Code, w.Body)
	}
}

// An error keeps its cause and its words when it is told where it happened.
func TestSituationKeepsTheError(t *testing.T) {
	cause := &backup.Error{Kind: backup.NotFound, Reason: backup.MarkerNotFound, Args: map[string]string{"id": "X"}}
	err := in(inBackupList, fmt.Errorf("list: %w", cause))
	if backup.KindOf(err) != backup.NotFound || backup.ReasonOf(err) != backup.MarkerNotFound {
		t.Errorf("got kind %s, reason %q", backup.KindOf(err), backup.ReasonOf(err))
	}
	if len(cause.Args) != 1 {
		t.Errorf("the service's own error was changed: %v", cause.Args)
	}
	if in(inBackupList, nil) != nil || in(inBackupList, io.EOF) != io.EOF {
		t.Error("an error that is not the service's was changed")
	}
}
