package e2e_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// settings say how a server is configured.
type settings struct {
	data   string // data folder; empty: a new one
	listen string // empty: a free port of loopback
	admin  string // empty: a free port of loopback
	level  string // of the log; empty: debug
	format string // of the log; empty: text
	more   string // YAML: further keys
}

// server is a holdfast process, and all that follow it on the same folder.
type server struct {
	t       testing.TB
	dir     string // its data folder
	volumes string // the folder of its volumes
	conf    string // its configuration file
	url     string // of the main listener, while it runs
	admin   string // of the admin listener
	cmd     *exec.Cmd
	ended   chan struct{} // closed when cmd has ended
	log     *syncBuffer
	serving *regexp.Regexp // finds in the log where it serves

	secrets []string // what must never be in the log
	*client
}

// syncBuffer collects what a process prints.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string { return s.since(0) }

func (s *syncBuffer) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Len()
}

// since returns what was printed after the first n bytes.
func (s *syncBuffer) since(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.b.Bytes()[n:])
}

// newServer prepares a server, which start starts. When the test ends it is
// killed, and its log is searched for secrets.
func newServer(t testing.TB, set settings) *server {
	t.Helper()
	s := &server{t: t, dir: set.data, log: &syncBuffer{}, serving: serving}
	if s.dir == "" {
		s.dir = filepath.Join(t.TempDir(), "data")
	}
	s.volumes = filepath.Join(s.dir, "volumes")
	s.configure(set)
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill(syscall.SIGKILL)
		}
		s.checkLog()
		if t.Failed() {
			t.Logf("the server said:\n%s", tail(s.log.String(), 8<<10))
		}
	})
	return s
}

// configure writes the configuration that the next start reads.
func (s *server) configure(set settings) {
	s.t.Helper()
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	s.conf = write(s.t, "holdfast.yaml", "data: "+s.dir+
		"\nlisten: \""+or(set.listen, "127.0.0.1:0")+"\""+
		"\nadmin: {listen: \""+or(set.admin, "127.0.0.1:0")+"\"}"+
		"\nlog: {level: "+or(set.level, "debug")+", format: "+or(set.format, "text")+"}\n"+set.more)
}

// write writes a private file into a new folder and returns its path.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// start starts the process and logs in as the admin whom the first start
// made.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.client = s.login()
}

// serving finds the line that says where a server serves.
var serving = regexp.MustCompile(`msg=serving url=(\S+) admin=(\S+)`)

// launch starts the process and waits until it serves.
func (s *server) launch() {
	s.t.Helper()
	before := s.log.len()
	s.spawn()
	var at []string
	within(s.t, 30*time.Second, "the server to serve", func() bool {
		at = s.serving.FindStringSubmatch(s.log.since(before))
		select {
		case <-s.ended:
			s.t.Fatal("the server ended instead of serving")
		default:
		}
		return at != nil
	})
	s.url, s.admin = at[1], at[2]
}

// spawn starts the process.
func (s *server) spawn() {
	s.t.Helper()
	s.cmd = exec.Command(program, "serve", "--config", s.conf)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	must(s.t, s.cmd.Start())
	cmd, ended := s.cmd, make(chan struct{})
	s.ended = ended
	go func() {
		_ = cmd.Wait() // its state says how it ended
		close(ended)
	}()
}

// kill sends a signal, waits for the process to end and returns its exit
// status, -1 for one that the signal ended.
func (s *server) kill(sig syscall.Signal) int {
	s.t.Helper()
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(sig); err != nil {
		s.t.Logf("signal: %v", err)
	}
	select {
	case <-s.ended:
	case <-time.After(60 * time.Second):
		_ = cmd.Process.Kill()
		s.t.Fatalf("the server did not end after %v", sig)
	}
	return cmd.ProcessState.ExitCode()
}

// resume starts the process again. Whoever was logged in still is: tokens
// outlive the process.
func (s *server) resume(clients ...*client) {
	s.t.Helper()
	old := s.url
	s.launch()
	for _, c := range append(clients, s.client) {
		c.auth = strings.Replace(c.auth, old, s.url, 1)
		c.volume = strings.Replace(c.volume, old, s.url, 1)
	}
}

// restart ends the process with a signal and starts it again.
func (s *server) restart(sig syscall.Signal, clients ...*client) {
	s.t.Helper()
	s.kill(sig)
	s.resume(clients...)
}

// login logs in as clouds.yaml says.
func (s *server) login() *client {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, "clouds.yaml"))
	must(s.t, err)
	var doc struct {
		Clouds map[string]struct {
			Auth struct {
				AuthURL  string `yaml:"auth_url"`
				Username string `yaml:"username"`
				Password string `yaml:"password"`
				Project  string `yaml:"project_name"`
			} `yaml:"auth"`
		} `yaml:"clouds"`
	}
	must(s.t, yaml.Unmarshal(content, &doc))
	a := doc.Clouds["holdfast"].Auth
	if want := s.url + "/identity/v3"; a.AuthURL != want {
		s.t.Errorf("clouds.yaml: auth_url is %s, want %s", a.AuthURL, want)
	}
	return s.as(a.Username, a.Password, a.Project)
}

// as logs in as a user.
func (s *server) as(user, password, project string) *client {
	s.t.Helper()
	c := logIn(s.t, s.url+"/identity/v3", user, password, project)
	s.secrets = append(s.secrets, password, c.token)
	return c
}

// checkLog searches the log for what must not be in it.
func (s *server) checkLog() {
	s.t.Helper()
	secrets := slices.Clone(s.secrets)
	if key, err := os.ReadFile(filepath.Join(s.dir, "master.key")); err == nil {
		for _, line := range strings.Fields(string(key)) {
			if len(line) >= 16 {
				secrets = append(secrets, line)
			}
		}
	}
	log := s.log.String()
	for _, secret := range secrets {
		if strings.Contains(log, secret) {
			s.t.Errorf("a secret of %d letters is in the log", len(secret))
		}
	}
}

// volumeFile is the file that holds a volume's bytes.
func (s *server) volumeFile(id string) string { return filepath.Join(s.volumes, id+".raw") }

// objects is the folder of the store's objects.
func (s *server) objects() string { return filepath.Join(s.dir, "store", "objects") }

// within polls until ok, and fails the test after a while.
func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s", limit, what)
		case <-tick.C:
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tail returns the end of a text.
func tail(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "...\n" + text[len(text)-n:]
}
