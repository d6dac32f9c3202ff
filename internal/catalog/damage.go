package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Damage is a pack that is known to be missing or damaged. New references must
// not name it, until it has been healed or found to be whole.
type Damage struct {
	Pack    ID
	What    string // what was found
	Spare   bool   // only what restores don't read: new references may name it
	FoundAt time.Time
}

// MarkDamaged marks packs of a vault. One that is marked already stays as it
// was, unless more of it is damaged. It returns how many were not.
func (tx *Tx) MarkDamaged(ctx context.Context, vault ID, marks []Damage) (int, error) {
	added := 0
	err := eachChunk(marks, func(part []Damage) error {
		a := args{Cell{&vault}, tx.now.UnixMicro()}
		rows := make([]string, len(part))
		for i := range part {
			rows[i] = "($1, " + a.add(Cell{&part[i].Pack}) + ", " + a.add(clean(part[i].What)) + ", " + a.add(Cell{&part[i].Spare}) + ", $2)"
		}
		n, err := tx.changed(ctx, "INSERT INTO vault_damage (vault_id, pack_id, what, spare, found_at) VALUES "+strings.Join(rows, ", ")+
			` ON CONFLICT (vault_id, pack_id) DO UPDATE SET what = excluded.what, spare = 0
				WHERE vault_damage.spare = 1 AND excluded.spare = 0`, a...)
		added += int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("mark damaged packs of vault %x: %w", vault, err)
	}
	return added, nil
}

// maxWhat bounds, in bytes, what is kept of a text that errors made.
const maxWhat = 1 << 10

// clean makes a text one that can be stored.
func clean(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\\0"), "?")
	if len(text) > maxWhat {
		text = strings.ToValidUTF8(text[:maxWhat], "")
	}
	return text
}

// ClearDamage removes the marks of packs that are whole or gone.
func (tx *Tx) ClearDamage(ctx context.Context, vault ID, packs []ID) error {
	err := eachChunk(packs, func(part []ID) error {
		a := args{Cell{&vault}}
		_, err := tx.Exec(ctx, "DELETE FROM vault_damage WHERE vault_id = $1 AND pack_id IN ("+addAll(&a, cells(part))+")", a...)
		return err
	})
	if err != nil {
		return fmt.Errorf("clear marks of vault %x: %w", vault, err)
	}
	return nil
}

// Damage returns the marked packs of a vault in the order of their ids.
func (tx *Tx) Damage(ctx context.Context, vault ID) ([]Damage, error) {
	rows, err := tx.Query(ctx, "SELECT pack_id, what, spare, found_at FROM vault_damage WHERE vault_id = $1 ORDER BY pack_id", Cell{&vault})
	if err != nil {
		return nil, fmt.Errorf("read the damage of vault %x: %w", vault, err)
	}
	defer rows.Close()
	var all []Damage
	for rows.Next() {
		var d Damage
		if err := rows.Scan(Cell{&d.Pack}, &d.What, Cell{&d.Spare}, Cell{&d.FoundAt}); err != nil {
			return nil, fmt.Errorf("read the damage of vault %x: %w", vault, err)
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// PacksIn returns the packs that have a generation, or a directory's copy, in
// an object.
func (tx *Tx) PacksIn(ctx context.Context, vault ID, object string) ([]ID, error) {
	rows, err := tx.Query(ctx, `SELECT pack_id FROM vault_packs WHERE vault_id = $1 AND object = $2
		UNION SELECT pack_id FROM vault_packs WHERE vault_id = $1 AND copy_in = $2 ORDER BY pack_id`, Cell{&vault}, object)
	if err != nil {
		return nil, fmt.Errorf("read the packs of object %s: %w", object, err)
	}
	defer rows.Close()
	var all []ID
	for rows.Next() {
		var id ID
		if err := rows.Scan(Cell{&id}); err != nil {
			return nil, fmt.Errorf("read the packs of object %s: %w", object, err)
		}
		all = append(all, id)
	}
	return all, rows.Err()
}
