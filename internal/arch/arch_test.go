// Package arch keeps the parts of the program apart: imports run one way, and
// every package has its place in the table below.
package arch

import (
	"os"
	"strings"
	"testing"
)

// directions says which packages of ours each package may import, tests aside.
// A path that ends in "/..." stands for all packages below it; the first line
// that fits a package counts. A package that no line fits is refused: give it
// its place here.
//
// From top to bottom: cmd → app → api, web, worker → service → jobs, catalog,
// schedule, openstack → backup; worker → vault, volume; vault → blob.
var directions = []rule{
	{pkg: "cmd/...", may: []string{
		"internal/app", "internal/quickstart", "internal/config", "internal/obs", "internal/backup", "internal/progress", "internal/clock",
	}},

	// Wiring sees all, test support aside.
	{pkg: "internal/app", may: []string{
		"internal/api/...", "internal/web", "internal/worker", "internal/service", "internal/identity", "internal/jobs",
		"internal/schedule", "internal/openstack", "internal/catalog", "internal/vault", "internal/vault/...", "internal/volume",
		"internal/volume/...", "internal/blob", "internal/blob/...", "internal/backup", "internal/config", "internal/obs", "internal/clock",
	}},
	// Starts the service, and is then an ordinary client of it: it sees nothing of its inside.
	{pkg: "internal/quickstart", may: []string{"internal/app", "internal/progress", "internal/config", "internal/backup", "internal/clock"}},
	{pkg: "internal/progress", may: []string{"internal/clock"}},

	// Faces know the use cases, and neither catalog nor vault.
	{pkg: "internal/api/kit", may: []string{"internal/backup", "internal/obs", "internal/clock"}},
	{pkg: "internal/api/identity", may: []string{"internal/identity", "internal/service", "internal/backup", "internal/api/kit", "internal/obs", "internal/clock"}},
	{pkg: "internal/api/...", may: []string{"internal/service", "internal/backup", "internal/api/kit", "internal/obs", "internal/clock"}},
	{pkg: "internal/web", may: []string{"internal/service", "internal/backup", "internal/api/kit", "internal/obs", "internal/clock"}},

	{pkg: "internal/worker", may: []string{
		"internal/service", "internal/jobs", "internal/catalog", "internal/schedule", "internal/openstack", "internal/vault", "internal/vault/...",
		"internal/volume", "internal/volume/...", "internal/blob", "internal/backup", "internal/obs", "internal/clock",
	}},
	{pkg: "internal/service", may: []string{
		"internal/jobs", "internal/catalog", "internal/schedule", "internal/openstack", "internal/backup", "internal/obs", "internal/clock",
	}},
	{pkg: "internal/identity", may: []string{"internal/catalog", "internal/backup", "internal/obs", "internal/clock"}},
	{pkg: "internal/jobs", may: []string{"internal/catalog", "internal/backup", "internal/obs", "internal/clock"}},
	{pkg: "internal/openstack", may: []string{"internal/backup", "internal/obs", "internal/clock"}},
	{pkg: "internal/schedule", may: []string{"internal/backup", "internal/clock"}},
	{pkg: "internal/catalog", may: []string{"internal/catalog/...", "internal/backup", "internal/clock"}},
	{pkg: "internal/catalog/...", may: []string{"internal/backup"}},

	// The engine is a library of its own.
	{pkg: "internal/vault", may: []string{"internal/vault/...", "internal/blob"}},
	{pkg: "internal/vault/vaulttest", may: []string{"internal/vault", "internal/vault/...", "internal/blob", "internal/blob/..."}, testSupport: true},
	{pkg: "internal/vault/changemap", may: []string{"internal/vault", "internal/vault/..."}},
	{pkg: "internal/vault/...", may: []string{"internal/vault/...", "internal/blob"}},
	{pkg: "internal/volume", may: []string{"internal/volume/..."}},
	{pkg: "internal/volume/...", may: []string{"internal/volume/..."}},
	{pkg: "internal/blob", may: nil},
	{pkg: "internal/blob/...", may: []string{"internal/blob", "internal/blob/..."}},

	{pkg: "internal/backup", standardOnly: true},
	{pkg: "internal/config", may: []string{"internal/obs", "internal/clock"}},
	{pkg: "internal/obs", may: []string{"internal/clock"}},
	{pkg: "internal/clock", may: nil},

	// What make bench runs. The roof stands on the engine's rooms, so that it does the same work.
	{pkg: "bench/roof", may: []string{"internal/vault/format", "internal/vault/naming", "internal/vault/compress", "internal/vault/sealing"}},
	{pkg: "bench/growth", may: []string{"internal/vault", "internal/vault/...", "internal/blob/local"}, testSupport: true},
	{pkg: "bench/...", may: nil},

	// Tests and what only tests import.
	{pkg: "internal/blob/blobtest", may: []string{"internal/blob"}, testSupport: true},
	{pkg: "internal/pgtest", may: nil, testSupport: true},
	{pkg: "internal/s3test", may: nil, testSupport: true},
	{pkg: "internal/e2e", may: nil, testSupport: true},
	{pkg: "internal/arch", may: nil, testSupport: true},
}

const maxLines = 600

func TestArchitecture(t *testing.T) {
	root := os.DirFS("../..")
	problems, seen, err := check(root, "holdfast", directions)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
	// That the walk saw the program at all.
	for _, want := range []string{"internal/backup", "internal/blob/local", "internal/vault"} {
		if !seen[want] {
			t.Errorf("%s was not looked at, only %s", want, strings.Join(sorted(seen), " "))
		}
	}
}
