package kit

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Prefixes serves several handlers under one address: each under a path
// prefix such as "/volume", which is taken off before it sees the request.
// The longest prefix wins; a prefix ends where a segment ends. What no prefix
// takes goes to the one under "/", if there is one, with its whole path.
type Prefixes map[string]http.Handler

// Handler returns the handler of all.
func (p Prefixes) Handler() http.Handler {
	var order []string
	for prefix := range p {
		if prefix != "/" {
			order = append(order, prefix)
		}
	}
	slices.SortFunc(order, func(a, b string) int { return len(b) - len(a) })
	rest := p["/"]
	if rest == nil {
		rest = notFound{}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		for _, prefix := range order {
			tail, ok := strings.CutPrefix(path, prefix)
			if ok && (tail == "" || tail[0] == '/') {
				p[prefix].ServeHTTP(w, withPath(r, tail))
				return
			}
		}
		rest.ServeHTTP(w, r)
	})
}

// withPath returns the request with another path, in its escaped form.
func withPath(r *http.Request, escaped string) *http.Request {
	decoded, err := url.PathUnescape(escaped)
	if err != nil {
		// The server has parsed the whole of it already, so a part parses too.
		decoded = escaped
	}
	u := *r.URL
	u.Path, u.RawPath = decoded, escaped
	out := *r
	out.URL = &u
	return &out
}

type notFound struct{}

func (notFound) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	body := RenderError(&Fault{Code: http.StatusNotFound, Message: textNotFound, Title: http.StatusText(http.StatusNotFound)})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(body)
}

// Entry is one line of the list of faces.
type Entry struct {
	Name string `json:"name"` // "block-storage"
	URL  string `json:"url"`  // the public address of its version documents
}

// IndexRoutes returns the routes of a face that lists the others: GET of the
// root answers {"faces":[…]}.
func IndexRoutes(entries []Entry) []Route {
	body := map[string][]Entry{"faces": append([]Entry{}, entries...)}
	return []Route{{
		Method: http.MethodGet, Public: true,
		Handler: func(w http.ResponseWriter, _ *Request) error { return WriteJSON(w, http.StatusOK, body) },
	}}
}
