package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "holdfast")
	build := exec.Command("go", "build", "-o", binary, "holdfast/cmd/holdfast")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// server is a running holdfast.
type server struct {
	t    testing.TB
	dir  string // its data folder
	conf string // its configuration file, empty for none
	env  []string
	cmd  *exec.Cmd
	log  *syncBuffer
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

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newServer prepares a server with a data folder of its own. extra is YAML
// for its configuration file.
func newServer(t testing.TB, extra string) *server {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := &server{t: t, dir: dir, conf: filepath.Join(t.TempDir(), "holdfast.yaml")}
	conf := "data: " + dir + "\nlisten: 127.0.0.1:0\nadmin: {listen: \"127.0.0.1:0\"}\n" + extra
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.kill(syscall.SIGKILL)
		}
		if t.Failed() && s.log != nil {
			t.Logf("the server said:\n%s", s.log)
		}
	})
	return s
}

// start starts the process and logs in.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.client = s.login()
}

// launch starts the process and waits until it serves.
func (s *server) launch() {
	s.t.Helper()
	if s.log == nil {
		s.log = &syncBuffer{}
	}
	before := len(s.log.String())
	s.cmd = exec.Command(binary, "serve", "--config", s.conf)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	within(s.t, 30*time.Second, "the server to serve", func() bool {
		return bytes.Contains([]byte(s.log.String()[before:]), []byte("serving"))
	})
}

// login logs in as clouds.yaml says.
func (s *server) login() *client {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, "clouds.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
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
	if err := yaml.Unmarshal(content, &doc); err != nil {
		s.t.Fatal(err)
	}
	a := doc.Clouds["holdfast"].Auth
	return logIn(s.t, a.AuthURL, a.Username, a.Password, a.Project)
}

// kill sends a signal and waits for the process to end.
func (s *server) kill(sig syscall.Signal) {
	s.t.Helper()
	cmd := s.cmd
	s.cmd = nil
	if err := cmd.Process.Signal(sig); err != nil {
		s.t.Logf("signal: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		_ = cmd.Process.Kill()
		s.t.Fatalf("the server did not end after %v", sig)
	}
}

// volumeFile is the file that holds a volume's bytes.
func (s *server) volumeFile(id string) string { return filepath.Join(s.dir, "volumes", id+".raw") }

// within polls until ok, and fails the test after a while.
func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s", limit, what)
		case <-tick.C:
		}
	}
}
