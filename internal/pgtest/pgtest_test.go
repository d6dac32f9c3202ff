package pgtest_test

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"holdfast/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestEachDatabaseIsFreshAndDropped(t *testing.T) {
	var first string
	t.Run("first", func(t *testing.T) {
		first = pgtest.URL(t)
		// Left open: dropping the database must not mind.
		db, err := sql.Open("pgx", first)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE a (b int)"); err != nil {
			t.Fatal(err)
		}
	})
	if first == "" {
		t.Skip("no PostgreSQL here")
	}
	second := pgtest.URL(t)
	if _, err := open(t, second).ExecContext(t.Context(), "CREATE TABLE a (b int)"); err != nil {
		t.Errorf("the second database is not empty: %v", err)
	}
	if err := open(t, first).PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("the first database after its test: %v", err)
	}
}

const helper = "HOLDFAST_PGTEST_HELPER"

// TestHelper is the process of the test below.
func TestHelper(t *testing.T) {
	how := os.Getenv(helper)
	if how == "" {
		return
	}
	fmt.Println(pgtest.URL(t), pgtest.Folder())
	if how == "panic" {
		panic("as a broken test would")
	}
	select {} // until it is killed
}

// However a test process ends, nothing of the server outlives it.
func TestServerEndsWithItsProcess(t *testing.T) {
	pgtest.URL(t) // skips where there is no PostgreSQL
	for _, how := range []string{"kill", "panic"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			// All processes below the helper inherit the write end: once
			// reading ends, they have all ended.
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := exec.Command(os.Args[0], "-test.run=^TestHelper$")
			cmd.Env = append(os.Environ(), helper+"="+how)
			cmd.ExtraFiles = []*os.File{w}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if how == "kill" {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Wait(); err == nil {
				t.Fatal("the helper ended well")
			}
			if err := r.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Fatalf("processes are left: %v", err)
			}
			checkGone(t, strings.Fields(line))
		})
	}
}

func checkGone(t *testing.T, place []string) {
	t.Helper()
	if len(place) != 2 {
		t.Fatalf("the helper printed %q", place)
	}
	if _, err := os.Stat(place[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	u, err := url.Parse(place[0])
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", u.Host); err == nil {
		conn.Close()
		t.Errorf("something still listens on %s", u.Host)
	}
}
