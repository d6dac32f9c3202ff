package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
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

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	raw    []byte
	body   object // nil where it is no JSON
}

// ask sends one request. Its body is encoded as JSON, unless it is nil.
func (c *client) ask(method, url string, body any) (answer, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, url, r)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("X-Auth-Token", c.token)
	}
	if c.version != "" {
		req.Header.Set("OpenStack-API-Version", "volume "+c.version)
	}
	return send(httpClient, req)
}

func send(via *http.Client, req *http.Request) (answer, error) {
	res, err := via.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	a := answer{code: res.StatusCode, header: res.Header}
	if a.raw, err = io.ReadAll(res.Body); err != nil {
		return a, err
	}
	if len(bytes.TrimSpace(a.raw)) > 0 && strings.Contains(res.Header.Get("Content-Type"), "json") {
		err = json.Unmarshal(a.raw, &a.body)
	}
	return a, err
}

// call is ask where an answer is certain.
func (c *client) call(method, url string, body any) answer {
	c.t.Helper()
	a, err := c.ask(method, url, body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

// logIn asks for a token and takes the endpoint from its catalog.
func logIn(t testing.TB, auth, user, password, project string) *client {
	t.Helper()
	c := &client{t: t, auth: auth}
	a := c.call("POST", auth+"/auth/tokens", credentials(user, password, project))
	if a.code != http.StatusCreated {
		t.Fatalf("log in as %s: %d %s", user, a.code, a.raw)
	}
	c.token = a.header.Get("X-Subject-Token")
	token := a.body["token"].(object)
	c.project = token["project"].(object)["id"].(string)
	for _, s := range token["catalog"].([]any) {
		if service := s.(object); service["type"] == "volumev3" {
			c.volume = service["endpoints"].([]any)[0].(object)["url"].(string)
		}
	}
	if c.volume == "" {
		t.Fatal("the catalog has no volumev3")
	}
	return c
}

// credentials is the body of a login.
func credentials(user, password, project string) object {
	return object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{
			"name": user, "password": password, "domain": object{"id": "default"},
		}}},
		"scope": object{"project": object{"name": project, "domain": object{"id": "default"}}},
	}}
}

// at returns the client at another microversion.
func (c *client) at(version string) *client {
	other := *c
	other.version = version
	return &other
}

// do sends a request to the block storage face and expects a status.
func (c *client) do(want int, method, path string, body any) object {
	c.t.Helper()
	a := c.call(method, c.volume+path, body)
	if a.code != want {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.code, want, a.raw)
	}
	return a.body
}

// created returns the id of what a request made.
func (c *client) created(kind, path string, body object) string {
	c.t.Helper()
	return c.do(http.StatusAccepted, "POST", path, object{kind: body})[kind].(object)["id"].(string)
}

// createVolume makes an empty volume of some GiB and waits for it.
func (c *client) createVolume(name string, size int) string {
	c.t.Helper()
	id := c.created("volume", "/volumes", object{"name": name, "size": size})
	c.wait("volume", id, "available")
	return id
}

// createBackup asks for a backup.
func (c *client) createBackup(body object) string {
	c.t.Helper()
	return c.created("backup", "/backups", body)
}

// finishBackup asks for a backup of a volume and waits for it.
func (c *client) finishBackup(volume string, incremental bool) string {
	c.t.Helper()
	id := c.createBackup(object{"volume_id": volume, "incremental": incremental})
	c.wait("backup", id, "available")
	return id
}

// restore asks for a restore to a new volume and returns that volume's id.
func (c *client) restore(backup string) string {
	c.t.Helper()
	out := c.do(http.StatusAccepted, "POST", "/backups/"+backup+"/restore", object{"restore": object{}})
	return out["restore"].(object)["volume_id"].(string)
}

// restoreOver asks for a restore over an existing volume.
func (c *client) restoreOver(backup, volume string) {
	c.t.Helper()
	c.do(http.StatusAccepted, "POST", "/backups/"+backup+"/restore", object{"restore": object{"volume_id": volume}})
}

// remove asks for a deletion.
func (c *client) remove(kind, id string) {
	c.t.Helper()
	c.do(http.StatusAccepted, "DELETE", "/"+kind+"s/"+id, nil)
}

// reset sets a status by hand.
func (c *client) reset(kind, id, status string) {
	c.t.Helper()
	c.do(http.StatusAccepted, "POST", "/"+kind+"s/"+id+"/action", object{"os-reset_status": object{"status": status}})
}

// show returns a resource, nil where it is gone.
func (c *client) show(kind, id string) object {
	c.t.Helper()
	a := c.call("GET", c.volume+"/"+kind+"s/"+id, nil)
	switch a.code {
	case http.StatusOK:
		return a.body[kind].(object)
	case http.StatusNotFound:
		return nil
	}
	c.t.Fatalf("show %s %s: %d %s", kind, id, a.code, a.raw)
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

// list returns all of a kind, as their details say.
func (c *client) list(kind string) []object {
	c.t.Helper()
	var all []object
	for _, r := range c.do(http.StatusOK, "GET", "/"+kind+"s/detail", nil)[kind+"s"].([]any) {
		all = append(all, r.(object))
	}
	return all
}

// settle waits until a resource has one of some statuses.
func (c *client) settle(kind, id string, wanted ...string) object {
	c.t.Helper()
	var r object
	within(c.t, 120*time.Second, kind+" "+id+" to be "+strings.Join(wanted, " or "), func() bool {
		got := "gone"
		if r = c.show(kind, id); r != nil {
			got = r["status"].(string)
		}
		if !slices.Contains(wanted, got) && strings.HasPrefix(got, "error") {
			c.t.Fatalf("%s %s is %s: %v", kind, id, got, r["fail_reason"])
		}
		return slices.Contains(wanted, got)
	})
	return r
}

// wait waits until a resource has a status. An error that was not waited for
// fails the test at once.
func (c *client) wait(kind, id, want string) object {
	c.t.Helper()
	return c.settle(kind, id, want)
}
