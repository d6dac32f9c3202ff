package kit

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Handler answers one route. It either writes a whole answer and returns
// nil, or writes nothing and returns an error, which becomes the face's
// fault.
type Handler func(w http.ResponseWriter, r *Request) error

// Route is one row of a face's table.
type Route struct {
	Method string
	// Pattern is a path relative to the face's root, without leading or
	// trailing slash: literal segments and parameters, as in
	// "v3/backups/{id}/restore". The empty pattern is the root.
	Pattern string
	// Public routes are served without a token and whatever version is
	// asked for: version documents and logins.
	Public bool
	// Since is the microversion that brought the route; an older one is
	// answered as if the path did not exist.
	Since   Version
	Handler Handler
}

// maxSegments bounds the work that a path can cause.
const maxSegments = 24

// table finds routes. A literal segment is preferred to a parameter, but a
// more literal match that lacks the method gives way to a less literal one
// that has it, so that "DELETE backups/detail" deletes the backup that is
// called so.
type table struct {
	root node
}

type node struct {
	literal map[string]*node
	param   *node
	routes  map[string]*leaf // by method
}

type leaf struct {
	Route
	params []string
}

// newTable returns a table of routes. Two routes with the same method and
// shape, a malformed pattern and a missing handler are errors.
func newTable(routes []Route) (*table, error) {
	t := &table{}
	for _, r := range routes {
		if err := t.add(r); err != nil {
			return nil, fmt.Errorf("route %s %q: %w", r.Method, r.Pattern, err)
		}
	}
	return t, nil
}

func (t *table) add(r Route) error {
	if r.Handler == nil || r.Method == "" {
		return fmt.Errorf("no method or no handler")
	}
	at, params := &t.root, []string(nil)
	for _, seg := range patternSegments(r.Pattern) {
		switch {
		case seg == "":
			return fmt.Errorf("empty segment")
		case strings.HasPrefix(seg, "{") && strings.HasSuffix(seg, "}") && len(seg) > 2:
			if at.param == nil {
				at.param = &node{}
			}
			at, params = at.param, append(params, seg[1:len(seg)-1])
		default:
			next := at.literal[seg]
			if next == nil {
				next = &node{}
				if at.literal == nil {
					at.literal = map[string]*node{}
				}
				at.literal[seg] = next
			}
			at = next
		}
	}
	if at.routes[r.Method] != nil {
		return fmt.Errorf("defined twice")
	}
	if at.routes == nil {
		at.routes = map[string]*leaf{}
	}
	at.routes[r.Method] = &leaf{Route: r, params: params}
	return nil
}

func patternSegments(pattern string) []string {
	if pattern == "" {
		return nil
	}
	return strings.Split(pattern, "/")
}

// match is what a path led to.
type match struct {
	leaf   *leaf    // nil: nothing answers this method here
	values []string // of the leaf's parameters
	allow  []string // methods that the path has, sorted; empty: no such path
}

// find looks a path up. The segments are decoded already.
func (t *table) find(method string, segments []string) match {
	var m match
	t.root.walk(method, segments, make([]string, 0, 4), &m)
	slices.Sort(m.allow)
	m.allow = slices.Compact(m.allow)
	return m
}

func (n *node) walk(method string, segments, values []string, m *match) bool {
	if len(segments) == 0 {
		return n.take(method, values, m)
	}
	if next := n.literal[segments[0]]; next != nil && next.walk(method, segments[1:], values, m) {
		return true
	}
	// An empty segment fills no parameter: "backups//restore" is no path.
	if n.param == nil || segments[0] == "" {
		return false
	}
	return n.param.walk(method, segments[1:], append(values, segments[0]), m)
}

func (n *node) take(method string, values []string, m *match) bool {
	l := n.routes[method]
	if l == nil && method == http.MethodHead {
		l = n.routes[http.MethodGet]
	}
	if l != nil {
		m.leaf, m.values = l, slices.Clone(values)
		return true
	}
	for known := range n.routes {
		m.allow = append(m.allow, known)
		if known == http.MethodGet {
			m.allow = append(m.allow, http.MethodHead)
		}
	}
	return false
}

// splitPath cuts an escaped path into decoded segments: slashes that are
// percent-encoded stay inside their segment. One trailing slash is dropped.
// It reports false for a path that no resource can have: undecodable, not
// UTF-8, with a NUL, or too deep.
func splitPath(escaped string) ([]string, bool) {
	if escaped == "" || escaped == "/" {
		return nil, true
	}
	escaped = strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/")
	if strings.Count(escaped, "/") >= maxSegments {
		return nil, false
	}
	segments := strings.Split(escaped, "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil || !cleanText(decoded) {
			return nil, false
		}
		segments[i] = decoded
	}
	return segments, true
}

// cleanText reports whether a string from outside can be stored and compared
// on every database: valid UTF-8 without NUL.
func cleanText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}
