package blockstorage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/api/blockstorage"
	"holdfast/internal/api/kit"
	"holdfast/internal/backup"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/jobs"
	"holdfast/internal/service"
)

const (
	ourProject   = "3046fb2c2a314a0fbb32607caa1e5277"
	otherProject = "0fbb32607caa1e52773046fb2c2a314a"
)

// noon is the time of everything that a test makes.
var noon = time.Date(2026, 5, 9, 12, 0, 0, 123000, time.UTC)

// tokens says who asks with which token.
type tokens map[string]backup.Caller

func (t tokens) Authenticate(_ context.Context, token string) (backup.Caller, error) {
	c, ok := t[token]
	if !ok {
		return c, backup.Errorf(backup.Unauthorized, "unknown token")
	}
	return c, nil
}

func caller(user, project string, roles ...string) backup.Caller {
	return backup.Caller{UserID: user, UserName: user, ProjectID: project, ProjectName: project, Roles: roles}
}

// cloud is a face on a service on a catalog of its own. Nothing works on its
// jobs: statuses stay as requests leave them, unless a test moves them.
type cloud struct {
	t     testing.TB
	http  http.Handler
	path  string // of the catalog
	db    *catalog.DB
	queue *jobs.Queue
	svc   *service.Service
	clock *clock.Fake
}

// newCloud returns a cloud. Where template is not nil it starts with a copy
// of that catalog, which must be closed.
func newCloud(t testing.TB, quotas map[string]int64, template []byte) *cloud {
	t.Helper()
	dir := t.TempDir()
	c := &cloud{t: t, clock: clock.NewFake(noon), path: filepath.Join(dir, "catalog.db")}
	log := slog.New(slog.DiscardHandler)
	if template != nil {
		if err := os.WriteFile(c.path, template, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if c.db, err = catalog.Open(t.Context(), catalog.Config{Path: c.path, Clock: c.clock, Log: log}); err != nil {
		t.Fatal(err)
	}
	c.queue, err = jobs.Open(t.Context(), jobs.Config{DB: c.db, Clock: c.clock, Log: log, WorkerDir: dir, Host: "node1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	made := 0
	newID := func() string {
		made++
		return fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", made)
	}
	c.svc = service.New(service.Config{
		DB: c.db, Queue: c.queue, Clock: c.clock, NewID: newID, Log: log, Host: "node1", Zone: "nova", Quotas: quotas,
		Types: []backup.VolumeType{
			{
				ID: id(900), Name: "local", Description: "Sparse files", Public: true,
				ExtraSpecs: map[string]string{"volume_backend_name": "local", "multiattach": "<is> False"},
			},
			{ID: id(901), Name: "inner"},
		},
	})
	face, err := kit.New(blockstorage.New(blockstorage.Config{
		Service: c.svc,
		Auth: tokens{
			"admin":    caller("root", ourProject, "admin"),
			"member":   caller("alice", ourProject, "member"),
			"reader":   caller("rita", ourProject, "reader"),
			"other":    caller("bob", otherProject, "member"),
			"unscoped": caller("alice", ""),
		},
		BaseURL: "https://cloud.example/volume", IdentityURL: "https://cloud.example/identity", VolumeHost: "node1@local#local",
	}), kit.Env{Log: log, Clock: c.clock, Rand: zeros{}})
	if err != nil {
		t.Fatal(err)
	}
	c.http = kit.Prefixes{"/volume": face}.Handler()
	return c
}

// close ends the cloud's work on its catalog.
func (c *cloud) close() {
	if c.db == nil {
		return
	}
	if err := errors.Join(c.queue.Close(context.Background()), c.db.Close()); err != nil {
		c.t.Error(err)
	}
	c.db = nil
}

// zeros makes all request ids equal.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// id is the nth of the ids that tests choose themselves.
func id(n int) string { return fmt.Sprintf("bbbbbbbb-0000-4000-8000-%012d", n) }

// request is one call.
type request struct {
	method  string
	path    string // below /volume
	token   string // empty: member
	version string // empty: no header
	body    string
	headers map[string]string
}

// do carries a request out.
func (c *cloud) do(q request) *httptest.ResponseRecorder {
	c.t.Helper()
	var body io.Reader
	if q.body != "" {
		body = strings.NewReader(q.body)
	}
	r := httptest.NewRequestWithContext(c.t.Context(), q.method, "/volume"+q.path, body)
	if q.token == "" {
		q.token = "member"
	}
	r.Header.Set("X-Auth-Token", q.token)
	if q.version != "" {
		r.Header.Set("OpenStack-API-Version", "volume "+q.version)
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range q.headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	c.http.ServeHTTP(w, r)
	return w
}

// expect carries a request out and fails the test unless it is answered with
// code.
func (c *cloud) expect(code int, q request) *bytes.Buffer {
	c.t.Helper()
	w := c.do(q)
	if w.Code != code {
		c.t.Fatalf("%s %s: got %d, want %d: %s", q.method, q.path, w.Code, code, w.Body)
	}
	return w.Body
}

// put inserts rows as if requests and jobs had made them.
func (c *cloud) put(rows ...any) {
	c.t.Helper()
	err := c.db.Update(c.t.Context(), func(tx *catalog.Tx) error {
		for _, row := range rows {
			var err error
			switch row := row.(type) {
			case backup.Volume:
				err = tx.InsertVolume(c.t.Context(), row)
			case backup.Snapshot:
				err = tx.InsertSnapshot(c.t.Context(), row)
			case backup.Backup:
				err = tx.InsertBackup(c.t.Context(), row)
			default:
				err = fmt.Errorf("no table for %T", row)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

func volume(n int, change func(*backup.Volume)) backup.Volume {
	v := backup.Volume{
		ID: id(n), ProjectID: ourProject, UserID: "alice", Name: fmt.Sprintf("volume-%d", n), Status: backup.Available,
		SizeGiB: 2, Type: "local", Zone: "nova", CreatedAt: noon.Add(time.Duration(n) * time.Second),
	}
	if change != nil {
		change(&v)
	}
	return v
}

func snapshot(n, of int, change func(*backup.Snapshot)) backup.Snapshot {
	s := backup.Snapshot{
		ID: id(n), ProjectID: ourProject, UserID: "alice", VolumeID: id(of), Name: fmt.Sprintf("snapshot-%d", n),
		Status: backup.Available, SizeGiB: 2, CreatedAt: noon.Add(time.Duration(n) * time.Second),
	}
	if change != nil {
		change(&s)
	}
	return s
}

func stored(n, of int, change func(*backup.Backup)) backup.Backup {
	b := backup.Backup{
		ID: id(n), ProjectID: ourProject, UserID: "alice", VolumeID: id(of), Name: fmt.Sprintf("backup-%d", n),
		Status: backup.Available, SizeGiB: 2, Bytes: 2 << 30, ObjectCount: 3, Zone: "nova",
		CreatedAt: noon.Add(time.Duration(n) * time.Second), DataTimestamp: noon.Add(time.Duration(n) * time.Second),
	}
	if change != nil {
		change(&b)
	}
	return b
}
