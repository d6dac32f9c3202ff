// Package pgtest gives tests a PostgreSQL server of their own: one for each
// test process, started when a test first asks, on a free port of loopback, in
// a temporary folder. It ends with the process, however that ends.
package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// shared is the process's server. A test process has one because starting one
// takes seconds.
var shared struct {
	sync.Mutex
	server *server
	admin  *sql.DB
	next   int
	err    error // why there is none
}

// URL returns the URL of a fresh, empty database, which is dropped when the
// test ends, whoever is still connected. Where PostgreSQL isn't installed the
// test is skipped, or fails if the environment says CI=true.
func URL(t testing.TB) string {
	t.Helper()
	name, err := create(t.Context())
	if errors.Is(err, errMissing) && os.Getenv("CI") != "true" {
		t.Skipf("%v: not tested on PostgreSQL", err)
	}
	if err != nil {
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
	t.Cleanup(func() {
		if err := drop(name); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	})
	return databaseURL(shared.server.port, name)
}

// Main runs the tests of m and then waits until the server, if one was
// started, has ended. TestMain passes its result to os.Exit. Without Main the
// server ends too, a moment after the process.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	_ = shared.admin.Close() // the server is about to end anyway
	if err := shared.server.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "PostgreSQL for tests: %v\n", err)
		return max(code, 1)
	}
	return code
}

func databaseURL(port int, name string) string {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: fmt.Sprintf("127.0.0.1:%d", port),
		Path: "/" + name, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// create makes a database on the shared server and returns its name.
func create(ctx context.Context) (string, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = start()
		if shared.err == nil {
			shared.admin, shared.err = sql.Open("pgx", databaseURL(shared.server.port, "postgres"))
		}
	}
	if shared.err != nil {
		return "", shared.err
	}
	shared.next++
	name := fmt.Sprintf("test_%d", shared.next)
	// template0 can be copied while others are connected.
	if _, err := shared.admin.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return name, nil
}

func drop(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := shared.admin.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	return err
}
