package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// usage is what a command took, with its children.
type usage struct {
	wall float64 // seconds
	cpu  float64 // seconds of user and system
	rss  float64 // MiB, of the largest process
	read float64 // MiB: of the image where the command says so, from S3 by a restore
	gets float64 // GET requests to S3
	out  []byte
}

// command is a process to be measured.
type command struct {
	dir  string // where it runs; may be empty
	env  []string
	args []string
}

// measure runs a command to its end. The error of one that fails is the last
// line that it says.
func measure(ctx context.Context, c command) (usage, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	start := time.Now()
	err := cmd.Run()
	u := usage{wall: time.Since(start).Seconds(), out: out.Bytes()}
	if ctx.Err() != nil {
		return u, context.Cause(ctx)
	}
	if err != nil {
		return u, fmt.Errorf("%s: %w: %s", filepath.Base(c.args[0]), err, lastLine(errs.String()))
	}
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
		u.rss = float64(r.Maxrss) / 1024
	}
	return u, nil
}

// lastLine returns the last line of a text that says something.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
