package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/s3test"
)

// bucketServer is a holdfast whose store is a bucket.
type bucketServer struct {
	*server
	s3 *s3test.Server
}

const bucket, prefix = "backups", "cloud1/holdfast"

// newBucketServer starts both. More is further configuration of the store.
func newBucketServer(t *testing.T, more string) *bucketServer {
	t.Helper()
	b := &bucketServer{s3: s3test.Start(t)}
	b.s3.Bucket(bucket)
	b.server = newServer(t, settings{more: b.config(t, bucket, more)})
	b.secrets = append(b.secrets, s3test.SecretKey)
	b.start()
	return b
}

// config is what names the bucket.
func (b *bucketServer) config(t *testing.T, name, more string) string {
	return slow + fmt.Sprintf("store: {s3: {endpoint: %q, bucket: %q, prefix: %q, access_key_file: %q, secret_key_file: %q%s}}\n",
		b.s3.URL(), name, prefix, write(t, "access", s3test.AccessKey+"\n"), write(t, "secret", s3test.SecretKey+"\n"), more)
}

// keys returns what the bucket holds below the prefix. The S3 server makes and
// removes folders meanwhile.
func (b *bucketServer) keys(t *testing.T) []string {
	t.Helper()
	var all []string
	root := b.s3.Path(bucket, prefix)
	must(t, filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && !e.IsDir():
			all = append(all, strings.TrimPrefix(path, root))
		}
		return err
	}))
	return all
}

// bare runs a vault command on the bucket alone.
func (b *bucketServer) bare(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return b.bareAt(t, bucket, []string{"HOLDFAST_S3_ACCESS_KEY=" + s3test.AccessKey, "HOLDFAST_S3_SECRET_KEY=" + s3test.SecretKey}, args...)
}

func (b *bucketServer) bareAt(t *testing.T, name string, env []string, args ...string) (string, error) {
	t.Helper()
	place := "s3://" + name + "/" + prefix + "?endpoint=" + b.s3.URL()
	cmd := exec.Command(program, append(append([]string{"vault"}, args...),
		"--store", place, "--key-file", filepath.Join(b.dir, "master.key"))...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestBucket backs up to a bucket, restores from it with and without a
// catalog, and deletes.
func TestBucket(t *testing.T) {
	t.Parallel()
	b := newBucketServer(t, "")
	if got := b.keys(t); len(got) != 0 {
		t.Errorf("the start left %v in the bucket", got)
	}
	r := newRand(t)
	source := b.createVolume("source", 1)
	scribble(t, r, b.volumeFile(source), 40, 1<<20)
	full := b.finishBackup(source, false)
	first := digest(t, b.volumeFile(source))
	scribble(t, r, b.volumeFile(source), 8, 1<<20)
	incr := b.finishBackup(source, true)
	second := digest(t, b.volumeFile(source))

	for id, want := range map[string]sum{full: first, incr: second} {
		volume := b.restore(id)
		b.wait("volume", volume, "available")
		if digest(t, b.volumeFile(volume)) != want {
			t.Errorf("backup %s came back other than it was", id)
		}
	}

	if out, err := b.bare(t, "list"); err != nil || strings.Count(out, "source") != 2 {
		t.Errorf("list of the bare bucket: %v\n%s", err, out)
	}
	path := filepath.Join(t.TempDir(), "restored")
	if out, err := b.bare(t, "restore", full, path); err != nil {
		t.Errorf("restore from the bare bucket: %v\n%s", err, out)
	} else if digest(t, path) != first {
		t.Error("the bare bucket gave other bytes")
	}

	// A copy of the bucket in a folder is a store too.
	folder := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(filepath.Join(folder, "objects"), os.DirFS(b.s3.Path(bucket, prefix))))
	out, err := exec.Command(program, "vault", "list", "--store", folder, "--key-file", filepath.Join(b.dir, "master.key")).CombinedOutput()
	if err != nil || strings.Count(string(out), "source") != 2 {
		t.Errorf("list of the copy: %v\n%s", err, out)
	}

	keys := []string{"HOLDFAST_S3_ACCESS_KEY=" + s3test.AccessKey, "HOLDFAST_S3_SECRET_KEY=hunter2"}
	for want, try := range map[string]func() (string, error){
		"store: HOLDFAST_S3_ACCESS_KEY must be set":              func() (string, error) { return b.bareAt(t, bucket, nil, "list") },
		"refused by the object store: 403 SignatureDoesNotMatch": func() (string, error) { return b.bareAt(t, bucket, keys, "list") },
	} {
		if out, err := try(); err == nil || strings.Count(out, "\n") != 1 || !strings.Contains(out, want) || strings.Contains(out, "hunter2") {
			t.Errorf("%v: %q, want a line with %q", err, out, want)
		}
	}

	b.remove("backup", full)
	b.wait("backup", full, "gone")
	volume := b.restore(incr)
	b.wait("volume", volume, "available")
	if digest(t, b.volumeFile(volume)) != second {
		t.Error("the incremental needed the full one that was deleted")
	}
	if _, err := os.Stat(filepath.Join(b.dir, "store")); err == nil {
		t.Error("there is a local store beside the bucket")
	}
}

// TestBucketGoesAway kills the S3 server in the middle of a backup and of a
// restore. Both wait for it, and end well.
func TestBucketGoesAway(t *testing.T) {
	t.Parallel()
	b := newBucketServer(t, ", upload_mib_per_s: 16, download_mib_per_s: 16") // several seconds for each
	r := newRand(t)
	source := b.createVolume("source", 1)
	fill(t, r, b.volumeFile(source), 0, 96<<20)
	want := digest(t, b.volumeFile(source))

	id := b.createBackup(object{"volume_id": source})
	within(t, 60*time.Second, "a first pack in the bucket", func() bool {
		for _, key := range b.keys(t) {
			if strings.Contains(key, "/packs/") {
				return true
			}
		}
		return false
	})
	b.outage(t, "backup", id)
	b.wait("backup", id, "available")

	volume := b.restore(id)
	within(t, 60*time.Second, "first bytes of the restore", func() bool { return allocated(t, b.volumeFile(volume)) > 1<<20 })
	b.outage(t, "volume", volume)
	b.wait("volume", volume, "available")
	if digest(t, b.volumeFile(volume)) != want {
		t.Error("the backup came back other than it was")
	}
}

// outage ends the S3 server, waits until that is felt, and starts it again.
// What is under way can't end meanwhile.
func (b *bucketServer) outage(t *testing.T, kind, id string) {
	t.Helper()
	before := b.log.len()
	b.s3.Kill()
	within(t, 60*time.Second, "the outage to be felt", func() bool {
		if b.status(kind, id) == "available" {
			t.Logf("the outage came too late for %s %s", kind, id)
			return true
		}
		return strings.Contains(b.log.since(before), "is tried again")
	})
	b.s3.Restart()
}

// allocated returns how much of a file lies on the disk; 0 while it is missing.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return 0
	}
	must(t, err)
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// TestBucketAtStart: one that is missing, empty or refuses us ends a start
// with one line; one that can't be reached does not.
func TestBucketAtStart(t *testing.T) {
	t.Parallel()
	b := newBucketServer(t, "")
	id := b.createVolume("source", 1)
	scribble(t, newRand(t), b.volumeFile(id), 2, 1<<20)
	b.finishBackup(id, false)
	b.kill(syscall.SIGKILL)

	b.s3.Bucket("empty")
	good := b.config(t, bucket, "")
	for name, want := range map[string]string{
		"empty":   "store: bucket empty under " + prefix + ": no object store here: it holds no object",
		"missing": "store: bucket missing under " + prefix + ": list objects: refused by the object store: there is no bucket missing",
	} {
		b.configure(settings{data: b.dir, more: b.config(t, name, "")})
		b.refuses(t, want)
	}
	b.configure(settings{data: b.dir, more: good})

	b.s3.Kill()
	b.resume()
	b.kill(syscall.SIGKILL)
	b.s3.Restart()
	b.resume()
	volume := b.restore(b.list("backup")[0]["id"].(string))
	b.wait("volume", volume, "available")
	if digest(t, b.volumeFile(volume)) != digest(t, b.volumeFile(id)) {
		t.Error("the backup came back other than it was")
	}
}

// refuses starts the server, which ends with a line.
func (b *bucketServer) refuses(t *testing.T, want string) {
	t.Helper()
	out, err := exec.Command(program, "serve", "--config", b.conf).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err == nil || lines[len(lines)-1] != "holdfast: "+want {
		t.Errorf("%v\n got %s\nwant holdfast: %s", err, out, want)
	}
}
