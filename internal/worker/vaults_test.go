package worker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
	"holdfast/internal/catalog"
	"holdfast/internal/clock"
	"holdfast/internal/pgtest"
	"holdfast/internal/vault"
	"holdfast/internal/vault/keyring"
	"holdfast/internal/vault/vaulttest"
	"holdfast/internal/worker"
)

// ordered is a source of random bytes each of whose reads begins with the same
// byte, so that the ids made of two sources are in a known order.
type ordered byte

func (o ordered) Read(p []byte) (int, error) {
	n, err := rand.Read(p)
	p[0] = byte(o)
	return n, err
}

// Two processes make one project's vault at the same time, and the slower one
// ends after the other has stored a backup. Both use the same keys.
func TestVaultIsMadeOnce(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { vaultIsMadeOnce(t, catalog.Config{Path: filepath.Join(t.TempDir(), "catalog.db")}) })
	t.Run("postgres", func(t *testing.T) { vaultIsMadeOnce(t, catalog.Config{URL: pgtest.URL(t)}) })
}

func vaultIsMadeOnce(t *testing.T, cfg catalog.Config) {
	ctx := t.Context()
	cfg.Clock, cfg.Log = clock.NewFake(start), quiet()
	db, err := catalog.Open(ctx, cfg)
	must(t, err)
	defer db.Close()
	master, err := keyring.NewMaster(rand.Reader)
	must(t, err)
	store := fault.New(mem.New())
	process := func(random io.Reader) *worker.Vaults {
		return worker.NewVaults(worker.VaultsConfig{
			DB: db, Store: store, Master: master, Index: vault.NewIndex(vault.IndexConfig{}),
			Rand: random, Workers: 1, Now: time.Now, Log: quiet(),
		})
	}

	stopped, goOn := make(chan struct{}), make(chan struct{})
	store.Add(fault.Fault{Op: fault.Put, Match: "/keys/naming-", Nth: 1, Before: func(context.Context) error {
		close(stopped)
		<-goOn
		return nil
	}})
	slow, fast := process(ordered(1)), process(ordered(255)) // the slow one's set comes first by its id
	ended := make(chan error)
	go func() {
		_, err := slow.For(ctx, "p1")
		ended <- err
	}()
	<-stopped

	id, err := fast.For(ctx, "p1")
	must(t, err)
	fence := vaulttest.NewFence()
	v, err := fast.Open(ctx, id, fence)
	must(t, err)
	data := bytes.Repeat([]byte("data"), 3000)
	req := vault.BackupRequest{
		Session: fence.Session(id, nil), Info: vault.Info{Backup: uuid.NewString()}, Source: &vaulttest.Volume{Data: data},
	}
	_, err = v.Backup(ctx, req)
	must(t, err)
	close(goOn)
	must(t, <-ended)

	for name, p := range map[string]*worker.Vaults{"slow": slow, "fast": fast, "later": process(ordered(3))} {
		v, err := p.Open(ctx, id, fence)
		must(t, err)
		target := &vaulttest.Volume{Data: make([]byte, len(data))}
		if err := v.Restore(ctx, vault.RestoreRequest{Record: fence.Committed(req.Session).Record, Target: target}); err != nil {
			t.Errorf("the %s process can't restore: %v", name, err)
		} else if !bytes.Equal(target.Data, data) {
			t.Errorf("the %s process restores other bytes", name)
		}
	}
}
