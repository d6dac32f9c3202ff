package quickstart_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/backup"
	"holdfast/internal/quickstart"
)

// cloud is a block storage service of a few lines: volumes are files, a backup
// is a copy of one. A resource shows a passing status once before it is done.
type cloud struct {
	*httptest.Server
	dir    string
	damage func(path string) // what is done to each restored volume

	mu       sync.Mutex
	next     int
	pending  map[string]string // path of a resource to the status that it shows once
	failing  map[string]string // path of a resource to the status that it shows for ever
	requests []string
}

const (
	fakeToken   = "the token"
	fakeProject = "0123456789abcdef0123456789abcdef"
	fakeGiB     = 64 << 20 // enough to show what is to be shown
)

func newCloud(t *testing.T) *cloud {
	c := &cloud{dir: t.TempDir(), pending: map[string]string{}, failing: map[string]string{}, damage: func(string) {}}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *cloud) login() quickstart.Login {
	return quickstart.Login{
		AuthURL: c.URL + "/identity/v3", Username: "admin", Password: "sesame", Project: "admin",
		UserDomain: "Default", ProjectDomain: "Default", Region: "RegionOne",
	}
}

// VolumePath and BackupStats make a cloud the demonstration's Local.
func (c *cloud) VolumePath(id string) (string, error) {
	return filepath.Join(c.dir, "volumes", id), nil
}

func (c *cloud) BackupStats(_ context.Context, id string) (backup.Stats, error) {
	_, err := os.Stat(filepath.Join(c.dir, "backups", id))
	return backup.Stats{Read: 3 << 20, New: 2 << 20, Stored: 1 << 20}, err
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r.Method+" "+r.URL.Path)
	if r.URL.Path == "/identity/v3/auth/tokens" {
		c.logIn(w, r)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/volume/v3/"+fakeProject)
	if r.Header.Get("X-Auth-Token") != fakeToken || !ok {
		fault(w, http.StatusUnauthorized, "The request you have made requires authentication.")
		return
	}
	var body map[string]map[string]any
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			fault(w, http.StatusBadRequest, "Malformed request body")
			return
		}
	}
	switch parts := strings.Split(path[1:], "/"); {
	case r.Method == http.MethodPost && path == "/volumes":
		c.make(w, "volumes", "volume", func(file string) error {
			f, err := os.Create(file)
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(int64(body["volume"]["size"].(float64)) * fakeGiB)
		})
	case r.Method == http.MethodPost && path == "/backups":
		source := filepath.Join(c.dir, "volumes", body["backup"]["volume_id"].(string))
		c.make(w, "backups", "backup", func(file string) error { return copyFile(source, file) })
	case r.Method == http.MethodPost && len(parts) == 3 && parts[2] == "restore":
		c.restore(w, filepath.Join(c.dir, "backups", parts[1]))
	case r.Method == http.MethodGet && len(parts) == 2:
		c.show(w, path, parts)
	case r.Method == http.MethodDelete && len(parts) == 2:
		c.pending[path] = "deleting"
		if err := os.Remove(filepath.Join(c.dir, path)); err != nil {
			fault(w, http.StatusNotFound, err.Error())
			return
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		fault(w, http.StatusNotFound, "The resource could not be found.")
	}
}

func (c *cloud) logIn(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !strings.Contains(string(body), `"password":"sesame"`) {
		fault(w, http.StatusUnauthorized, "The request you have made requires authentication.")
		return
	}
	w.Header().Set("X-Subject-Token", fakeToken)
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"token":{"project":{"id":%q},"catalog":[
		{"type":"image","endpoints":[{"interface":"public","region":"RegionOne","url":"http://127.0.0.1:1/"}]},
		{"type":"volumev3","endpoints":[
			{"interface":"internal","region":"RegionOne","url":"http://127.0.0.1:1/"},
			{"interface":"public","region":"RegionTwo","url":"http://127.0.0.1:1/"},
			{"interface":"public","region":"RegionOne","url":"%s/volume/v3/%s"}]}]}}`, fakeProject, c.URL, fakeProject)
}

func (c *cloud) make(w http.ResponseWriter, folder, kind string, fill func(file string) error) {
	c.next++
	id := fmt.Sprintf("%s-%d", kind, c.next)
	if err := os.MkdirAll(filepath.Join(c.dir, folder), 0o700); err != nil {
		fault(w, http.StatusInternalServerError, err.Error())
		return
	}
	if err := fill(filepath.Join(c.dir, folder, id)); err != nil {
		fault(w, http.StatusInternalServerError, err.Error())
		return
	}
	c.pending["/"+folder+"/"+id] = "creating"
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{%q:{"id":%q,"links":[]}}`, kind, id)
}

func (c *cloud) restore(w http.ResponseWriter, from string) {
	c.next++
	id := fmt.Sprintf("volume-%d", c.next)
	to := filepath.Join(c.dir, "volumes", id)
	if err := copyFile(from, to); err != nil {
		fault(w, http.StatusNotFound, err.Error())
		return
	}
	c.damage(to)
	c.pending["/volumes/"+id] = "restoring-backup"
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"restore":{"backup_id":"x","volume_id":%q,"volume_name":"n"}}`, id)
}

func (c *cloud) show(w http.ResponseWriter, path string, parts []string) {
	kind := strings.TrimSuffix(parts[0], "s")
	status := "available"
	if s, ok := c.pending[path]; ok {
		status = s
		delete(c.pending, path)
	} else if s, ok := c.failing[kind]; ok {
		status = s
	} else if _, err := os.Stat(filepath.Join(c.dir, path)); err != nil {
		fault(w, http.StatusNotFound, kind+" could not be found.")
		return
	}
	fmt.Fprintf(w, `{%q:{"id":%q,"status":%q,"fail_reason":"the disk is full"}}`, kind, parts[1], status)
}

func fault(w http.ResponseWriter, code int, message string) {
	w.Header().Set("X-Openstack-Request-Id", "req-7")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"someFault":{"code":%d,"message":%q}}`, code, message)
}

// copyFile copies a volume's data, and leaves its holes.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	defer dst.Close()
	end, err := src.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	for at := int64(0); ; {
		start, err := unix.Seek(int(src.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return dst.Truncate(end)
		}
		if err != nil {
			return err
		}
		if at, err = unix.Seek(int(src.Fd()), start, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(dst, start), io.NewSectionReader(src, start, at-start)); err != nil {
			return err
		}
	}
}
