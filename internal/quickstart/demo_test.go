package quickstart_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/backup"
	"holdfast/internal/clock"
	"holdfast/internal/quickstart"
)

func demonstrate(ctx context.Context, t *testing.T, c *cloud, out *bytes.Buffer) (quickstart.Result, error) {
	t.Helper()
	client, err := quickstart.Connect(t.Context(), c.login())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return quickstart.Demo{
		Client: client, Local: c, Out: out, Clock: clock.NewFake(time.Unix(1000, 0)),
		Content: quickstart.NewContent(small(1)),
	}.Run(ctx)
}

func TestDemonstrationTellsEachStep(t *testing.T) {
	c := newCloud(t)
	var out bytes.Buffer
	result, err := demonstrate(t.Context(), t, c, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	golden(t, "steps.txt", out.Bytes())
	stats := &backup.Stats{Read: 3 << 20, New: 2 << 20, Stored: 1 << 20}
	want := quickstart.Result{VolumeID: "volume-1", BackupID: "backup-3", Rows: []quickstart.Row{
		{What: "backup 1, full", Size: fakeGiB, Stats: stats},
		{What: "backup 2, incremental", Size: fakeGiB, Stats: stats},
		{What: "restore of backup 1", Size: fakeGiB, Outcome: "identical"},
		{What: "restore of backup 2", Size: fakeGiB, Outcome: "identical"},
		{What: "restore of backup 2, alone", Size: fakeGiB, Outcome: "identical"},
	}}
	if d := cmp.Diff(want, result); d != "" {
		t.Errorf("result (-want +got):\n%s", d)
	}
	// Only what the user is to look at stays.
	var left []string
	for _, folder := range []string{"volumes", "backups"} {
		entries, err := os.ReadDir(filepath.Join(c.dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			left = append(left, e.Name())
		}
	}
	if d := cmp.Diff([]string{"volume-1", "backup-3"}, left); d != "" {
		t.Errorf("left behind (-want +got):\n%s", d)
	}
}

// A single wrong byte in a restored volume ends the demonstration with an
// error that says where it is, and the volume stays to be looked at.
func TestDemonstrationFailsOnOneWrongByte(t *testing.T) {
	const at = 33<<20 + 77
	c := newCloud(t)
	c.damage = func(path string) { flip(t, path, at) }
	var out bytes.Buffer
	_, err := demonstrate(t.Context(), t, c, &out)
	var diff *quickstart.DifferenceError
	if !errors.As(err, &diff) || diff.First != at || diff.Bytes != 1 {
		t.Errorf("error %v, want a difference of 1 byte at %d", err, at)
	}
	if !strings.HasSuffix(out.String(), "compare every byte                                  failed\n") {
		t.Errorf("last line isn't the failed step:\n%s", out.String())
	}
	if _, err := os.Stat(filepath.Join(c.dir, "volumes", "volume-4")); err != nil {
		t.Errorf("the volume that differs is gone: %v", err)
	}
}

// Whoever stops the demonstration isn't told that it failed.
func TestDemonstrationStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	c := newCloud(t)
	c.damage = func(string) { stop() }
	var out bytes.Buffer
	_, err := demonstrate(ctx, t, c, &out)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of a cancelled context", err)
	}
	if !strings.HasSuffix(out.String(), " stopped\n") {
		t.Errorf("last line isn't the stopped step:\n%s", out.String())
	}
}

// Fill, Apply and Compare agree about every byte of both moments.
func TestCompareReadsEveryByte(t *testing.T) {
	c := quickstart.NewContent(small(5))
	path := filepath.Join(t.TempDir(), "volume")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := quickstart.Fill(t.Context(), path, c, func(int64, int64) {}); err == nil {
		t.Fatal("filled a volume of the wrong size")
	}
	if err := os.Truncate(path, c.Size()); err != nil {
		t.Fatal(err)
	}
	compare := func(at quickstart.Moment) error {
		return quickstart.Compare(t.Context(), path, c, at, func(int64, int64) {})
	}
	var told atomic.Int64
	tell := func(done, total int64) {
		if done == total {
			told.Add(1)
		}
	}
	if err := quickstart.Fill(t.Context(), path, c, tell); err != nil {
		t.Fatal(err)
	}
	if err := compare(quickstart.Filled); err != nil || told.Load() != 1 {
		t.Fatalf("filled: %v; told %d times that all is done", err, told.Load())
	}
	if err := quickstart.Apply(t.Context(), path, c, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := compare(quickstart.Changed); err != nil {
		t.Fatalf("changed: %v", err)
	}
	var diff *quickstart.DifferenceError
	if err := compare(quickstart.Filled); !errors.As(err, &diff) || diff.Bytes > c.ChangedBytes() {
		t.Fatalf("compared with the other moment: %v, want a difference of up to %d bytes", err, c.ChangedBytes())
	}
	for _, at := range []int64{0, 17*piece - 1, 17 * piece, c.Size() - 1} {
		flip(t, path, at)
		if err := compare(quickstart.Changed); !errors.As(err, &diff) || *diff != (quickstart.DifferenceError{First: at, Bytes: 1}) {
			t.Errorf("byte %d: error %v", at, err)
		}
		flip(t, path, at)
	}
}

// The range that was zeroed between the backups must come back as zeros: a
// restore that leaves the older bytes there is found out.
func TestDemonstrationFindsZeroedDataThatComesBack(t *testing.T) {
	content := quickstart.NewContent(small(1))
	var zeroed quickstart.Change
	for _, ch := range content.Changes() {
		if ch.Zeroes() {
			zeroed = ch
			break
		}
	}
	piece := zeroed.Offset / quickstart.PieceSize
	before := make([]byte, quickstart.PieceSize)
	content.Piece(quickstart.Filled, int(piece), before)

	c := newCloud(t)
	restores := 0
	c.damage = func(path string) {
		if restores++; restores == 2 {
			write(t, path, before[zeroed.Offset-piece*quickstart.PieceSize:][:zeroed.Length], zeroed.Offset)
		}
	}
	_, err := demonstrate(t.Context(), t, c, &bytes.Buffer{})
	var diff *quickstart.DifferenceError
	if !errors.As(err, &diff) || diff.First < zeroed.Offset || diff.First >= zeroed.Offset+zeroed.Length {
		t.Fatalf("error %v, want a difference at %d", err, zeroed.Offset)
	}
}

func TestDemonstrationReportsWhatTheServiceReports(t *testing.T) {
	c := newCloud(t)
	c.failing["backup"] = "error"
	_, err := demonstrate(t.Context(), t, c, &bytes.Buffer{})
	want := "back it up: /backups/backup-2 has the status error: the disk is full"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestConnectRefusedNamesTheUserAndNotThePassword(t *testing.T) {
	login := newCloud(t).login()
	login.Password = "open"
	_, err := quickstart.Connect(t.Context(), login)
	want := "log in as admin: POST /identity/v3/auth/tokens: 401 Unauthorized: " +
		"The request you have made requires authentication. (req-7)"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	c := newCloud(t)
	c.failing["volume"] = "creating" // and never anything else
	ctx, cancel := context.WithCancel(t.Context())
	client, err := quickstart.Connect(ctx, c.login())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c.mu.Lock()
	c.requests = nil
	c.mu.Unlock()
	demo := quickstart.Demo{
		Client: client, Local: c, Out: &bytes.Buffer{}, Clock: clock.Real{},
		Content: quickstart.NewContent(small(1)),
	}
	ended := make(chan error)
	go func() {
		_, err := demo.Run(ctx)
		ended <- err
	}()
	for asked := 0; asked < 3; {
		c.mu.Lock()
		asked = len(c.requests)
		c.mu.Unlock()
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	write(t, path, []byte{b[0] ^ 0x10}, at)
}

func write(t *testing.T, path string, b []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}
