package catalog_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/pgtest"
)

// BenchmarkLargeVault measures what happens to a vault of 16 TiB: half a million
// packs and 10,000 backups.
func BenchmarkLargeVault(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		largeVault(b, catalog.Config{Path: b.TempDir() + "/catalog.db", Clock: clock.NewFake(start)})
	})
	b.Run("postgres", func(b *testing.B) {
		largeVault(b, catalog.Config{URL: pgtest.URL(b), Clock: clock.NewFake(start)})
	})
}

func largeVault(b *testing.B, cfg catalog.Config) {
	const packs, backups = 1 << 19, 10_000
	db := open(b, cfg)
	fill(b, db, packs, backups)
	ref := catalog.SessionRef{Vault: vaultID, ID: collectionID, Token: 1}
	update(b, db, func(ctx context.Context, tx *catalog.Tx) error {
		return tx.OpenCollection(ctx, catalog.BeginSession{ID: collectionID, Vault: vaultID, Token: 1})
	})
	n := byte(1)
	for _, bench := range []struct {
		name string
		view bool
		do   step
	}{
		{"begin", false, func(ctx context.Context, tx *catalog.Tx) error {
			n++
			_, err := tx.BeginSession(ctx, catalog.BeginSession{ID: catalog.ID{0xee, n}, Vault: vaultID, Token: 1})
			return err
		}},
		{"writable", true, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.Writable(ctx, vaultID, func(catalog.ID, uint32) error { return nil })
		}},
		{"survey", true, func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.Survey(ctx, vaultID); return err }},
		{"packs", true, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.EachPack(ctx, vaultID, func(catalog.PackRow) error { return nil })
		}},
		{"stats", true, func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.PackCounts(ctx, vaultID); return err }},
		{"came free", true, func(ctx context.Context, tx *catalog.Tx) error { _, err := tx.CameFree(ctx, vaultID, 0); return err }},
		{"locate 500", true, func(ctx context.Context, tx *catalog.Tx) error {
			_, err := tx.Packs(ctx, vaultID, someIDs(packs, 500))
			return err
		}},
		{"condemn 500", false, func(ctx context.Context, tx *catalog.Tx) error {
			var some []catalog.PackGen
			for _, id := range someIDs(packs, 500) {
				some = append(some, catalog.PackGen{ID: id, Generation: 1})
			}
			_, err := tx.Condemn(ctx, ref, some)
			return err
		}},
		{"switch 500", false, func(ctx context.Context, tx *catalog.Tx) error {
			var w catalog.Switch
			n++
			for i, id := range someIDs(packs, 500) {
				p := pack(0, uint32(n))
				p.ID, p.Object, p.DirObject = id, fmt.Sprint("new", n, i), "newdir"
				w.New, w.Dead = append(w.New, p), append(w.Dead, fmt.Sprint("gone", n, i))
			}
			_, err := tx.Switch(ctx, ref, w)
			return err
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				if bench.view {
					view(b, db, bench.do)
				} else {
					update(b, db, bench.do)
				}
			}
		})
	}
}

func someIDs(of, n int) []catalog.ID {
	seen := map[catalog.ID]bool{}
	var ids []catalog.ID
	for len(ids) < n {
		if id := randomPack(rand.IntN(of)); !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// randomPack returns the id of the n-th pack of a vault whose ids are random.
func randomPack(n int) (id catalog.ID) {
	binary.BigEndian.PutUint64(id[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// fill makes a vault with packs and backups, by sessions of many packs.
func fill(b *testing.B, db *catalog.DB, packs, backups int) {
	b.Helper()
	update(b, db, func(ctx context.Context, tx *catalog.Tx) error {
		return tx.InsertVault(ctx, catalog.Vault{ID: vaultID, ProjectID: "p"})
	})
	for i := range backups {
		update(b, db, func(ctx context.Context, tx *catalog.Tx) error {
			id := catalog.ID{0: 1, 14: byte(i >> 8), 15: byte(i)}
			if _, err := tx.BeginSession(ctx, catalog.BeginSession{ID: id, Vault: vaultID, Token: 1}); err != nil {
				return err
			}
			var ps []catalog.Pack
			for n := i * packs / backups; n < (i+1)*packs/backups; n++ {
				p := pack(0, 1)
				p.ID = randomPack(n)
				p.Object = fmt.Sprintf("vaults/%x/packs/%x-1-%x", vaultID, id, p.ID)
				p.DirObject = fmt.Sprintf("vaults/%x/dirs/%x-1-%x", vaultID, id, i)
				ps = append(ps, p)
			}
			if err := tx.CommitSession(ctx, catalog.SessionRef{Vault: vaultID, ID: id, Token: 1}, ps, nil); err != nil {
				return err
			}
			back := aBackup(fmt.Sprintf("b%05d", i))
			if err := tx.InsertBackup(ctx, back); err != nil {
				return err
			}
			return tx.SetBackupRecord(ctx, back.ID, catalog.Record{Vault: vaultID, Object: "record" + back.ID, Map: make([]byte, 60)})
		})
	}
}
