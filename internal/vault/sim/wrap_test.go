package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"holdfast/internal/blob"
	"holdfast/internal/vault"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/vaulttest"
)

// store is the store as one process sees it.
type store struct {
	blob.Store
	w  *world
	by *process
}

func (s store) Put(ctx context.Context, name string, body *io.SectionReader) error {
	if err := s.w.sched.wait(ctx, s.by, "put "+name); err != nil {
		return err
	}
	if err := s.w.puts.note(name, body); err != nil {
		return err
	}
	if err := s.Store.Put(ctx, name, body); err != nil {
		return err
	}
	return s.w.sched.wait(ctx, s.by, "has put "+name) // the process may die, or wait for long, before it knows
}

func (s store) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := s.w.sched.wait(ctx, s.by, fmt.Sprintf("get %s %d", name, off)); err != nil {
		return 0, err
	}
	return s.Store.Get(ctx, name, p, off)
}

func (s store) Stat(ctx context.Context, name string) (int64, error) {
	if err := s.w.sched.wait(ctx, s.by, "stat "+name); err != nil {
		return 0, err
	}
	return s.Store.Stat(ctx, name)
}

func (s store) Delete(ctx context.Context, name string) error {
	if err := s.w.sched.wait(ctx, s.by, "delete "+name); err != nil {
		return err
	}
	s.w.deleted(name)
	if err := s.Store.Delete(ctx, name); err != nil {
		return err
	}
	return s.w.sched.wait(ctx, s.by, "has deleted "+name)
}

func (s store) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	if err := s.w.sched.wait(ctx, s.by, "list "+prefix); err != nil {
		return err
	}
	return s.Store.List(ctx, prefix, fn)
}

// fence is the catalog as one process sees it.
type fence struct {
	w  *world
	by *process
}

func (f fence) wait(ctx context.Context, what string) (*vaulttest.Fence, error) {
	if err := f.w.sched.wait(ctx, f.by, what); err != nil {
		return nil, err
	}
	return f.w.fence, nil
}

func (f fence) Begin(ctx context.Context, s vault.SessionRef) (vault.Begun, error) {
	c, err := f.wait(ctx, "begin")
	if err != nil {
		return vault.Begun{}, err
	}
	return c.Begin(ctx, s)
}

func (f fence) Checkpoint(ctx context.Context, s vault.SessionRef, p vault.Checkpoint) error {
	c, err := f.wait(ctx, "checkpoint")
	if err != nil {
		return err
	}
	return c.Checkpoint(ctx, s, p)
}

func (f fence) Commit(ctx context.Context, s vault.SessionRef, p vault.Commit) error {
	c, err := f.wait(ctx, "commit")
	if err != nil {
		return err
	}
	if err := c.Commit(ctx, s, p); err != nil {
		return err
	}
	f.w.committed(s, p)
	_, err = f.wait(ctx, "has committed")
	return err
}

func (f fence) Locate(ctx context.Context, id vault.ID, packs []vault.ID) ([]vault.Placement, error) {
	c, err := f.wait(ctx, "locate")
	if err != nil {
		return nil, err
	}
	return c.Locate(ctx, id, packs)
}

func (f fence) Survey(ctx context.Context, s vault.SessionRef, fn func(vault.PackRow) error) (vault.Survey, error) {
	c, err := f.wait(ctx, "survey")
	if err != nil {
		return vault.Survey{}, err
	}
	return c.Survey(ctx, s, fn)
}

func (f fence) Condemn(ctx context.Context, s vault.SessionRef, packs []vault.PackGen) (int64, error) {
	c, err := f.wait(ctx, "condemn")
	if err != nil {
		return 0, err
	}
	epoch, err := c.Condemn(ctx, s, packs)
	if err != nil {
		return 0, err
	}
	_, err = f.wait(ctx, "has condemned")
	return epoch, err
}

func (f fence) Switch(ctx context.Context, s vault.SessionRef, w vault.Switch) (int64, error) {
	c, err := f.wait(ctx, "switch")
	if err != nil {
		return 0, err
	}
	epoch, err := c.Switch(ctx, s, w)
	if err != nil {
		return 0, err
	}
	_, err = f.wait(ctx, "has switched")
	return epoch, err
}

func (f fence) Forget(ctx context.Context, s vault.SessionRef, objects []string, done bool) error {
	c, err := f.wait(ctx, "forget")
	if err != nil {
		return err
	}
	return c.Forget(ctx, s, objects, done)
}

// puts sees all that is ever put, and that no key seals twice: what begins
// with the same header, salt included, is the same bytes.
type puts struct {
	mu    sync.Mutex
	salts map[[32]byte][]byte // what follows each header
	names map[string][]byte
}

func newPuts() *puts { return &puts{salts: map[[32]byte][]byte{}, names: map[string][]byte{}} }

var magic = []byte("HOLDFAST")

func (p *puts) note(name string, body *io.SectionReader) error {
	b := make([]byte, body.Size())
	if _, err := body.ReadAt(b, 0); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, ok := p.names[name]; ok && !bytes.Equal(old, b) {
		return fmt.Errorf("object %s is put with other bytes", name)
	}
	p.names[name] = b
	own := map[[32]byte]bool{}
	for at := 0; ; at += len(magic) {
		i := bytes.Index(b[at:], magic)
		if i < 0 || at+i+format.HeaderSize > len(b) {
			return nil
		}
		at += i
		salt := [32]byte(b[at+104 : at+136])
		rest := b[at : at+format.HeaderSize+format.TagSize] // a copy of a directory begins with its pack's header
		if own[salt] {
			continue // the directory of a pack that began above
		}
		own[salt] = true
		if old, ok := p.salts[salt]; ok && !bytes.Equal(old[:format.HeaderSize], rest[:format.HeaderSize]) {
			return fmt.Errorf("object %s: a salt is used by two headers", name)
		} else if ok && !p.copies(name) && !bytes.Equal(old, rest) {
			return fmt.Errorf("object %s: a header seals two contents", name)
		}
		if !p.copies(name) {
			p.salts[salt] = bytes.Clone(rest)
		}
	}
}

// copies reports whether an object holds second copies of directories, which
// begin with the header of their pack and go on with other parts of it.
func (p *puts) copies(name string) bool { return bytes.Contains([]byte(name), []byte("/dirs/")) }
