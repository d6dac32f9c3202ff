package catalog_test

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
)

// sortKeys are fields that volumes can be sorted by, and how.
var sortKeys = map[string]func(a, b backup.Volume) int{
	"id":         func(a, b backup.Volume) int { return cmp.Compare(a.ID, b.ID) },
	"name":       func(a, b backup.Volume) int { return cmp.Compare(a.Name, b.Name) },
	"size":       func(a, b backup.Volume) int { return cmp.Compare(a.SizeGiB, b.SizeGiB) },
	"created_at": func(a, b backup.Volume) int { return a.CreatedAt.Compare(b.CreatedAt) },
	"updated_at": func(a, b backup.Volume) int { return a.UpdatedAt.Compare(b.UpdatedAt) },
	"bootable": func(a, b backup.Volume) int {
		return cmp.Compare(strconv.FormatBool(a.Bootable), strconv.FormatBool(b.Bootable))
	},
	"status": func(a, b backup.Volume) int { return cmp.Compare(a.Status, b.Status) },
}

var (
	words   = []string{"", "a", "b", `"`, `a":"b`, `,"a":"b"`, `\`, "{", "é", "A", "%", "_", "'"}
	names   = rapid.SampledFrom([]string{"", "a", "b", "ab", "c"})
	values  = rapid.SampledFrom(words)
	maps    = rapid.MapOfN(values, values, 0, 3)
	fields  = rapid.SampledFrom([]string{"name", "size", "bootable", "status", "metadata", "id", "created_at", "nonsense"})
	seconds = rapid.Int64Range(0, 3)
)

var volumes = rapid.Custom(func(t *rapid.T) backup.Volume {
	v := backup.Volume{
		ProjectID: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "project"),
		Name:      names.Draw(t, "name"),
		Status:    rapid.SampledFrom([]backup.Status{backup.Available, backup.Errored, backup.Deleted}).Draw(t, "status"),
		SizeGiB:   seconds.Draw(t, "size"),
		Bootable:  rapid.Bool().Draw(t, "bootable"),
		Metadata:  maps.Draw(t, "metadata"),
		CreatedAt: start.Add(time.Duration(seconds.Draw(t, "created")) * time.Second),
	}
	if n := seconds.Draw(t, "updated"); n > 0 {
		v.UpdatedAt = start.Add(time.Duration(n) * time.Second)
	}
	return v
})

var queries = rapid.Custom(func(t *rapid.T) catalog.Query {
	q := catalog.Query{
		Project: rapid.SampledFrom([]string{"", "p", "q", "r"}).Draw(t, "project"),
		Limit:   rapid.IntRange(1, 4).Draw(t, "limit"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "filters") {
		f := catalog.Filter{Field: fields.Draw(t, "field"), Key: values.Draw(t, "key")}
		f.Values = rapid.SliceOfN(rapid.OneOf(values, rapid.SampledFrom([]string{
			"0", "1", "true", "False", "available", "error", "deleted", "id-1",
		})), 0, 3).Draw(t, "values")
		q.Filters = append(q.Filters, f)
	}
	for range rapid.IntRange(0, 3).Draw(t, "sorts") {
		q.Sort = append(q.Sort, catalog.Sort{
			Field: rapid.SampledFrom([]string{"id", "name", "size", "created_at", "updated_at", "bootable", "status"}).Draw(t, "key"),
			Desc:  rapid.Bool().Draw(t, "desc"),
		})
	}
	return q
})

// expected is what a query without paging must return.
func expected(all []backup.Volume, q catalog.Query) []backup.Volume {
	var out []backup.Volume
	for _, v := range all {
		if v.Status == backup.Deleted || q.Project != "" && v.ProjectID != q.Project {
			continue
		}
		if !slices.ContainsFunc(q.Filters, func(f catalog.Filter) bool { return !matches(v, f) }) {
			out = append(out, v)
		}
	}
	sorts := q.Sort
	if len(sorts) == 0 {
		sorts = []catalog.Sort{{Field: "created_at", Desc: true}}
	}
	sorts = append(slices.Clone(sorts), catalog.Sort{Field: "id", Desc: sorts[len(sorts)-1].Desc})
	slices.SortFunc(out, func(a, b backup.Volume) int {
		for _, s := range sorts {
			if c := sortKeys[s.Field](a, b); c != 0 && s.Desc {
				return -c
			} else if c != 0 {
				return c
			}
		}
		return 0
	})
	return out
}

func matches(v backup.Volume, f catalog.Filter) bool {
	return slices.ContainsFunc(f.Values, func(s string) bool {
		switch f.Field {
		case "name":
			return v.Name == s
		case "id":
			return v.ID == s
		case "status":
			return string(v.Status) == s
		case "size":
			return strconv.FormatInt(v.SizeGiB, 10) == s
		case "bootable":
			return map[string]bool{"true": true, "1": true}[s] && v.Bootable ||
				map[string]bool{"False": true, "0": true}[s] && !v.Bootable
		case "metadata":
			got, ok := v.Metadata[f.Key]
			return ok && got == s
		}
		return false
	})
}

// Any query, walked page by page by its markers, returns what a sort and a
// filter in memory do.
func TestQueries(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		rapid.Check(t, func(rt *rapid.T) {
			all := rapid.SliceOfN(volumes, 0, 12).Draw(rt, "volumes")
			for i := range all {
				all[i].ID = fmt.Sprintf("id-%d", i)
			}
			update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				if _, err := tx.Exec(ctx, "DELETE FROM volumes"); err != nil {
					return err
				}
				for _, v := range all {
					if err := tx.InsertVolume(ctx, v); err != nil {
						return err
					}
				}
				return nil
			})
			for range 4 {
				checkQuery(t, rt, db, all, queries.Draw(rt, "query"))
			}
		})
	})
}

func checkQuery(t *testing.T, rt *rapid.T, db *catalog.DB, all []backup.Volume, q catalog.Query) {
	t.Helper()
	var want, walked, skipped []string
	for _, v := range expected(all, q) {
		want = append(want, v.ID)
	}
	view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
		n, err := tx.CountVolumes(ctx, q)
		if err != nil || n != len(want) {
			rt.Errorf("%+v: counted %d of %d, %v", q, n, len(want), err)
		}
		for page := q; ; {
			items, err := tx.Volumes(ctx, page)
			if err != nil {
				return err
			}
			for _, v := range items {
				walked = append(walked, v.ID)
			}
			if len(items) < page.Limit {
				break
			}
			page.Marker = items[len(items)-1].ID
		}
		q.Offset = 2
		items, err := tx.Volumes(ctx, q)
		for _, v := range items {
			skipped = append(skipped, v.ID)
		}
		return err
	})
	if !slices.Equal(walked, want) {
		rt.Errorf("%+v: got %v, want %v", q, walked, want)
	}
	rest := want[min(2, len(want)):]
	if rest = rest[:min(q.Limit, len(rest))]; !slices.Equal(skipped, rest) {
		rt.Errorf("%+v: after 2 got %v, want %v", q, skipped, rest)
	}
}

func TestQueryErrors(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			gone := aBackup("gone")
			gone.Status = backup.Deleted
			if err := tx.InsertBackup(ctx, gone); err != nil {
				return err
			}
			return tx.InsertBackup(ctx, aBackup("b"))
		})
		for name, c := range map[string]struct {
			q    catalog.Query
			kind backup.Kind
		}{
			"unknown marker":          {catalog.Query{Limit: 1, Marker: "x"}, backup.NotFound},
			"deleted marker":          {catalog.Query{Limit: 1, Marker: "gone"}, backup.NotFound},
			"another project's":       {catalog.Query{Limit: 1, Marker: "b", Project: "q"}, backup.NotFound},
			"unknown sort key":        {catalog.Query{Limit: 1, Sort: []catalog.Sort{{Field: "nonsense"}}}, backup.Invalid},
			"sort by metadata":        {catalog.Query{Limit: 1, Sort: []catalog.Sort{{Field: "metadata"}}}, backup.Invalid},
			"SQL in place of a field": {catalog.Query{Limit: 1, Sort: []catalog.Sort{{Field: "id; DROP TABLE backups"}}}, backup.Invalid},
		} {
			err := db.View(t.Context(), func(tx *catalog.Tx) error {
				_, err := tx.Backups(t.Context(), c.q)
				return err
			})
			if err == nil || backup.KindOf(err) != c.kind {
				t.Errorf("%s: got %v", name, err)
			}
			if c.kind == backup.NotFound && backup.ReasonOf(err) != backup.MarkerNotFound {
				t.Errorf("%s: reason %q", name, backup.ReasonOf(err))
			}
		}
		view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			none, err := tx.Backups(ctx, catalog.Query{})
			if len(none) != 0 {
				t.Errorf("without a limit: %v", none)
			}
			return err
		})
	})
}

// The names that the block storage API has for the same fields.
func TestFieldAliases(t *testing.T) {
	eachDB(t, func(t *testing.T, db *catalog.DB) {
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error { return tx.InsertBackup(ctx, aBackup("b")) })
		for field, value := range map[string]string{
			"display_name": "n", "is_incremental": "true", "tenant_id": "p", "project_id": "p", "volume_id": "v", "size": "5",
		} {
			view(t, db, func(ctx context.Context, tx *catalog.Tx) error {
				n, err := tx.CountBackups(ctx, catalog.Query{Filters: []catalog.Filter{{Field: field, Values: []string{value}}}})
				if n != 1 {
					t.Errorf("%s=%s: found %d", field, value, n)
				}
				return err
			})
		}
	})
}

// BenchmarkPage reads a page of 1,000 from the middle of 100,000 backups.
func BenchmarkPage(b *testing.B) {
	db := open(b, catalog.Config{Path: filepath.Join(b.TempDir(), "catalog.db"), Clock: clock.NewFake(start)})
	const rows = 100_000
	update(b, db, func(ctx context.Context, tx *catalog.Tx) error {
		for i := range rows {
			r := aBackup(fmt.Sprintf("%08d", i))
			r.ProjectID = fmt.Sprint(i % 2)
			r.CreatedAt = start.Add(time.Duration(i) * time.Second)
			if err := tx.InsertBackup(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	b.ResetTimer()
	for b.Loop() {
		view(b, db, func(ctx context.Context, tx *catalog.Tx) error {
			page, err := tx.Backups(ctx, catalog.Query{Project: "0", Limit: 1000, Marker: fmt.Sprintf("%08d", rows/2)})
			if len(page) != 1000 {
				b.Fatalf("a page of %d", len(page))
			}
			return err
		})
	}
}
