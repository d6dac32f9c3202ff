package e2e_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// newest is the newest microversion of the block storage face.
const newest = "3.67"

// tenants is a server with two projects, red and blue.
type tenants struct {
	*server
	admin  *client // of red
	ann    *client // member of red
	bea    *client // member of blue
	reader *client // of blue
}

// people is the configuration of users. Each one's password is in a file.
func people(t testing.TB, users map[string]string) string {
	t.Helper()
	conf := "identity:\n  projects: [{name: red}, {name: blue}]\n  users:\n"
	for name, grant := range users {
		project, role, _ := strings.Cut(grant, " ")
		conf += fmt.Sprintf("    - {name: %s, password_file: %s, projects: [{name: %s, roles: [%s]}]}\n",
			name, write(t, name, password(name)+"\n"), project, role)
	}
	return conf
}

func password(user string) string { return "the password of " + user + ", no less" }

func newTenants(t *testing.T) *tenants {
	t.Helper()
	s := newServer(t, settings{more: people(t, map[string]string{
		"root": "red admin", "ann": "red member", "bea": "blue member", "rita": "blue reader",
	})})
	s.launch()
	x := &tenants{
		server: s, admin: s.as("root", password("root"), "red"), ann: s.as("ann", password("ann"), "red"),
		bea: s.as("bea", password("bea"), "blue"), reader: s.as("rita", password("rita"), "blue"),
	}
	return x
}

// things are one resource of each kind.
type things struct{ volume, snapshot, backup string }

// unknown returns ids that nobody has.
func unknown() things {
	return things{uuid.NewString(), uuid.NewString(), uuid.NewString()}
}

// make makes one resource of each kind.
func (x *tenants) make(c *client) things {
	x.t.Helper()
	own := things{volume: c.createVolume("disk", 1)}
	scribble(x.t, newRandOf(1), x.volumeFile(own.volume), 4, 1<<20)
	own.snapshot = c.created("snapshot", "/snapshots", object{"volume_id": own.volume, "name": "monday"})
	c.wait("snapshot", own.snapshot, "available")
	own.backup = c.finishBackup(own.volume, false)
	return own
}

// probe is a request about somebody's things.
type probe struct {
	method, path string
	body         any
}

// probes are requests on every route that takes an id, and in every field
// that does. mine are things that the caller owns.
func probes(of, mine things) []probe {
	var all []probe
	add := func(method, path string, body any) { all = append(all, probe{method, path, body}) }
	for kind, id := range map[string]string{"volume": of.volume, "snapshot": of.snapshot, "backup": of.backup} {
		base := "/" + kind + "s/" + id
		add("GET", base, nil)
		add("PUT", base, object{kind: object{"name": "stolen"}})
		add("DELETE", base, nil)
		for _, action := range []string{
			"os-force_delete", "os-reset_status", "os-extend", "os-set_bootable", "os-attach", "os-reserve",
			"os-update_readonly_flag", "os-set_image_metadata", "no-such-action",
		} {
			add("POST", base+"/action", object{action: object{"status": "error", "new_size": 9, "bootable": true}})
		}
		for _, list := range []string{"", "/detail"} {
			add("GET", "/"+kind+"s"+list+"?marker="+id, nil)
			add("GET", "/"+kind+"s"+list+"?marker="+id+"&all_tenants=1&limit=1", nil)
		}
		if kind == "backup" {
			continue
		}
		add("GET", base+"/metadata", nil)
		add("POST", base+"/metadata", object{"metadata": object{"stolen": "yes"}})
		add("PUT", base+"/metadata", object{"metadata": object{"stolen": "yes"}})
		add("GET", base+"/metadata/stolen", nil)
		add("PUT", base+"/metadata/stolen", object{"meta": object{"stolen": "yes"}})
		add("DELETE", base+"/metadata/stolen", nil)
	}
	add("DELETE", "/volumes/"+of.volume+"?cascade=true&force=true", nil)
	add("DELETE", "/volumes/"+of.volume+"/encryption", nil)
	add("POST", "/volumes/"+of.volume+"/action", object{"os-extend": object{"new_size": 9}})
	add("POST", "/backups/"+of.backup+"/restore", object{"restore": object{}})
	add("POST", "/backups/"+of.backup+"/restore", object{"restore": object{"volume_id": mine.volume}})
	add("POST", "/backups/"+of.backup+"/restore", object{"restore": object{"volume_id": of.volume}})
	add("POST", "/backups/"+mine.backup+"/restore", object{"restore": object{"volume_id": of.volume}})
	add("GET", "/backups/"+of.backup+"/export_record", nil)
	for _, body := range []object{
		{"volume_id": of.volume},
		{"volume_id": of.volume, "force": true},
		{"volume_id": of.volume, "incremental": true},
		{"volume_id": of.volume, "snapshot_id": of.snapshot},
		{"volume_id": mine.volume, "snapshot_id": of.snapshot},
		{"volume_id": of.volume, "snapshot_id": mine.snapshot},
	} {
		add("POST", "/backups", object{"backup": body})
	}
	add("POST", "/snapshots", object{"snapshot": object{"volume_id": of.volume}})
	add("POST", "/snapshots", object{"snapshot": object{"volume_id": of.volume, "force": true}})
	for _, source := range []object{
		{"snapshot_id": of.snapshot},
		{"source_volid": of.volume},
		{"backup_id": of.backup},
		{"snapshot_id": of.snapshot, "source_volid": of.volume},
	} {
		source["size"] = 1
		add("POST", "/volumes", object{"volume": source})
	}
	for _, filter := range []string{"volume_id", "snapshot_id", "id"} {
		add("GET", "/backups/detail?"+filter+"="+of.volume, nil)
		add("GET", "/snapshots/detail?"+filter+"="+of.volume, nil)
		add("GET", "/volumes/detail?"+filter+"="+of.volume, nil)
	}
	return all
}

// told is what an answer tells, apart from ids and times.
func told(a answer, ids things) string {
	h := a.header.Clone()
	for _, name := range []string{"Date", "X-Openstack-Request-Id", "X-Compute-Request-Id"} {
		h.Del(name)
	}
	body := strings.NewReplacer(ids.volume, "VOLUME", ids.snapshot, "SNAPSHOT", ids.backup, "BACKUP").Replace(string(a.raw))
	return fmt.Sprintf("%d\n%v\n%s", a.code, h, body)
}

// Whatever one project asks about the things of another is answered as it is
// for ids that nobody has, and changes nothing.
func TestOtherProjectsDoNotExist(t *testing.T) {
	t.Parallel()
	x := newTenants(t)
	theirs, mine := x.make(x.ann), x.make(x.bea)
	before := x.picture(x.ann)
	asked, codes := 0, map[int]int{}
	for _, version := range []string{"3.0", "3.47", newest} {
		for who, c := range map[string]*client{"a member": x.bea, "a reader": x.reader} {
			nobodys := unknown()
			wanted := probes(nobodys, mine)
			for i, p := range probes(theirs, mine) {
				q := wanted[slices.IndexFunc(wanted, func(q probe) bool { return same(p, theirs, q, nobodys) })]
				got, want := c.at(version).call(p.method, c.volume+p.path, p.body), c.at(version).call(q.method, c.volume+q.path, q.body)
				if diff := cmp.Diff(told(want, nobodys), told(got, theirs)); diff != "" {
					t.Errorf("probe %d of %s at %s, %s %s %v (-unknown +foreign):\n%s", i, who, version, p.method, p.path, p.body, diff)
				}
				if got.code < 300 && p.method != "GET" {
					t.Errorf("%s %s %v of %s at %s was answered %d", p.method, p.path, p.body, who, version, got.code)
				}
				asked++
				codes[got.code]++
			}
		}
	}
	t.Logf("%d requests about things of another project; answers by code: %v", asked, codes)
	if diff := cmp.Diff(before, x.picture(x.ann)); diff != "" {
		t.Errorf("what the other project has changed (-before +after):\n%s", diff)
	}
	for _, c := range []*client{x.bea, x.reader} {
		for _, query := range []string{"", "?all_tenants=1", "?all_tenants=true&project_id=" + x.ann.project} {
			for _, path := range []string{"/volumes", "/volumes/detail", "/snapshots", "/snapshots/detail", "/backups", "/backups/detail"} {
				a := c.call("GET", c.volume+path+query, nil)
				for _, id := range []string{theirs.volume, theirs.snapshot, theirs.backup, x.ann.project} {
					if strings.Contains(string(a.raw), id) && !strings.Contains(query, id) {
						t.Errorf("GET %s%s shows %s of the other project", path, query, id)
					}
				}
			}
		}
	}
}

// same reports whether two probes are one, of different things.
func same(p probe, of things, q probe, other things) bool {
	name := func(p probe, of things) string {
		return strings.NewReplacer(of.volume, "V", of.snapshot, "S", of.backup, "B").Replace(fmt.Sprint(p.method, p.path, p.body))
	}
	return name(p, of) == name(q, other)
}

// picture is all that a project sees of its own.
func (x *tenants) picture(c *client) string {
	x.t.Helper()
	var b strings.Builder
	for _, kind := range []string{"volume", "snapshot", "backup"} {
		for _, r := range c.list(kind) {
			fmt.Fprintln(&b, kind, r)
		}
	}
	fmt.Fprintln(&b, c.do(http.StatusOK, "GET", "/limits", nil))
	return b.String()
}

// Projects, users and tokens of others are as hidden as their things.
func TestOtherIdentitiesDoNotExist(t *testing.T) {
	t.Parallel()
	x := newTenants(t)
	root := strings.TrimSuffix(x.bea.volume, x.bea.project)
	nobody := strings.ReplaceAll(uuid.NewString(), "-", "")
	for _, path := range []string{"/volumes", "/backups/detail", "/limits", "/os-quota-sets/" + x.bea.project} {
		got, want := x.bea.call("GET", root+x.ann.project+path, nil), x.bea.call("GET", root+nobody+path, nil)
		if got.code < 400 || told(got, things{volume: x.ann.project}) != told(want, things{volume: nobody}) {
			t.Errorf("%s in the path of another project: %d %s, of none: %d %s", path, got.code, got.raw, want.code, want.raw)
		}
	}
	for _, path := range []string{"/os-quota-sets/%s", "/os-quota-sets/%s/defaults"} {
		ask := func(project string) string {
			return told(x.bea.call("GET", x.bea.volume+fmt.Sprintf(path, project), nil), things{volume: project})
		}
		if got, want := ask(x.ann.project), ask(nobody); got != want {
			t.Errorf("quota of another project: %s, of none: %s", got, want)
		}
	}
	got, want := x.bea.call("GET", x.bea.auth+"/projects/"+x.ann.project, nil), x.bea.call("GET", x.bea.auth+"/projects/"+nobody, nil)
	if got.code < 400 || told(got, things{volume: x.ann.project}) != told(want, things{volume: nobody}) {
		t.Errorf("another project: %d %s, none: %d %s", got.code, got.raw, want.code, want.raw)
	}
	// Whoever holds another's token may use it, but neither show nor end it.
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		if got := x.subject(method, x.ann.token); got.code != http.StatusForbidden {
			t.Errorf("%s of another's token: %d %s", method, got.code, got.raw)
		}
	}
	x.ann.do(http.StatusOK, "GET", "/limits", nil)
}

// subject sends a request about somebody's token in the name of bea.
func (x *tenants) subject(method, token string) answer {
	x.t.Helper()
	req, err := http.NewRequest(method, x.bea.auth+"/auth/tokens", nil)
	must(x.t, err)
	req.Header.Set("X-Auth-Token", x.bea.token)
	req.Header.Set("X-Subject-Token", token)
	a, err := send(httpClient, req)
	must(x.t, err)
	return a
}

// Readers read everything of their project and write nothing of it.
func TestReaderReads(t *testing.T) {
	t.Parallel()
	x := newTenants(t)
	mine := x.make(x.bea)
	before := x.picture(x.bea)
	if diff := cmp.Diff(before, x.picture(x.reader)); diff != "" {
		t.Errorf("a reader sees (-member +reader):\n%s", diff)
	}
	refused := 0
	for _, version := range []string{"3.47", newest} {
		for _, p := range probes(mine, mine) {
			a := x.reader.at(version).call(p.method, x.reader.volume+p.path, p.body)
			if p.method != "GET" && a.code < 400 {
				t.Errorf("a reader's %s %s %v: %d %s", p.method, p.path, p.body, a.code, a.raw)
			}
			if a.code == http.StatusForbidden {
				refused++
			}
		}
	}
	t.Logf("%d writes of a reader were refused with 403", refused)
	if refused < 60 {
		t.Error("that is too few: the requests were wrong in themselves")
	}
	if diff := cmp.Diff(before, x.picture(x.bea)); diff != "" {
		t.Errorf("a reader changed something (-before +after):\n%s", diff)
	}
}

// An admin of another project sees a resource and may administer it.
func TestAdminSeesAll(t *testing.T) {
	t.Parallel()
	x := newTenants(t)
	theirs := x.make(x.bea)
	for kind, id := range map[string]string{"volume": theirs.volume, "snapshot": theirs.snapshot, "backup": theirs.backup} {
		if x.admin.status(kind, id) != "available" {
			t.Errorf("an admin doesn't see %s %s", kind, id)
		}
		got := x.admin.do(http.StatusOK, "GET", "/"+kind+"s/detail?all_tenants=1", nil)[kind+"s"].([]any)
		if len(got) != 1 {
			t.Errorf("an admin sees %d %ss of all projects, want 1", len(got), kind)
		}
		if got := x.admin.list(kind); len(got) != 0 {
			t.Errorf("an admin who doesn't ask for all projects sees %d %ss", len(got), kind)
		}
	}
	x.admin.reset("backup", theirs.backup, "error")
	x.bea.settle("backup", theirs.backup, "error")
}

// Equal data of two projects is stored twice and shares nothing; equal data
// of one project is stored once.
func TestProjectsShareNoData(t *testing.T) {
	t.Parallel()
	x := newTenants(t)
	var grown []int64
	stored := int64(0)
	for _, c := range []*client{x.ann, x.ann, x.bea} {
		volume := c.createVolume("disk", 1)
		scribble(t, newRandOf(7), x.volumeFile(volume), 30, 1<<20)
		c.finishBackup(volume, false)
		now := size(t, x.objects())
		grown = append(grown, now-stored)
		stored = now
	}
	t.Logf("bytes added: %d, the same data in the same project: %d, in another project: %d", grown[0], grown[1], grown[2])
	if grown[1]*4 > grown[0] {
		t.Errorf("equal data of one project took %d more bytes", grown[1])
	}
	if diff := grown[2] - grown[0]; diff*100 > grown[0] || -diff*100 > grown[0] {
		t.Errorf("equal data of another project took %d bytes, want what the first took, %d", grown[2], grown[0])
	}
	vaults, err := os.ReadDir(filepath.Join(x.objects(), "vaults"))
	must(t, err)
	if len(vaults) != 2 {
		t.Errorf("two projects have %d vaults", len(vaults))
	}
	if all := names(t, x.objects()); slices.ContainsFunc(all, func(n string) bool { return !strings.HasPrefix(n, "vaults/") }) {
		t.Errorf("objects outside of vaults: %v", all)
	}
}

// size returns the bytes of all files below a folder.
func size(t testing.TB, root string) (total int64) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	}))
	return total
}
