package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errMissing is wrapped where a machine can't run PostgreSQL as it is.
var errMissing = errors.New("no PostgreSQL here")

// stopTimeout bounds the server's end; the script below takes 15 s at worst.
const stopTimeout = 20 * time.Second

// script makes and runs the server, and ends it and removes the folder once
// its standard input ends: that is, when the test process closes it or is
// gone, be it by a panic or by SIGKILL. Arguments: the folder with the
// programs, the server's folder, the port.
const script = `
bin=$1 dir=$2 port=$3
cd "$dir" || exit 1
settings="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=
	-c fsync=off -c synchronous_commit=off -c full_page_writes=off
	-c shared_buffers=32MB -c max_connections=100 -c dynamic_shared_memory_type=mmap"
if "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log 2>&1 &&
	"$bin/pg_ctl" -D data -l log -w -t 60 -o "$(echo $settings)" start >>log 2>&1
then
	echo ready
	cat >/dev/null
else
	tail -n 20 log
fi
if [ -f data/postmaster.pid ]; then
	"$bin/pg_ctl" -D data -m fast -t 10 stop >>log 2>&1 ||
		"$bin/pg_ctl" -D data -m immediate -t 5 stop >>log 2>&1
fi
cd / && rm -rf "$dir"
`

// server is a running PostgreSQL.
type server struct {
	port  int
	dir   string
	input io.Closer // the script's; closing it ends the server
	cmd   *exec.Cmd
}

// start starts a server. Another process may take the port that was free a
// moment ago, so it tries more than once.
func start() (*server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	owner, err := account()
	if err != nil {
		return nil, err
	}
	for range 3 {
		var s *server
		if s, err = startOnce(bin, owner); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// programs returns the folder that holds initdb and pg_ctl.
func programs() (string, error) {
	folders := filepath.SplitList(os.Getenv("PATH"))
	debian, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(debian, func(a, b string) int { return version(b) - version(a) })
	for _, folder := range append(folders, debian...) {
		if executable(folder, "initdb") && executable(folder, "pg_ctl") {
			return filepath.Abs(folder)
		}
	}
	return "", fmt.Errorf("%w: initdb and pg_ctl are neither on PATH nor in /usr/lib/postgresql", errMissing)
}

// version returns the 15 of /usr/lib/postgresql/15/bin.
func version(folder string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
	if err != nil {
		return 0
	}
	return n
}

func executable(folder, name string) bool {
	_, err := exec.LookPath(filepath.Join(folder, name))
	return folder != "" && err == nil
}

// account returns whom the server must run as: postgres where we are root, as
// which it refuses to run, and otherwise ourselves (nil).
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: root can't run it, and there is no user postgres", errMissing)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user id of postgres: %w", err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("group id of postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func startOnce(bin string, owner *syscall.Credential) (_ *server, err error) {
	dir, err := makeFolder(owner)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", script, "sh", bin, dir, strconv.Itoa(port))
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=" + dir}
	// A group of its own: an interrupt at the terminal is for the test process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{port: port, dir: dir, input: input, cmd: cmd}
	reader := bufio.NewReader(output)
	if line, _ := reader.ReadString('\n'); line != "ready\n" {
		rest, _ := io.ReadAll(reader)
		return nil, errors.Join(fmt.Errorf("start: %s", strings.TrimSpace(line+string(rest))), s.stop())
	}
	return s, nil
}

// makeFolder makes a folder that the owner can enter, which a test's own
// temporary folder isn't: where the temporary files' folder is closed to
// others, it takes /tmp.
func makeFolder(owner *syscall.Credential) (string, error) {
	parent := os.TempDir()
	if owner != nil && !open(parent) {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "holdfast-postgres-")
	if err != nil {
		return "", err
	}
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return "", errors.Join(err, os.Remove(dir))
		}
	}
	return dir, nil
}

// open reports whether everyone may enter dir and make and remove files of
// their own in it.
func open(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o002 == 0 {
		return false
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
	}
	return true
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// stop ends the server and waits until it is gone, with its folder.
func (s *server) stop() error {
	_ = s.input.Close() // closed already: it is ending
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(stopTimeout):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-done
		return fmt.Errorf("did not end within %v; it may be running still, in %s", stopTimeout, s.dir)
	}
}
