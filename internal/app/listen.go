package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"holdfast/internal/config"
)

// What a client may take for its headers, and how long an idle connection
// stays. Bodies have a limit of their own, in the faces.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 64 << 10
)

// listener is one bound address and what answers there.
type listener struct {
	net.Listener
	server *http.Server
}

// bind takes an address, so that a start fails early where it is busy.
func bind(name, addr string, t config.TLS) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, startErrorf("%s: %s is in use by another program", name, addr)
	}
	if err != nil {
		return nil, startErrorf("%s: %w", name, err)
	}
	if !t.Enabled() {
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		l.Close()
		return nil, startErrorf("%s: certificate: %w", name, err)
	}
	return tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	}), nil
}

// bindAdmin takes the admin address, or a free port where it is busy.
func bindAdmin(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(addr)
		l, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return nil, startErrorf("admin.listen: %w", err)
	}
	return l, nil
}

// serve returns the server of a bound address, whose handler is set before it
// runs.
func serve(l net.Listener, log *slog.Logger) *listener {
	return &listener{Listener: l, server: &http.Server{
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
}

// run serves until ctx ends, then lets the requests under way finish for at
// most drain.
func (l *listener) run(ctx context.Context, drain time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- l.server.Serve(l.Listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := l.server.Shutdown(stop); err != nil {
		l.server.Close()
	}
	<-ended
	return nil
}
