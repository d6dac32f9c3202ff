package blockstorage

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/service"
)

// filter is a key of a list's query that anyone may filter by, from a
// version on.
type filter struct {
	key   string
	since kit.Version
}

// collection says how one kind of resource is listed.
type collection struct {
	name    string // in paths and envelopes
	where   situation
	filters []filter
	sorts   []string
	// sortName is the version from which "name" is a key to sort by; older
	// ones call it "display_name".
	sortName kit.Version
}

var (
	volumeCollection = collection{
		name: "volumes", where: inVolumeList,
		filters: []filter{
			{key: "name"},
			{key: "status"},
			{key: "metadata"},
			{key: "bootable"},
			{key: "migration_status"},
			{key: "availability_zone"},
			{key: "size"},
			{key: "consumes_quota", since: consumesQuota},
		},
		sorts: []string{"id", "created_at", "updated_at", "status", "size", "availability_zone", "bootable"},
	}
	snapshotCollection = collection{
		name: "snapshots", where: inSnapshotList,
		filters: []filter{
			{key: "name"},
			{key: "status"},
			{key: "volume_id"},
			{key: "metadata", since: snapshotMetaFilter},
			{key: "consumes_quota", since: consumesQuota},
		},
		sorts:    []string{"id", "created_at", "updated_at", "status", "volume_id"},
		sortName: snapshotSortName,
	}
	backupCollection = collection{
		name: "backups", where: inBackupList,
		filters:  []filter{{key: "name"}, {key: "status"}, {key: "volume_id"}},
		sorts:    []string{"id", "created_at", "updated_at", "status", "size", "volume_id"},
		sortName: backupSortName,
	}
)

// Keys of a list's query that filter nothing.
var listKeys = []string{"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "all_tenants"}

// list reads a list's query.
func (f *face) list(r *kit.Request, c collection) (service.List, kit.Page, error) {
	page, err := r.Page()
	if err != nil {
		return service.List{}, page, err
	}
	l := service.List{Limit: page.Limit, Offset: page.Offset, Marker: page.Marker}
	if l.AllProjects, err = r.QueryBool("all_tenants"); err != nil {
		return l, page, err
	}
	if r.Version.AtLeast(listCount) {
		if l.Count, err = r.QueryBool("with_count"); err != nil {
			return l, page, err
		}
	}
	if l.Sort, err = c.order(r); err != nil {
		return l, page, err
	}
	l.Filters, err = c.filter(r, f.svc.MayAdmin(r.Caller))
	return l, page, err
}

func (c collection) order(r *kit.Request) ([]service.Sort, error) {
	keys, err := r.Sort()
	if err != nil {
		return nil, err
	}
	var sorts []service.Sort
	for _, k := range keys {
		field := k.Field
		switch {
		case field == "display_name", field == "name" && r.Version.AtLeast(c.sortName):
			field = "name"
		case !slices.Contains(c.sorts, field):
			return nil, badRequest("Invalid input received: Invalid sort key")
		}
		sorts = append(sorts, service.Sort{Field: field, Desc: k.Desc})
	}
	return sorts, nil
}

// filter reads what the query filters by. Keys that the caller may not use
// are dropped before 3.31 and refused from then on; an admin may use any.
func (c collection) filter(r *kit.Request, admin bool) ([]service.Filter, error) {
	var filters []service.Filter
	var refused []string
	for _, key := range sortedKeys(r.Query()) {
		switch {
		case slices.Contains(listKeys, key), key == "with_count" && r.Version.AtLeast(listCount):
		case !admin && !c.offers(key, r.Version):
			refused = append(refused, key)
		default:
			fs, err := translate(key, r.Query().Get(key))
			if err != nil {
				return nil, err
			}
			filters = append(filters, fs...)
		}
	}
	if len(refused) > 0 && r.Version.AtLeast(strictFilters) {
		return nil, badRequest("Invalid filters %s are found in query options.", clip(strings.Join(refused, ",")))
	}
	return filters, nil
}

func (c collection) offers(key string, v kit.Version) bool {
	return slices.ContainsFunc(c.filters, func(f filter) bool { return f.key == key && v.AtLeast(f.since) })
}

// translate turns one filter of the query into the service's.
func translate(key, value string) ([]service.Filter, error) {
	switch key {
	case "metadata":
		pairs, ok := parseDict(value)
		if !ok {
			return nil, badRequest("Invalid input received: metadata filter %s is no dictionary of strings.", clip(value))
		}
		var fs []service.Filter
		for _, k := range sortedKeys(pairs) {
			fs = append(fs, service.Filter{Field: "metadata", Key: k, Values: []string{pairs[k]}})
		}
		return fs, nil
	case "bootable":
		b, ok := kit.ParseBool(value)
		if !ok {
			return nil, badRequest("Invalid input received: bootable={'%s'}", clip(value))
		}
		return []service.Filter{{Field: key, Values: []string{strconv.FormatBool(b)}}}, nil
	case "consumes_quota":
		b, ok := kit.ParseBool(value)
		if !ok {
			return nil, badRequest("Value '%s' for 'consumes_quota' is not a boolean.", clip(value))
		}
		if b { // as everything here does
			return nil, nil
		}
	case "display_name":
		key = "name"
	}
	return []service.Filter{{Field: key, Values: []string{value}}}, nil
}

// listing answers a page of a list: its items as show shows them, the link
// to the next page and, if it was asked for, the count of all.
func listing[T any](v view, r *kit.Request, l listed[T]) object {
	items := make([]object, 0, len(l.page.Items))
	for _, item := range l.page.Items {
		items = append(items, l.show(item))
	}
	answer := object{l.of.name: items}
	if n := len(l.page.Items); n > 0 {
		self := v.self(append([]string{l.of.name}, l.path...)...)
		if next := r.NextLinks(l.asked, self, l.id(l.page.Items[n-1]), n); len(next) > 0 {
			answer[l.of.name+"_links"] = next
		}
	}
	if l.count {
		answer["count"] = l.page.Count
	}
	return answer
}

// listed is a page with what its answer is made by.
type listed[T any] struct {
	of    collection
	path  []string // below the collection: "detail", or nothing
	asked kit.Page
	page  service.Page[T]
	count bool
	show  func(T) object
	id    func(T) string
}

func volumeID(v backup.Volume) string     { return v.ID }
func snapshotID(s backup.Snapshot) string { return s.ID }
func backupID(b backup.Backup) string     { return b.ID }

// sortedKeys returns a map's keys in order, so that equal requests are
// answered alike.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
