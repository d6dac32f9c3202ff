package e2e_test

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// slashed is a name as tools that back up servers make it.
const slashed = "vm2/cirros/Boot volume-2024-05-09T10:41:13"

// restoredButConfused is what version 6 of the openstack command prints, and
// fails with, after a restore that the service accepted.
const restoredButConfused = "cannot unpack non-iterable VolumeBackupsRestore object"

// stockUser does the main job with the openstack command alone.
type stockUser struct {
	*server
	cli  *stockClient
	r    *rand.Rand
	disk string // volume that is backed up
	held map[string]sum
}

// TestOpenStackClient does the main job with Debian's openstack command, the
// way that the README shows, and compares the bytes that come back.
func TestOpenStackClient(t *testing.T) {
	t.Parallel()
	cli := newStockClient(t, "/usr/bin/openstack", "python3-openstackclient", true)
	u := stockUser{server: newServer(t, settings{}), cli: cli, r: newRand(t), held: map[string]sum{}}
	u.start()
	cli.env = append(cli.env, "OS_CLIENT_CONFIG_FILE="+filepath.Join(u.dir, "clouds.yaml"), "OS_CLOUD=holdfast")
	u.lookAround()
	u.useVolume()
	u.useSnapshot()
	u.backUp()
	u.lookAtBackups()
	u.restoreToNew()
	u.restoreToExisting()
	u.tidyUp()
}

// lookAround asks what there is.
func (u *stockUser) lookAround() {
	u.t.Helper()
	if token := u.cli.show("token", "issue"); token["project_id"] != u.project {
		u.t.Errorf("the token is of project %v, want %s", token["project_id"], u.project)
	}
	types := column(u.cli.list("catalog", "list"), "Type")
	if diff := cmp.Diff([]any{"identity", "volumev3", "block-storage", "image"}, types); diff != "" {
		u.t.Errorf("catalog (-want +got):\n%s", diff)
	}
	services := u.cli.list("volume", "service", "list")
	want := []any{"cinder-backup", "cinder-scheduler", "cinder-volume"}
	if diff := cmp.Diff(want, column(services, "Binary")); diff != "" {
		u.t.Errorf("services (-want +got):\n%s", diff)
	}
	for _, s := range services {
		expect(u.t, s, object{"Status": "enabled", "State": "up", "Zone": "nova"})
	}
	zones := u.cli.list("availability", "zone", "list", "--volume")
	expect(u.t, zones[0], object{"Zone Name": "nova", "Zone Status": "available"})
	expect(u.t, u.cli.list("volume", "type", "list")[0], object{"Name": "holdfast-local", "Is Public": true})
	if len(u.cli.list("extension", "list", "--volume")) == 0 {
		u.t.Error("the volume service has no extensions")
	}
	u.cli.run("quota", "list", "--volume")
}

// useVolume makes the disk, names it and fills it.
func (u *stockUser) useVolume() {
	u.t.Helper()
	made := u.cli.show("volume", "create", "--size", "1", "--description", "first", "--property", "owner=ann", "new")
	u.disk = made["id"].(string)
	u.wait("volume", u.disk, "available")
	u.cli.run("volume", "set", "--name", "disk", "--property", "tier=gold", "new")
	expect(u.t, u.cli.show("volume", "show", "disk"), object{
		"id": u.disk, "name": "disk", "status": "available", "size": 1.0, "type": "holdfast-local",
		"description": "first", "properties": object{"owner": "ann", "tier": "gold"}, "availability_zone": "nova",
	})
	expect(u.t, u.cli.list("volume", "list")[0], object{"ID": u.disk, "Name": "disk", "Status": "available", "Size": 1.0})
	u.cli.refused("No volume with a name or ID of 'none' exists", "volume", "show", "none")
	u.change()
}

// change overwrites parts of the disk and returns what it then holds.
func (u *stockUser) change() sum {
	u.t.Helper()
	scribble(u.t, u.r, u.volumeFile(u.disk), 40, 1<<20)
	return digest(u.t, u.volumeFile(u.disk))
}

// useSnapshot takes a snapshot of the disk.
func (u *stockUser) useSnapshot() {
	u.t.Helper()
	made := u.cli.show("volume", "snapshot", "create", "--volume", "disk", "before")
	u.wait("snapshot", made["id"].(string), "available")
	u.held["of a snapshot"] = digest(u.t, u.volumeFile(u.disk))
	expect(u.t, u.cli.list("volume", "snapshot", "list")[0], object{"Name": "before", "Status": "available", "Size": 1.0})
	expect(u.t, u.cli.show("volume", "snapshot", "show", "before"),
		object{"id": made["id"], "volume_id": u.disk, "status": "available"})
}

// backUp makes a full backup, one of the snapshot, and two increments.
func (u *stockUser) backUp() {
	u.t.Helper()
	u.held[slashed] = u.change()
	u.finish(u.cli.show("volume", "backup", "create", "--name", slashed, "disk"))
	u.held["increment"] = u.change()
	u.finish(u.cli.show("volume", "backup", "create", "--incremental", "--name", "increment", "disk"))
	u.finish(u.cli.show("volume", "backup", "create", "--snapshot", "before", "--name", "of a snapshot", "disk"))
	u.held["last"] = u.change()
	u.finish(u.cli.show("volume", "backup", "create", "--incremental", "--name", "last", "disk"))
	u.cli.refused("No volume with a name or ID of 'none' exists", "volume", "backup", "create", "none")
}

// finish waits for a backup that was just asked for.
func (u *stockUser) finish(made object) {
	u.t.Helper()
	u.wait("backup", made["id"].(string), "available")
	u.wait("volume", u.disk, "available")
}

// lookAtBackups shows backups by id and by name, and renames one.
func (u *stockUser) lookAtBackups() {
	u.t.Helper()
	rows := u.cli.list("volume", "backup", "list", "--long")
	want := []any{"last", "of a snapshot", "increment", slashed}
	if diff := cmp.Diff(want, column(rows, "Name")); diff != "" {
		u.t.Errorf("backups (-want +got):\n%s", diff)
	}
	for _, row := range rows {
		expect(u.t, row, object{"Status": "available", "Size": 1.0, "Volume": u.disk, "Availability Zone": "nova"})
	}
	full := u.cli.show("volume", "backup", "show", slashed)
	expect(u.t, full, object{
		"name": slashed, "status": "available", "size": 1.0, "volume_id": u.disk, "snapshot_id": nil,
		"is_incremental": false, "has_dependent_backups": true, "fail_reason": nil,
	})
	if diff := cmp.Diff(full, u.cli.show("volume", "backup", "show", full["id"].(string))); diff != "" {
		u.t.Errorf("shown by name and by id (-name +id):\n%s", diff)
	}
	u.cli.run("--os-volume-api-version", "3.9", "volume", "backup", "set",
		"--name", "a/b c", "--description", "the second", "increment")
	u.held["a/b c"] = u.held["increment"]
	delete(u.held, "increment")
	expect(u.t, u.cli.show("volume", "backup", "show", "a/b c"),
		object{"description": "the second", "is_incremental": true, "status": "available"})
}

// restore restores a backup with the command, whatever that makes of it.
func (u *stockUser) restore(args ...string) {
	u.t.Helper()
	_, complaint := u.cli.try(append([]string{"volume", "backup", "restore"}, args...)...)
	if complaint != "" && !strings.Contains(complaint, restoredButConfused) {
		u.t.Fatalf("restore %q: %s", args, complaint)
	}
}

// named waits for a volume of a name to be available and returns its id.
func (u *stockUser) named(name string) string {
	u.t.Helper()
	for _, v := range u.list("volume") {
		if v["name"] == name {
			id := v["id"].(string)
			u.wait("volume", id, "available")
			return id
		}
	}
	u.t.Fatalf("there is no volume %q", name)
	return ""
}

// check compares a volume with what a backup must hold.
func (u *stockUser) check(backup, volume string) {
	u.t.Helper()
	if digest(u.t, u.volumeFile(volume)) != u.held[backup] {
		u.t.Errorf("backup %q came back wrong in volume %s", backup, volume)
	}
}

// restoreToNew restores each backup to a volume of its own.
func (u *stockUser) restoreToNew() {
	u.t.Helper()
	for _, backup := range []string{slashed, "a/b c", "of a snapshot", "last"} {
		u.restore(backup, "from "+backup)
		u.check(backup, u.named("from "+backup))
	}
}

// restoreToExisting restores over the disk itself.
func (u *stockUser) restoreToExisting() {
	u.t.Helper()
	u.cli.refused("", "volume", "backup", "restore", slashed, "disk") // the command wants --force
	u.check("last", u.disk)
	u.restore("--force", slashed, "disk")
	u.wait("volume", u.disk, "available")
	u.check(slashed, u.disk)
}

// tidyUp deletes the full backup, sees that the others stand without it, and
// then deletes everything.
func (u *stockUser) tidyUp() {
	u.t.Helper()
	u.cli.run("volume", "backup", "delete", slashed)
	u.settleAll("backup", 3)
	u.cli.refused("No volumebackup with a name or ID of '"+slashed+"' exists", "volume", "backup", "show", slashed)
	u.restore("--force", "last", "from "+slashed)
	u.check("last", u.named("from "+slashed))

	u.cli.run("volume", "backup", "delete", "a/b c", "of a snapshot", "last")
	u.settleAll("backup", 0)
	u.cli.run("volume", "snapshot", "delete", "before")
	u.settleAll("snapshot", 0)
	u.cli.run("volume", "delete", "disk", "from "+slashed, "from a/b c", "from of a snapshot", "from last")
	u.settleAll("volume", 0)
}

// settleAll waits until so many of a kind are left.
func (s *server) settleAll(kind string, n int) {
	s.t.Helper()
	within(s.t, 30*time.Second, "the others of each "+kind+" to be gone", func() bool { return len(s.list(kind)) == n })
}
