package kit_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/api/kit"
)

// pageOf answers with what the kit read from a query.
func pageOf(t *testing.T, query string) (int, string) {
	t.Helper()
	h := newHarness(t, func(f *kit.Face, _ *kit.Env) {
		f.Routes = append(f.Routes, kit.Route{Method: "GET", Pattern: "page", Public: true, Handler: func(w http.ResponseWriter, r *kit.Request) error {
			p, err := r.Page()
			if err != nil {
				return err
			}
			keys, err := r.Sort()
			if err != nil {
				return err
			}
			all, err := r.QueryBool("all_tenants")
			if err != nil {
				return err
			}
			return kit.WriteJSON(w, 200, []any{p, keys, all, r.NextLinks(p, "http://cloud.example/v3/backups", "last", min(2, p.Limit))})
		}})
	})
	w := h.do("GET", "/page?"+query, "")
	return w.Code, w.Body.String()
}

func TestPaging(t *testing.T) {
	for _, tc := range []struct {
		query string
		code  int
		want  string
	}{
		{"", 200, `[{"Limit":1000,"Offset":0,"Marker":""},null,false,null]`},
		{"limit=0", 200, `[{"Limit":0,"Offset":0,"Marker":""},null,false,null]`},
		{"limit=3", 200, `[{"Limit":3,"Offset":0,"Marker":""},null,false,null]`},
		{
			"limit=2&name=a%26b&offset=4&marker=m", 200,
			`[{"Limit":2,"Offset":4,"Marker":"m"},null,false,[{"rel":"next","href":"http://cloud.example/v3/backups?limit=2&marker=last&name=a%26b"}]]`,
		},
		{"limit=99999999999999999999", 200, `[{"Limit":1000,"Offset":0,"Marker":""},null,false,null]`},
		{"limit=x", 400, "limit param must be an integer"},
		{"limit=", 400, "limit param must be an integer"},
		{"limit=-1", 400, "limit param must be positive"},
		{"offset=1.5", 400, "offset param must be an integer"},
		{"offset=-5", 400, "offset param must be positive"},
		{"sort=name:asc,size", 200, `[{"Limit":1000,"Offset":0,"Marker":""},[{"Field":"name","Desc":false},{"Field":"size","Desc":true}],false,null]`},
		{"sort_key=name&sort_dir=asc", 200, `[{"Limit":1000,"Offset":0,"Marker":""},[{"Field":"name","Desc":false}],false,null]`},
		{"sort=name:up", 400, "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'."},
		{"sort=name&sort_key=id", 400, "cannot be used with the 'sort' parameter."},
		{"sort=" + strings.Repeat("a,", 50), 400, "too many sort keys"},
		{"all_tenants=True", 200, `[{"Limit":1000,"Offset":0,"Marker":""},null,true,null]`},
		{"all_tenants=x", 400, "all_tenants must be a boolean, got 'x'."},
	} {
		code, body := pageOf(t, tc.query)
		if code != tc.code || code == 200 && body != tc.want || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %s", tc.query, code, body)
		}
	}
}

func TestPrefixes(t *testing.T) {
	show := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(name + " " + r.URL.EscapedPath() + " " + r.URL.RawQuery))
		})
	}
	h := kit.Prefixes{"/": show("root"), "/volume": show("volume"), "/volume/deep": show("deep")}.Handler()
	got := map[string]string{}
	paths := []string{"/", "/volume", "/volume/", "/volume/v3/a%2Fb?x=1", "/volumes", "/volume/deep/x", "/volume%2Fv3", "/x"}
	for _, p := range paths {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", p, nil))
		got[p] = w.Body.String()
	}
	want := map[string]string{
		"/": "root / ", "/volume": "volume  ", "/volume/": "volume / ", "/volume/v3/a%2Fb?x=1": "volume /v3/a%2Fb x=1",
		"/volumes": "root /volumes ", "/volume/deep/x": "deep /x ", "/volume%2Fv3": "root /volume%2Fv3 ", "/x": "root /x ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w := httptest.NewRecorder()
	kit.Prefixes{}.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/x", nil))
	if w.Code != 404 {
		t.Errorf("no prefix: %d", w.Code)
	}
}

func TestIndex(t *testing.T) {
	h := newHarness(t, func(f *kit.Face, _ *kit.Env) {
		f.Routes = kit.IndexRoutes([]kit.Entry{{Name: "identity", URL: "http://cloud.example/identity"}})
	})
	if w := h.do("GET", "/", ""); w.Body.String() != `{"faces":[{"name":"identity","url":"http://cloud.example/identity"}]}` {
		t.Errorf("got %s", w.Body)
	}
}

func TestJoin(t *testing.T) {
	for _, parts := range [][]string{{"http://x/volume/", "/v3/", "b/"}, {"http://x/volume", "v3", "b/"}} {
		if got := kit.Join(parts[0], parts[1:]...); got != "http://x/volume/v3/b/" {
			t.Errorf("%q: %s", parts, got)
		}
	}
}
