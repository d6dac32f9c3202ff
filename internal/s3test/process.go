package s3test

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// killTimeout bounds the end of a process that was killed.
const killTimeout = 20 * time.Second

// script runs what its arguments say, and ends it once the script's input
// ends: that is, when the test process closes it or is gone, be it by SIGKILL.
const script = `
exec 3<&0
"$@" </dev/null 3<&- &
pid=$!
{ read -r nothing <&3; kill -9 $pid; } >/dev/null 2>&1 &
watch=$!
wait $pid
kill $watch
`

// process is a running versitygw.
type process struct {
	cmd    *exec.Cmd
	input  io.Closer // of the script
	ended  chan struct{}
	output buffer
}

// buffer collects what a process prints.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write keeps p.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func launch(bin, dir string, port int) (*process, error) {
	p := &process{ended: make(chan struct{})}
	// Connections are kept, as servers do.
	p.cmd = exec.Command("/bin/sh", "-c", script, "sh", bin, "--port", "127.0.0.1:"+strconv.Itoa(port),
		"--quiet", "--keep-alive", "--region", Region, "posix", dir)
	p.cmd.Env = []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey, "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	// A group of its own: an interrupt at the terminal is for the test process.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // it was killed
		close(p.ended)
	}()
	return p, nil
}

// kill ends the process, waits for that, and may be called after its end.
func (p *process) kill() error {
	_ = p.input.Close() // Wait may have closed it
	select {
	case <-p.ended:
		return nil
	case <-time.After(killTimeout):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // its group
		return fmt.Errorf("versitygw did not end within %v", killTimeout)
	}
}

// log returns what the process printed.
func (p *process) log() string {
	p.output.mu.Lock()
	defer p.output.mu.Unlock()
	return p.output.b.String()
}
