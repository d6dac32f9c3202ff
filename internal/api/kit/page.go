package kit

import (
	"maps"
	"math"
	"net/url"
	"strconv"
	"strings"

	"holdfast/internal/backup"
)

// MaxPage is the most items of one page, and how many there are where the
// request names no limit.
const MaxPage = 1000

// Page is which part of a list a request asks for.
type Page struct {
	Limit  int // 0…MaxPage
	Offset int
	Marker string // id of the last item of the page before; empty: from the start
}

// Page reads limit, offset and marker. Larger limits are cut to MaxPage.
func (r *Request) Page() (Page, error) {
	limit, err := count(r.query, "limit", MaxPage)
	if err != nil {
		return Page{}, err
	}
	offset, err := count(r.query, "offset", 0)
	if err != nil {
		return Page{}, err
	}
	return Page{Limit: min(limit, MaxPage), Offset: offset, Marker: r.query.Get("marker")}, nil
}

// count reads a number that is not negative; larger than an int32 counts as
// the largest.
func count(q url.Values, name string, absent int) (int, error) {
	if !q.Has(name) {
		return absent, nil
	}
	text := strings.TrimSpace(q.Get(name))
	if !digits.MatchString(text) {
		return 0, backup.Errorf(backup.Invalid, "%s param must be an integer", name)
	}
	// ParseInt answers out of range with the nearest end.
	n, _ := strconv.ParseInt(text, 10, 64)
	if n < 0 {
		return 0, backup.Errorf(backup.Invalid, "%s param must be positive", name)
	}
	return int(min(n, math.MaxInt32)), nil
}

// Link is a reference in an answer.
type Link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
	Type string `json:"type,omitempty"`
}

// NextLinks returns the links to the page after this one: one link where the
// page is full, with the request's query and the last item as marker, else
// none. self is the list's own address without query; n is how many items
// this page has.
func (r *Request) NextLinks(p Page, self, lastID string, n int) []Link {
	if n == 0 || n < p.Limit {
		return nil
	}
	q := maps.Clone(r.query)
	q.Set("marker", lastID)
	// The offset has been taken; with the marker it would count twice.
	q.Del("offset")
	return []Link{{Rel: "next", Href: self + "?" + q.Encode()}}
}

// SortKey is one key of an order.
type SortKey struct {
	Field string
	Desc  bool
}

// maxSortKeys bounds an order; no client needs more.
const maxSortKeys = 8

// Sort reads the order that a request asks for: sort=key:dir,key2 or sort_key
// and sort_dir. Directions default to desc. Empty: none was asked for.
func (r *Request) Sort() ([]SortKey, error) {
	q := r.query
	if q.Has("sort") {
		if q.Has("sort_key") || q.Has("sort_dir") {
			return nil, backup.Errorf(backup.Invalid, "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.")
		}
		return sortKeys(strings.Split(q.Get("sort"), ","))
	}
	if !q.Has("sort_key") && !q.Has("sort_dir") {
		return nil, nil
	}
	field, dir := strings.TrimSpace(q.Get("sort_key")), strings.TrimSpace(q.Get("sort_dir"))
	if field == "" {
		field = "created_at"
	}
	return sortKeys([]string{field + ":" + dir})
}

func sortKeys(specs []string) ([]SortKey, error) {
	var keys []SortKey
	for _, spec := range specs {
		field, dir, _ := strings.Cut(strings.TrimSpace(spec), ":")
		if field == "" {
			continue
		}
		if dir != "" && dir != "asc" && dir != "desc" {
			return nil, backup.Errorf(backup.Invalid, "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
		}
		keys = append(keys, SortKey{Field: field, Desc: dir != "asc"})
	}
	if len(keys) > maxSortKeys {
		return nil, backup.Errorf(backup.Invalid, "Invalid input received: too many sort keys.")
	}
	return keys, nil
}

// QueryBool reads a boolean of the query; absent is false.
func (r *Request) QueryBool(name string) (bool, error) {
	if !r.query.Has(name) {
		return false, nil
	}
	v, ok := ParseBool(r.query.Get(name))
	if !ok {
		return false, backup.Errorf(backup.Invalid, "%s must be a boolean, got '%s'.", name, clip(r.query.Get(name), 64))
	}
	return v, nil
}
