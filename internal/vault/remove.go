package vault

import (
	"context"
	"fmt"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
)

// RemoveRecords removes a backup's records, after which the backup is gone:
// those that other attempts left without a commit, and last the one named, if
// any: where an earlier removal fails, the backup is as it was. Backup is a
// UUID. It takes no keys. Removing what is not there is no error.
func RemoveRecords(ctx context.Context, store blob.Store, vault ID, backup string, ref RecordRef) error {
	id, ok := format.ParseUUID(backup)
	if !ok {
		return fmt.Errorf("remove records: %q is no backup's id", backup)
	}
	var objects []string
	err := store.List(ctx, format.RecordPrefix(vault, id), func(o blob.Info) error {
		if o.Name != ref.Object {
			objects = append(objects, o.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list records of backup %s: %w", backup, err)
	}
	if ref.Object != "" {
		objects = append(objects, ref.Object)
	}
	for _, object := range objects {
		name, err := format.ParseRecordName(object)
		if err != nil || name.Vault != vault || name.Backup != id {
			return fmt.Errorf("remove records: %q is no record of backup %s", object, backup)
		}
		if err := store.Delete(ctx, object); err != nil {
			return fmt.Errorf("remove records of backup %s: %w", backup, err)
		}
	}
	return nil
}
