package s3test_test

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"

	"holdfast/internal/s3test"
)

// TestServerComesAndGoes sees a server killed and started again on its port,
// with what it holds.
func TestServerComesAndGoes(t *testing.T) {
	s := s3test.Start(t)
	s.Bucket("bucket")
	for range 2 {
		if code := status(t, s.URL()+"/bucket/none"); code != http.StatusForbidden {
			t.Errorf("who has no key is answered %d", code)
		}
		s.Kill()
		if listens(t, s.URL()) {
			t.Error("it listens after its end")
		}
		s.Restart()
	}
	if _, err := os.Stat(s.Path("bucket")); err != nil {
		t.Error(err)
	}
	if !listens(t, s.URL()) {
		t.Error("it does not listen after its restart")
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

func listens(t *testing.T, at string) bool {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
