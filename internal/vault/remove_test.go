package vault_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
)

// A removal that fails leaves the record of the backup itself.
func TestRecordGoesLast(t *testing.T) {
	const backup = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
	id, _ := format.ParseUUID(backup)
	name := func(n byte) string { return format.RecordPrefix(vault.ID{1}, id) + "1-" + vault.ID{n}.String() }
	for left := range byte(2) { // by another attempt, whose name comes before or after
		store := mem.New()
		for n := range byte(2) {
			if err := store.Put(t.Context(), name(n), io.NewSectionReader(bytes.NewReader([]byte("a")), 0, 1)); err != nil {
				t.Fatal(err)
			}
		}
		faulty := fault.New(store)
		away := errors.New("away")
		faulty.Add(fault.Fault{Op: fault.Delete, Match: name(left), Err: away})
		ref := vault.RecordRef{Object: name(1 - left)}
		if err := vault.RemoveRecords(t.Context(), faulty, vault.ID{1}, backup, ref); !errors.Is(err, away) {
			t.Errorf("removed: %v", err)
		}
		if _, err := store.Stat(t.Context(), ref.Object); err != nil {
			t.Errorf("the record after a removal that failed: %v", err)
		}
		faulty.Clear()
		for range 2 {
			if err := vault.RemoveRecords(t.Context(), faulty, vault.ID{1}, backup, ref); err != nil {
				t.Error(err)
			}
		}
		err := store.List(t.Context(), "", func(o blob.Info) error {
			t.Errorf("%s is left", o.Name)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
