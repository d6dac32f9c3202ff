package s3_test

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/s3"
)

// TestProbeOfHonestServers leaves nothing behind.
func TestProbeOfHonestServers(t *testing.T) {
	next := stores(t)
	_, cfg := newFake(t)
	for name, s := range map[string]*s3.Store{"versitygw": next(t), "fake": open(t, cfg)} {
		if err := s.Probe(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := blobtest.List(t, s, ""); len(got) != 0 {
			t.Errorf("%s: left behind: %v", name, got)
		}
	}
}

// TestProbeOfLiars has each kind refused with one line that says what is
// wrong.
func TestProbeOfLiars(t *testing.T) {
	for _, tt := range []struct {
		name string
		lie  func(*fake)
		want string
	}{
		{"ranges ignored", func(f *fake) { f.ignoresRanges = true }, "get a part of an object: refused by the object store: it does not keep to ranges: the whole object came as the answer"},
		{"hashes ignored", func(f *fake) { f.ignoresHashes = true }, "refused by the object store: it keeps what arrives damaged: it does not check x-amz-content-sha256"},
		{"refused and kept", func(f *fake) { f.keepsRefused = true }, "refused by the object store: it keeps what it refused for its hash"},
		{"deleted and kept", func(f *fake) { f.keepsDeleted = true }, "refused by the object store: it still has what was deleted"},
		{"deleted once", func(f *fake) { f.failsDeleteTwice = true }, "delete an object that is gone: delete object whole: refused by the object store: 400 InvalidRequest: Nothing to delete"},
		{"puts cut", func(f *fake) { f.cutsPuts = true }, "refused by the object store: get an object whole: 262144 bytes from 0 are not those that were put"},
		{"bits flipped", func(f *fake) { f.flips = true }, "refused by the object store: get an object whole: 262144 bytes from 0 are not those that were put"},
		{"everything there", func(f *fake) { f.showsAll = true }, "refused by the object store: it shows an object that was never put"},
		{"listing of its own", func(f *fake) { f.misnames = true }, `list what was put: refused by the object store: it lists an object "wholex" of 262144 bytes that was not put`},
		{"writing forbidden", func(f *fake) { f.before = forbid(http.MethodPut) }, "put an object: refused by the object store: 403 AccessDenied: Access Denied"},
		{"listing forbidden", func(f *fake) { f.before = forbid(http.MethodGet, "list-type") }, "list what was put: list objects: refused by the object store: 403 AccessDenied: Access Denied"},
		{"deletion forbidden", func(f *fake) { f.before = forbid(http.MethodDelete) }, "delete an object: delete object whole: refused by the object store: 403 AccessDenied: Access Denied"},
		{"absence forbidden", func(f *fake) { f.before = forbid(http.MethodHead) }, "ask for an object that is not there: refused by the object store: 403 Forbidden"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, cfg := newFake(t)
			tt.lie(f)
			err := open(t, cfg).Probe(t.Context())
			if !errors.Is(err, blob.ErrRefused) {
				t.Fatalf("error %v", err)
			}
			if want := "probe bucket bucket: " + tt.want; err.Error() != want {
				t.Errorf("\n got %s\nwant %s", err, want)
			}
		})
	}
}

// forbid refuses a method, or those of its requests that have a parameter.
func forbid(method string, param ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || len(param) > 0 && !r.URL.Query().Has(param[0]) {
			return false
		}
		fail(w, http.StatusForbidden, "AccessDenied", "Access Denied.")
		return true
	}
}

// TestProbeCleansUp removes what it put, whichever step fails.
func TestProbeCleansUp(t *testing.T) {
	probe := regexp.MustCompile(`^pre/fix/probe/[0-9a-f]{32}/(whole|damaged)$`)
	for _, lie := range []func(*fake){
		func(f *fake) { f.ignoresRanges = true },
		func(f *fake) { f.keepsRefused = true },
	} {
		f, cfg := newFake(t)
		cfg.Prefix = "pre/fix"
		lie(f)
		f.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if key := strings.TrimPrefix(r.URL.Path, "/bucket/"); r.Method == http.MethodPut && !probe.MatchString(key) {
				t.Errorf("put %s", key)
			}
			return false
		}
		if err := open(t, cfg).Probe(t.Context()); !errors.Is(err, blob.ErrRefused) {
			t.Errorf("error %v", err)
		}
		if len(f.objects) != 0 {
			t.Errorf("left behind: %d objects", len(f.objects))
		}
	}
}

func TestCheck(t *testing.T) {
	_, cfg := newFake(t)
	s := open(t, cfg)
	if err := s.Check(t.Context()); !errors.Is(err, s3.ErrEmpty) {
		t.Errorf("an empty store: %v", err)
	}
	blobtest.Put(t, s, "probe/x", nil)
	if err := s.Check(t.Context()); !errors.Is(err, s3.ErrEmpty) {
		t.Errorf("a store that was probed: %v", err)
	}
	blobtest.Put(t, s, "vaults/x", nil)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("a store with an object: %v", err)
	}
	cfg.Bucket = "other"
	err := open(t, cfg).Check(t.Context())
	if want := "bucket other: list objects: refused by the object store: there is no bucket other"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
