package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// object is a JSON object.
type object = map[string]any

// client speaks to the block storage face in the name of one user.
type client struct {
	t       testing.TB
	auth    string // …/identity/v3
	volume  string // …/volume/v3/<project>
	project string
	token   string
	version string // microversion; empty: none asked for
}

var httpClient = &http.Client{Timeout: 60 * time.Second}

// logIn asks for a token and takes the endpoint from its catalog.
func logIn(t testing.TB, auth, user, password, project string) *client {
	t.Helper()
	c := &client{t: t, auth: auth}
	body := object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{
			"name": user, "password": password, "domain": object{"id": "default"},
		}}},
		"scope": object{"project": object{"name": project, "domain": object{"id": "default"}}},
	}}
	code, header, out := c.call("POST", auth+"/auth/tokens", body)
	if code != http.StatusCreated {
		t.Fatalf("log in as %s: %d %v", user, code, out)
	}
	c.token = header.Get("X-Subject-Token")
	token := out["token"].(object)
	c.project = token["project"].(object)["id"].(string)
	for _, s := range token["catalog"].([]any) {
		service := s.(object)
		if service["type"] == "volumev3" {
			c.volume = service["endpoints"].([]any)[0].(object)["url"].(string)
		}
	}
	if c.volume == "" {
		t.Fatal("the catalog has no volumev3")
	}
	return c
}

// call sends one request and decodes the answer.
func (c *client) call(method, url string, body any) (int, http.Header, object) {
	c.t.Helper()
	code, header, out, err := c.try(method, url, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, url, err)
	}
	return code, header, out
}

func (c *client) try(method, url string, body any) (int, http.Header, object, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, url, r)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("X-Auth-Token", c.token)
	}
	if c.version != "" {
		req.Header.Set("OpenStack-API-Version", "volume "+c.version)
	}
	res, err := httpClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, nil, err
	}
	var out object
	if len(bytes.TrimSpace(raw)) > 0 && strings.Contains(res.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(raw, &out); err != nil {
			return 0, nil, nil, err
		}
	}
	return res.StatusCode, res.Header, out, nil
}

// do sends a request to the block storage face and expects a status.
func (c *client) do(want int, method, path string, body any) object {
	c.t.Helper()
	code, _, out := c.call(method, c.volume+path, body)
	if code != want {
		c.t.Fatalf("%s %s: %d, want %d: %v", method, path, code, want, out)
	}
	return out
}

// createVolume makes a volume of some GiB and waits for it.
func (c *client) createVolume(name string, size int) string {
	c.t.Helper()
	out := c.do(202, "POST", "/volumes", object{"volume": object{"name": name, "size": size}})
	id := out["volume"].(object)["id"].(string)
	c.wait("volume", id, "available")
	return id
}

// createBackup asks for a backup and returns its id.
func (c *client) createBackup(body object) string {
	c.t.Helper()
	return c.do(202, "POST", "/backups", object{"backup": body})["backup"].(object)["id"].(string)
}

// restore asks for a restore to a new volume and returns that volume's id.
func (c *client) restore(backup string) string {
	c.t.Helper()
	return c.do(202, "POST", "/backups/"+backup+"/restore", object{"restore": object{}})["restore"].(object)["volume_id"].(string)
}

// show returns a resource, nil where it is gone.
func (c *client) show(kind, id string) object {
	c.t.Helper()
	code, _, out := c.call("GET", c.volume+"/"+kind+"s/"+id, nil)
	switch code {
	case http.StatusOK:
		return out[kind].(object)
	case http.StatusNotFound:
		return nil
	}
	c.t.Fatalf("show %s %s: %d %v", kind, id, code, out)
	return nil
}

// status returns a resource's status, "gone" where there is none.
func (c *client) status(kind, id string) string {
	c.t.Helper()
	r := c.show(kind, id)
	if r == nil {
		return "gone"
	}
	return r["status"].(string)
}

// wait waits until a resource has a status. An error that was not waited for
// fails the test at once.
func (c *client) wait(kind, id, want string) object {
	c.t.Helper()
	var r object
	within(c.t, 120*time.Second, kind+" "+id+" to be "+want, func() bool {
		got := "gone"
		if r = c.show(kind, id); r != nil {
			got = r["status"].(string)
		}
		if got != want && strings.HasPrefix(got, "error") {
			c.t.Fatalf("%s %s is %s: %v", kind, id, got, r["fail_reason"])
		}
		return got == want
	})
	return r
}
