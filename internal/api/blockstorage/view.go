package blockstorage

import (
	"time"

	"holdfast/internal/api/kit"
)

// object is a JSON object of an answer. The keys of those that clients'
// schemas close depend on version and role, which no struct can say when
// null and absent are different things.
type object map[string]any

// view shows resources as one request may see them.
type view struct {
	version kit.Version
	admin   bool
	base    string // the face's public root
	project string // as in the request's path; empty: it had none
	host    string // where volumes live
	typeIDs map[string]string
}

func (f *face) view(r *kit.Request) view {
	return view{
		version: r.Version, admin: f.svc.MayAdmin(r.Caller),
		base: f.base, project: r.Project, host: f.volumeHost,
	}
}

// self returns the address of a path of this version of the API. It names
// the project if the request's path did.
func (v view) self(path ...string) string {
	root := kit.Join(v.base, "v3")
	if v.project != "" {
		root = kit.Join(root, v.project)
	}
	return kit.Join(root, path...)
}

func (v view) links(collection, id string) []kit.Link {
	root := v.base
	if v.project != "" {
		root = kit.Join(root, v.project)
	}
	return []kit.Link{
		{Rel: "self", Href: v.self(collection, id)},
		{Rel: "bookmark", Href: kit.Join(root, collection, id)},
	}
}

// timestamp shows a time as Cinder does: UTC, always six digits, no zone.
// Clients' parsers take nothing else.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

func timestampOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return timestamp(t)
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
