package arch

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func source(pkg string, imports ...string) *fstest.MapFile {
	var b strings.Builder
	b.WriteString("package " + pkg + "\n")
	for _, i := range imports {
		b.WriteString("import _ \"" + i + "\"\n")
	}
	return &fstest.MapFile{Data: []byte(b.String())}
}

// The checker finds every kind of violation, and nothing else.
func TestCheckerFindsViolations(t *testing.T) {
	long := source("jobs")
	long.Data = append(long.Data, []byte(strings.Repeat("\n", maxLines))...)
	tree := fstest.MapFS{
		// As it should be.
		"go.mod":                         {Data: []byte("module holdfast\n")},
		"cmd/holdfast/main.go":           source("main", "holdfast/internal/app", "github.com/spf13/cobra"),
		"internal/vault/vault.go":        source("vault", "holdfast/internal/blob", "holdfast/internal/vault/maps"),
		"internal/vault/vault_test.go":   source("vault_test", "holdfast/internal/blob/blobtest"),
		"internal/api/identity/face.go":  source("identity", "holdfast/internal/identity"),
		"internal/jobs/long_test.go":     {Data: long.Data},
		"internal/jobs/method.go":        {Data: []byte("package jobs\ntype q struct{}\nfunc (q) init() {}\n")},
		"internal/vault/testdata/x.go":   source("x", "holdfast/internal/catalog"),
		"internal/vault/.hidden/x.go":    source("x", "holdfast/internal/catalog"),
		"tools/go.mod":                   {Data: []byte("module tools\n")},
		"tools/x.go":                     source("tools"),
		"internal/blob/blobtest/test.go": source("blobtest", "holdfast/internal/blob"),

		// Directions.
		"cmd/holdfast/sql.go":              source("main", "holdfast/internal/catalog"),
		"internal/api/blockstorage/a.go":   source("blockstorage", "holdfast/internal/service", "holdfast/internal/catalog"),
		"internal/api/blockstorage/b.go":   source("blockstorage", "holdfast/internal/vault/maps"),
		"internal/api/blockstorage/c.go":   source("blockstorage", "holdfast/internal/identity"),
		"internal/backup/a.go":             source("backup", "net/http", "golang.org/x/sync/errgroup"),
		"internal/blob/a.go":               source("blob", "holdfast/internal/backup"),
		"internal/service/a.go":            source("service", "holdfast/internal/worker"),
		"internal/vault/a.go":              source("vault", "holdfast/internal/backup"),
		"internal/vault/maps/a.go":         source("maps", "holdfast/internal/vault"),
		"internal/vault/maps/windows.go":   {Data: []byte("//go:build windows\n\npackage maps\nimport _ \"holdfast/internal/clock\"\n")},
		"internal/volume/a.go":             source("volume", "holdfast/internal/obs"),
		"internal/worker/a.go":             source("worker", "holdfast/internal/pgtest"),
		"internal/jobs/long.go":            long,
		"internal/jobs/init.go":            {Data: []byte("package jobs\nfunc init() {}\n")},
		"internal/surprise/a.go":           source("surprise"),
		"internal/vault/util/a.go":         source("util"),
		"internal/vault/pack/a.go":         source("helpers"),
		"pkg/client/a.go":                  source("client"),
		"main.go":                          source("main"),
		"internal/catalog/migrations/a.go": source("migrations", "holdfast/internal/catalog"),
	}
	want := []string{
		`cmd/holdfast/sql.go: imports internal/catalog, and cmd/... may not`,
		`internal/api/blockstorage/a.go: imports internal/catalog, and internal/api/... may not`,
		`internal/api/blockstorage/b.go: imports internal/vault/maps, and internal/api/... may not`,
		`internal/api/blockstorage/c.go: imports internal/identity, and internal/api/... may not`,
		`internal/backup/a.go: imports golang.org/x/sync/errgroup, and may import the standard library alone`,
		`internal/blob/a.go: imports internal/backup, and internal/blob may not`,
		`internal/catalog/migrations/a.go: imports internal/catalog, and internal/catalog/... may not`,
		`internal/jobs/init.go: has a func init: what it sets up is state that nobody passed in`,
		`internal/jobs/long.go: has 601 lines, more than 600: it is more than one idea`,
		`internal/service/a.go: imports internal/worker, and internal/service may not`,
		`internal/surprise: has no place in the table of directions`,
		`internal/vault/a.go: imports internal/backup, and internal/vault may not`,
		`internal/vault/maps/a.go: imports internal/vault, and internal/vault/... may not`,
		`internal/vault/maps/windows.go: imports internal/clock, and internal/vault/... may not`,
		`internal/vault/pack/a.go: package helpers says nothing about what is in it`,
		`internal/vault/util: "util" says nothing about what is in it`,
		`internal/vault/util/a.go: package util says nothing about what is in it`,
		`internal/volume/a.go: imports internal/obs, and internal/volume may not`,
		`internal/worker/a.go: imports internal/pgtest, which is for tests`,
		`.: has no place in the table of directions`,
		`pkg/client: has no place in the table of directions`,
		`pkg/client: "pkg" says nothing about what is in it`,
	}
	got, _, err := check(tree, "holdfast", directions)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestCheckerRefusesWhatIsNotGo(t *testing.T) {
	tree := fstest.MapFS{"internal/jobs/a.go": {Data: []byte("not Go")}}
	if _, _, err := check(tree, "holdfast", directions); err == nil {
		t.Error("accepted")
	}
}
