package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// restic is restic with a repository in a folder, made to read the image again
// each time.
type restic struct {
	nothingRuns
	title string
	flags []string

	place     place
	snapshots map[string]string
}

func (r *restic) name() string { return r.title }

func (r *restic) steps(firstRound, small bool) []string {
	if small && r.flags == nil {
		return nil
	}
	return peerSteps(firstRound, small)
}

func (r *restic) run(ctx context.Context, args ...string) (usage, error) {
	return measure(ctx, command{
		args: append(append([]string{"restic"}, r.flags...), args...),
		env: []string{
			"RESTIC_REPOSITORY=" + r.place.store, "RESTIC_PASSWORD=bench", "RESTIC_CACHE_DIR=" + filepath.Join(r.place.dir, "cache"),
		},
	})
}

func (r *restic) begin(ctx context.Context, p place) error {
	r.place, r.snapshots = p, map[string]string{}
	_, err := r.run(ctx, "init", "-q")
	return err
}

func (r *restic) do(ctx context.Context, step string) (usage, error) {
	switch step {
	case remove:
		return r.run(ctx, "forget", "-q", r.snapshots[firstFull])
	case collect:
		return r.run(ctx, "prune", "-q")
	case restoreGen1, restoreGen2:
		to := filepath.Join(r.place.dir, "restored")
		u, err := r.run(ctx, "restore", "-q", r.snapshots[image(step)], "--target", to)
		if err != nil {
			return u, err
		}
		return u, os.Rename(filepath.Join(to, r.place.images.path(image(step))), r.place.restored)
	}
	u, err := r.run(ctx, "backup", "--json", "--force", r.place.images.path(image(step)))
	if err != nil {
		return u, err
	}
	var said struct {
		Snapshot string `json:"snapshot_id"`
	}
	if err := json.Unmarshal([]byte(lastLine(string(u.out))), &said); err != nil {
		return u, fmt.Errorf("read what restic backup says: %w", err)
	}
	r.snapshots[step] = said.Snapshot
	return u, nil
}

// borg is borg with an encrypted repository in a folder, made to read the
// image again each time.
type borg struct {
	nothingRuns
	title string
	flags []string

	place place
}

func (b *borg) name() string { return b.title }

func (b *borg) steps(firstRound, small bool) []string {
	if small && b.flags == nil {
		return nil
	}
	return peerSteps(firstRound, small)
}

func (b *borg) run(ctx context.Context, args ...string) (usage, error) {
	base := filepath.Join(b.place.dir, "base")
	return measure(ctx, command{
		args: append([]string{"borg"}, args...),
		dir:  b.place.dir,
		env:  []string{"BORG_REPO=" + b.place.store, "BORG_PASSPHRASE=bench", "BORG_BASE_DIR=" + base, "LANG=C.UTF-8"},
	})
}

func (b *borg) begin(ctx context.Context, p place) error {
	b.place = p
	_, err := b.run(ctx, "init", "-e", "repokey-blake2")
	return err
}

func (b *borg) do(ctx context.Context, step string) (usage, error) {
	switch step {
	case remove:
		return b.run(ctx, "delete", "::"+firstFull)
	case collect:
		return b.run(ctx, "compact")
	case restoreGen1, restoreGen2:
		u, err := b.run(ctx, "extract", "--sparse", "::"+image(step))
		if err != nil {
			return u, err
		}
		return u, os.Rename(filepath.Join(b.place.dir, b.place.images.path(image(step))), b.place.restored)
	}
	args := append([]string{"create", "--files-cache", "disabled"}, b.flags...)
	return b.run(ctx, append(args, "::"+step, b.place.images.path(image(step)))...)
}

// plain is a program that knows no earlier backups: it packs one image.
type plain struct {
	nothingRuns
	title        string
	pack, unpack []string // IN and OUT stand for paths

	place place
}

func (p *plain) name() string { return p.title }

func (p *plain) steps(_, small bool) []string {
	if small {
		return nil
	}
	return []string{firstFull, restoreGen1}
}

func (p *plain) begin(_ context.Context, at place) error {
	p.place = at
	return os.Mkdir(at.store, 0o700)
}

func (p *plain) do(ctx context.Context, step string) (usage, error) {
	packed := filepath.Join(p.place.store, "packed")
	args, in, out := p.pack, p.place.images.path(image(step)), packed
	if isRestore(step) {
		args, in, out = p.unpack, packed, p.place.restored
	}
	with := make([]string, len(args))
	paths := strings.NewReplacer("IN", in, "OUT", out)
	for i, a := range args {
		with[i] = a
		if a == "IN" || a == "OUT" {
			with[i] = paths.Replace(a)
		}
	}
	return measure(ctx, command{args: with})
}

// roof is bench/roof.
type roof struct {
	nothingRuns
	bin    string
	method string

	place place
}

func (r *roof) name() string { return theRoof }

func (r *roof) steps(_, _ bool) []string { return []string{unchanged, firstFull, restoreGen1} }

func (r *roof) begin(_ context.Context, p place) error {
	r.place = p
	return nil
}

func (r *roof) do(ctx context.Context, step string) (usage, error) {
	args := []string{r.bin, "unchanged", r.place.images.path(busyDay)}
	switch step {
	case firstFull:
		args = []string{r.bin, "first", r.method, r.place.images.path(firstFull), r.place.store}
	case restoreGen1:
		args = []string{r.bin, "restore", r.place.store, r.place.restored}
	}
	return measure(ctx, command{args: args})
}
