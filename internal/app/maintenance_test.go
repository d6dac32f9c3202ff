package app

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/backup"
	"holdfast/internal/config"
)

// disk writes a file of random bytes, of which each part follows from a seed.
func disk(t *testing.T, path string, seeds ...uint64) []byte {
	t.Helper()
	var content []byte
	for _, s := range seeds {
		part := make([]byte, 1<<20)
		r := rand.NewChaCha8([32]byte{byte(s)})
		r.Read(part)
		content = append(content, part...)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return content
}

// What the vault commands do to a data folder that nobody serves.
func TestCareOfAVault(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Data = filepath.Join(dir, "data")
	v, err := OpenVault(t.Context(), cfg.Resolve(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx := t.Context()
	if _, err := v.Collect(ctx, "", nil); backup.KindOf(err) != backup.NotFound {
		t.Errorf("collect nothing: %v", err)
	}
	path := filepath.Join(dir, "disk")
	var ids []string
	var content []byte
	for i := range uint64(3) {
		content = disk(t, path, 1, 2+i, 3+i)
		it, err := v.Backup(ctx, PathBackup{Volume: "disk", Path: path})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, it.ID)
	}
	before, err := v.Stats(ctx, "")
	if err != nil || before.Backups != 3 || before.Logical != 9<<20 || before.Stored < 5<<20 || before.CollectedAt != nil {
		t.Fatalf("stats %+v, %v", before, err)
	}
	for _, id := range ids[:2] {
		d, err := v.Delete(ctx, "", id, false)
		if err != nil || d.InUse || d.ID != id {
			t.Errorf("deleted: %+v, %v", d, err)
		}
		if _, err := v.Show(ctx, "", id); backup.KindOf(err) != backup.NotFound {
			t.Errorf("the deleted backup is shown: %v", err)
		}
	}
	if _, err := v.Delete(ctx, "", ids[0], true); backup.KindOf(err) != backup.NotFound {
		t.Errorf("delete again: %v", err)
	}
	c, err := v.Collect(ctx, "", nil)
	if err != nil || c.Freed < 1<<20 || c.Waiting || c.Backups != 1 {
		t.Errorf("collected %+v, %v", c, err)
	}
	if m, err := v.Maintain(ctx, "", nil); err != nil || m.Waiting {
		t.Errorf("maintained %+v, %v", m, err)
	}
	after, err := v.Stats(ctx, "")
	if err != nil || after.Backups != 1 || after.Stored >= before.Stored || after.CondemnedPacks != 0 ||
		after.DeadObjects != 0 || after.CollectedAt == nil || after.MaintainedAt == nil {
		t.Errorf("stats %+v, %v", after, err)
	}
	if r, err := v.Verify(ctx, VerifyRequest{ReadData: true}); err != nil || !r.OK() || r.Backups != 1 || r.Odds.Read == 0 {
		t.Errorf("verified %+v, %v", r, err)
	}
	if h, err := v.Heal(ctx, "", nil); err != nil || h.Whole != 0 || len(h.Damaged) != 0 {
		t.Errorf("healed %+v, %v", h, err)
	}
	if d, err := v.Damage(ctx, ""); err != nil || len(d) != 0 {
		t.Errorf("damage %+v, %v", d, err)
	}
	target := filepath.Join(dir, "target")
	err = errors.Join(os.WriteFile(target, nil, 0o600), os.Truncate(target, int64(len(content))),
		v.Restore(ctx, PathRestore{ID: ids[2], Path: target}))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || !bytes.Equal(got, content) {
		t.Errorf("restored something else, %v", err)
	}
}
