package main

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// systemd listens as systemd does for what a service says of its state.
func systemd(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

// said returns the next thing that systemd hears.
func said(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// The service says when it is ready, drains at SIGTERM, and ends with
// status 0.
func TestServeUntilSIGTERM(t *testing.T) {
	conn := systemd(t)
	dir := filepath.Join(t.TempDir(), "data")
	var out, errs bytes.Buffer
	code := make(chan int)
	go func() {
		code <- run([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0"}, strings.NewReader(""), &out, &errs)
	}()
	if got := said(t, conn); got != "READY=1" {
		t.Fatalf("systemd heard %q first", got)
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := said(t, conn); got != "STOPPING=1" {
		t.Errorf("systemd heard %q after SIGTERM", got)
	}
	if got := <-code; got != 0 {
		t.Errorf("exit status %d:\n%s", got, errs.String())
	}
	if out.Len() > 0 {
		t.Errorf("printed %q", out.String())
	}
	for _, want := range []string{"msg=serving ", "msg=stopping", "msg=stopped"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("the log has no %q:\n%s", want, errs.String())
		}
	}
	if !strings.Contains(errs.String(), "made the master key "+dir) {
		t.Errorf("the first start says nothing of the key:\n%s", errs.String())
	}
}

// A busy address is the operator's to mend, in one line.
func TestServeOnBusyAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Join(t.TempDir(), "data")
	var out, errs bytes.Buffer
	code := run([]string{"serve", "--data", dir, "--listen", l.Addr().String()}, strings.NewReader(""), &out, &errs)
	lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
	last := lines[len(lines)-1]
	if code != 2 || !strings.HasPrefix(last, "holdfast: listen: ") || !strings.Contains(last, "in use") {
		t.Errorf("exit status %d: %s", code, errs.String())
	}
}
