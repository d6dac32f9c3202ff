package s3_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/blob/s3"
)

// fake is a small S3 server that can be told to lie. It checks no signatures.
type fake struct {
	mu      sync.Mutex
	objects map[string][]byte // by key
	conns   int               // that were opened

	// before answers in the place of the server where it returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
	// What it does otherwise than a server should.
	ignoresRanges, ignoresHashes, keepsRefused, keepsDeleted, cutsPuts, flips, failsDeleteTwice, showsAll, misnames bool
}

// newFake starts a fake and returns it with what a client needs.
func newFake(t *testing.T) (*fake, s3.Config) {
	t.Helper()
	f := &fake{objects: make(map[string][]byte)}
	server := httptest.NewUnstartedServer(f)
	server.Config.ConnState = f.count
	server.Start()
	t.Cleanup(server.Close)
	return f, s3.Config{Endpoint: server.URL, Bucket: "bucket", PathStyle: true, AccessKey: "AKIA-known", SecretKey: "hunter2"}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.before != nil && f.before(w, r) {
		return
	}
	key, ok := strings.CutPrefix(r.URL.Path, "/bucket/")
	switch {
	case !ok && r.URL.Path != "/bucket":
		fail(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
	case r.Method == http.MethodGet && (!ok || key == ""):
		f.list(w, r)
	case r.Method == http.MethodHead && (!ok || key == ""):
	case r.Method == http.MethodPut:
		f.put(w, r, key)
	case r.Method == http.MethodDelete:
		f.remove(w, key)
	default:
		f.get(w, r, key)
	}
}

// fail answers with an error as S3 writes it.
func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>", code, message)
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string) {
	data, err := io.ReadAll(r.Body)
	if err != nil || int64(len(data)) != r.ContentLength {
		fail(w, http.StatusBadRequest, "IncompleteBody", "You did not provide the number of bytes specified")
		return
	}
	sum := sha256.Sum256(data)
	wrong := r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:])
	if f.cutsPuts {
		data = data[:len(data)/2]
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !wrong || f.ignoresHashes || f.keepsRefused {
		f.objects[key] = data
	}
	if wrong && !f.ignoresHashes {
		fail(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided header does not match what was computed.")
	}
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	data, ok := f.objects[key]
	f.mu.Unlock()
	if f.showsAll {
		ok = true
	}
	if !ok {
		fail(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	if f.flips && len(data) > 1000 {
		data = slices.Clone(data)
		data[1000] ^= 1
	}
	if f.ignoresRanges {
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
}

func (f *fake) remove(w http.ResponseWriter, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.objects[key]; !ok && f.failsDeleteTwice {
		fail(w, http.StatusBadRequest, "InvalidRequest", "Nothing to delete.")
		return
	}
	if !f.keepsDeleted {
		delete(f.objects, key)
	}
	w.WriteHeader(http.StatusNoContent)
}

type listAnswer struct {
	XMLName     xml.Name `xml:"ListBucketResult"`
	IsTruncated bool
	Next        string `xml:"NextContinuationToken,omitempty"`
	Contents    []listEntry
}

type listEntry struct {
	Key  string
	Size int
}

// pageSize makes listings of several pages of few objects.
const pageSize = 3

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := r.URL.Query()
	var keys []string
	for key := range f.objects {
		if strings.HasPrefix(key, q.Get("prefix")) && key > q.Get("continuation-token") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var a listAnswer
	if len(keys) > pageSize {
		keys = keys[:pageSize]
		a.IsTruncated, a.Next = true, keys[pageSize-1]
	}
	for _, key := range keys {
		e := listEntry{key, len(f.objects[key])}
		if f.misnames {
			e.Key += "x"
		}
		a.Contents = append(a.Contents, e)
	}
	w.Header().Set("Content-Type", "application/xml")
	if err := xml.NewEncoder(w).Encode(a); err != nil {
		panic(err)
	}
}

// count counts connections.
func (f *fake) count(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.conns++
	}
}
