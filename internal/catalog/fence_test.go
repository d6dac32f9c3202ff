package catalog_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"holdfast/internal/catalog"
)

// writer makes backups that each refer to one pack of the writable set as it
// was when the session had begun.
type writer struct {
	db  *catalog.DB
	rnd *rand.Rand
	no  byte
}

func (w *writer) run(ctx context.Context, rounds int) error {
	for i := range rounds {
		id := catalog.ID{0x50, w.no, byte(i)}
		ref := catalog.SessionRef{Vault: vaultID, ID: id, Token: 1}
		err := w.db.Update(ctx, func(tx *catalog.Tx) error {
			_, err := tx.BeginSession(ctx, catalog.BeginSession{ID: id, Vault: vaultID, Token: 1})
			return err
		})
		if err != nil {
			return err
		}
		var may []catalog.ID
		err = w.db.View(ctx, func(tx *catalog.Tx) error {
			return tx.Writable(ctx, vaultID, func(pack catalog.ID, _ uint32) error {
				may = append(may, pack)
				return nil
			})
		})
		if err != nil {
			return err
		}
		fresh := pack(1000*int(w.no+1)+i, 1)
		fresh.Object = fmt.Sprintf("o%d-%d", w.no, i)
		named := fresh.ID
		if len(may) > 0 && w.rnd.IntN(4) > 0 {
			named = may[w.rnd.IntN(len(may))]
		}
		if w.rnd.IntN(5) == 0 {
			err = w.db.Update(ctx, func(tx *catalog.Tx) error { return tx.AbandonSession(ctx, id) })
			if err != nil {
				return err
			}
			continue
		}
		err = w.db.Update(ctx, func(tx *catalog.Tx) error {
			b := aBackup(fmt.Sprintf("b%d-%d", w.no, i))
			return errors.Join(
				tx.CommitSession(ctx, ref, []catalog.Pack{fresh}, nil),
				tx.InsertBackup(ctx, b),
				tx.SetBackupRecord(ctx, b.ID, catalog.Record{Vault: vaultID, Object: b.ID, Map: named[:]}))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// collecting is a collection that removes packs which no backup refers to.
type collecting struct {
	db   *catalog.DB
	rnd  *rand.Rand
	ref  catalog.SessionRef
	free int
}

func (c *collecting) run(ctx context.Context, stop <-chan struct{}) error {
	err := c.db.Update(ctx, func(tx *catalog.Tx) error {
		return tx.OpenCollection(ctx, catalog.BeginSession{ID: c.ref.ID, Vault: vaultID, Token: 1})
	})
	for err == nil {
		select {
		case <-stop:
			return nil
		default:
		}
		err = c.step(ctx)
		runtime.Gosched()
	}
	return err
}

// step removes what is condemned and can go, and condemns more.
func (c *collecting) step(ctx context.Context) error {
	var v catalog.Survey
	var rows []catalog.PackRow
	err := c.db.View(ctx, func(tx *catalog.Tx) (err error) {
		rows = nil
		if v, err = tx.Survey(ctx, vaultID); err != nil {
			return err
		}
		return tx.EachPack(ctx, vaultID, func(r catalog.PackRow) error {
			rows = append(rows, r)
			return nil
		})
	})
	if err != nil {
		return err
	}
	live := map[string]bool{}
	for _, r := range v.Roots {
		live[string(r.Map)] = true
	}
	var w catalog.Switch
	var more []catalog.PackGen
	for _, r := range rows {
		g := catalog.PackGen{ID: r.ID, Generation: r.Generation}
		switch {
		case r.State == "writable" && c.rnd.IntN(3) == 0:
			more = append(more, g)
		case r.State != "condemned" || r.Epoch > v.Oldest:
		case live[string(r.ID[:])]:
			p := r.Pack
			p.Generation++
			w.New = append(w.New, p)
		default:
			w.Gone = append(w.Gone, g)
		}
	}
	c.free += len(w.Gone)
	if len(w.New)+len(w.Gone) > 0 {
		err = c.db.Update(ctx, func(tx *catalog.Tx) error {
			_, err := tx.Switch(ctx, c.ref, w)
			return err
		})
	}
	if err == nil && len(more) > 0 {
		err = c.db.Update(ctx, func(tx *catalog.Tx) error {
			_, err := tx.Condemn(ctx, c.ref, more)
			return err
		})
	}
	return err
}

// Two processes write and a third collects, all at once: whatever the order of
// their transactions, no committed backup refers to a pack that is gone.
func TestNoCommittedReferenceIsCollected(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 10
	}
	eachConfig(t, func(t *testing.T, cfg catalog.Config) {
		db := open(t, cfg)
		update(t, db, func(ctx context.Context, tx *catalog.Tx) error {
			return tx.InsertVault(ctx, catalog.Vault{ID: vaultID, ProjectID: "p"})
		})
		var writers sync.WaitGroup
		for i := range byte(3) {
			w := &writer{db: open(t, cfg), rnd: rand.New(rand.NewPCG(1, uint64(i))), no: i}
			writers.Go(func() {
				if err := w.run(t.Context(), rounds); err != nil {
					t.Error(err)
				}
			})
		}
		c := &collecting{db: db, rnd: rand.New(rand.NewPCG(2, 2)), ref: collector(1)}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			if err := c.run(t.Context(), stop); err != nil {
				t.Error(err)
			}
		}()
		writers.Wait()
		close(stop)
		<-stopped
		for range 2 { // nobody is left to wait for
			if err := c.step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		v, rows := survey(t, db)
		there := map[catalog.ID]bool{}
		for _, r := range rows {
			there[r.ID] = true
		}
		for _, r := range v.Roots {
			if !there[catalog.ID(r.Map)] {
				t.Errorf("backup %s refers to pack %d, which is gone", r.Object, binary.BigEndian.Uint64(r.Map[8:]))
			}
		}
		if len(v.Roots) == 0 || c.free == 0 {
			t.Errorf("%d backups, %d packs freed: nothing was tested", len(v.Roots), c.free)
		}
	})
}
