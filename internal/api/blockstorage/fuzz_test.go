package blockstorage

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/service"
)

// FuzzDecoders reads bodies with every decoder at any version. What a
// decoder takes keeps the service's promises, and what it refuses is the
// client's fault.
func FuzzDecoders(f *testing.F) {
	const u = `"98db149d-b9e6-42d7-814d-492563c56fef"`
	for _, body := range []string{
		``, `{}`, `null`, `[]`, `{"backup":null}`, `{"backup":{}}`, `{"name":"bare"}`,
		`{"backup":{"volume_id":` + u + `,"name":" n ","container":null,"force":"yes","incremental":true,"metadata":{"a":"b"}}}`,
		`{"backup":{"volume_id":"{98DB149D-b9e642d7814d492563c56fef}","snapshot_id":null,"availability_zone":"z"}}`,
		`{"volume":{"size":"10","name":null,"imageRef":"a/b/","multiattach":null,"metadata":null}}`,
		`{"volume":{"backup_id":` + u + `,"size":1e3,"group_id":"","consistencygroup_id":null}}`,
		`{"volume":{"display_name":"d","description":"` + strings.Repeat("x", 300) + `"},"OS-SCH-HNT:scheduler_hints":{}}`,
		`{"snapshot":{"volume_id":null,"force":0}}`, `{"snapshot":{"volume_id":` + u + `,"description":"a\nb"}}`,
		`{"restore":null}`, `{"restore":{"volume_id":` + u + `,"name":5}}`, `{"os-reset_status":{"status":"Error","attach_status":""}}`,
		`{"quota_set":{"backups":"-1","volumes":99999999999999999999}}`, `{"host":"h","binary":"b","disabled_reason":"r"}`,
	} {
		f.Add([]byte(body), uint8(0))
		f.Add([]byte(body), uint8(67))
	}
	f.Fuzz(func(t *testing.T, raw []byte, minor uint8) {
		v := kit.V(3, int(minor)%(maxVersion.Minor+1))
		for name, decode := range decoders(t, v) {
			body, err := kit.Decode(raw)
			if err == nil {
				err = decode(body)
			}
			if err != nil && !clientsFault(err) {
				t.Errorf("%s of %q: %v (%T)", name, raw, err, err)
			}
		}
	})
}

// decoders run one decoder each and check what it took.
func decoders(t *testing.T, v kit.Version) map[string]func(*kit.Object) error {
	text := func(s string, limit int) {
		t.Helper()
		if !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit || strings.ContainsRune(s, 0) {
			t.Errorf("took the text %q", s)
		}
	}
	id := func(s string) {
		t.Helper()
		if normal, ok := kit.NormalizeUUID(s); s != "" && (!ok || normal != s) {
			t.Errorf("took the id %q", s)
		}
	}
	meta := func(m map[string]string) {
		t.Helper()
		for k, value := range m {
			text(value, 255)
			if k == "" || len(k) > 255 {
				t.Errorf("took the key %q", k)
			}
		}
	}
	updated := func(u service.Update, err error) error {
		if err == nil {
			for _, s := range []*string{u.Name, u.Description} {
				if s != nil {
					text(*s, 255)
				}
			}
			meta(u.Metadata)
		}
		return err
	}
	return map[string]func(*kit.Object) error{
		"new volume": func(o *kit.Object) error {
			n, err := decodeNewVolume(o, v)
			if err == nil {
				text(n.Name, 255)
				text(n.ImageID, 255)
				id(n.SnapshotID)
				id(n.SourceVolumeID)
				id(n.BackupID)
				meta(n.Metadata)
				if n.SizeGiB < 0 || n.SizeGiB > 1<<31-1 {
					t.Errorf("took the size %d", n.SizeGiB)
				}
				if n.SizeGiB == 0 && n.SnapshotID+n.SourceVolumeID+n.BackupID+n.ImageID == "" {
					t.Error("took a volume without size and source")
				}
			}
			return err
		},
		"new snapshot": func(o *kit.Object) error {
			n, err := decodeNewSnapshot(o, v)
			if err == nil {
				text(n.Name, 255)
				text(n.Description, 255)
				id(n.VolumeID)
				meta(n.Metadata)
				if n.VolumeID == "" {
					t.Error("took a snapshot of nothing")
				}
			}
			return err
		},
		"new backup": func(o *kit.Object) error {
			n, err := decodeNewBackup(o, v)
			if err == nil {
				text(n.Name, 255)
				text(n.Description, 255)
				text(n.Container, 255)
				id(n.VolumeID)
				id(n.SnapshotID)
				meta(n.Metadata)
				if n.VolumeID == "" || len(n.Metadata) > 0 && !v.AtLeast(backupMetadata) || n.Zone != "" && !v.AtLeast(backupZone) {
					t.Errorf("took %+v at %s", n, v)
				}
			}
			return err
		},
		"restore": func(o *kit.Object) error {
			r, err := decodeRestore(o)
			if err == nil {
				text(r.Name, 255)
				id(r.VolumeID)
			}
			return err
		},
		"quotas": func(o *kit.Object) error {
			set, err := decodeQuotas(o)
			for k, n := range set {
				if err == nil && n < -1 {
					t.Errorf("took %d for %q", n, k)
				}
			}
			return err
		},
		"volume update":   func(o *kit.Object) error { return updated(decodeVolumeUpdate(o, v)) },
		"snapshot update": func(o *kit.Object) error { return updated(decodeSnapshotUpdate(o)) },
		"backup update":   func(o *kit.Object) error { return updated(decodeBackupUpdate(o, v)) },
		"status":          func(o *kit.Object) error { _, err := decodeStatus(o); return err },
		"volume status":   func(o *kit.Object) error { _, err := decodeVolumeStatus(o); return err },
		"service change":  func(o *kit.Object) error { _, err := decodeServiceChange(o, true); return err },
	}
}

func clientsFault(err error) bool {
	var f *kit.Fault
	if errors.As(err, &f) {
		return f.Code >= 400 && f.Code < 500 && utf8.ValidString(f.Message)
	}
	return backup.KindOf(err) == backup.Invalid
}

// FuzzListQuery reads queries of lists at any version, as an admin and as
// somebody else.
func FuzzListQuery(f *testing.F) {
	for _, q := range []string{
		"", "limit=1&offset=2&marker=x", "limit=-1", "limit=99999999999999999999", "sort=name:asc,id", "sort_key=size&sort_dir=up",
		"all_tenants=yes&with_count=1&status=error", "metadata={'a':'b'}", "bootable=maybe", "consumes_quota=false", "name~=x", "%00=1", "a=%zz",
	} {
		f.Add(q, uint8(0), false)
		f.Add(q, uint8(67), true)
	}
	face := &face{}
	f.Fuzz(func(t *testing.T, query string, minor uint8, admin bool) {
		handler := func(w http.ResponseWriter, r *kit.Request) error {
			r.Version = kit.V(3, int(minor)%(maxVersion.Minor+1))
			if admin {
				r.Caller.Roles = []string{"admin"}
			}
			for _, c := range []collection{volumeCollection, snapshotCollection, backupCollection} {
				l, _, err := face.list(r, c)
				switch {
				case err != nil && !clientsFault(err):
					t.Errorf("%q: %v", query, err)
				case err == nil && (l.Limit < 0 || l.Limit > kit.MaxPage || l.Offset < 0 || l.Count && !r.Version.AtLeast(listCount)):
					t.Errorf("%q at %s: %+v", query, r.Version, l)
				}
				for _, k := range l.Filters {
					if err == nil && !admin && !c.offers(k.Field, r.Version) && k.Field != "name" {
						t.Errorf("%q at %s filters by %q", query, r.Version, k.Field)
					}
				}
			}
			return done(w)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v3/x", nil)
		r.URL = &url.URL{Path: "/v3/x", RawQuery: query}
		if w := serve(t, []kit.Route{{Method: http.MethodGet, Pattern: "v3/x", Handler: handler}}, r); w.Code >= 500 {
			t.Errorf("%q: %d %s", query, w.Code, w.Body)
		}
	})
}

// FuzzDict reads what clients put into a query for a dictionary.
func FuzzDict(f *testing.F) {
	for _, s := range []string{`{}`, `{'a': 'b'}`, `{"a": "b", 'c': u'd'}`, `{'it''s': 'x'}`, `{'a\'b': "c\"d"}`, `{'a': 'b',}`, `{`, `{'a'`, `a`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		pairs, ok := parseDict(s)
		if ok && (len(pairs) > maxDict || pairs == nil) {
			t.Errorf("parseDict(%q) = %v", s, pairs)
		}
	})
}

func TestParseDict(t *testing.T) {
	for s, want := range map[string]map[string]string{
		`{}`:                              {},
		` {'k': 'v'} `:                    {"k": "v"},
		`{"k": "v", u'a b' : "it's"}`:     {"k": "v", "a b": "it's"},
		`{'a\'b': 'c\\d'}`:                {"a'b": `c\d`},
		`{'k': 'v'`:                       nil,
		`{'k': 'v',}`:                     nil,
		`{'k': 'v'} x`:                    nil,
		`{'k': 1}`:                        nil,
		`{k: 'v'}`:                        nil,
		`['k']`:                           nil,
		"":                                nil,
		`{'a': 'b' 'c': 'd'}`:             nil,
		`{'a': {'b': 'c'}}`:               nil,
		`__import__('os').system('true')`: nil,
	} {
		got, ok := parseDict(s)
		if ok != (want != nil) || ok && !maps.Equal(got, want) {
			t.Errorf("parseDict(%q) = %v, %t; want %v", s, got, ok, want)
		}
	}
}
