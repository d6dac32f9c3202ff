package s3_test

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/s3"
)

// TestHTTPS signs the hash of bodies there too, and trusts no certificate of
// unknown origin.
func TestHTTPS(t *testing.T) {
	f := &fake{objects: make(map[string][]byte)}
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if sum, err := hex.DecodeString(r.Header.Get("X-Amz-Content-Sha256")); r.Method == http.MethodPut && (err != nil || len(sum) != 32) {
			t.Errorf("the body's hash is %q", r.Header.Get("X-Amz-Content-Sha256"))
		}
		return false
	}
	cfg := s3.Config{Endpoint: server.URL, Bucket: "bucket", PathStyle: true, AccessKey: "a", SecretKey: "hunter2"}
	err := open(t, cfg).Put(t.Context(), "a", blobtest.Body([]byte("x")))
	checkKind(t, err, blob.ErrRefused)

	cfg.Roots = x509.NewCertPool()
	cfg.Roots.AddCert(server.Certificate())
	s := open(t, cfg)
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	blobtest.Put(t, s, "a", []byte("0123456789"))
	if got := string(blobtest.Get(t, s, "a")); got != "0123456789" {
		t.Errorf("got %q", got)
	}
	if _, err := s.Stat(t.Context(), "none"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}
