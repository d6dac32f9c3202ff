package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// bench is one run of all.
type bench struct {
	options
	images  images
	results *results
}

func (b *bench) bin(name string) string { return filepath.Join(b.dir, "bin", name) }

func (b *bench) wanted(name string) bool {
	return b.only == "" || slices.Contains(strings.Split(b.only, ","), name)
}

// say tells what goes on.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// prepare makes what is measured, and what it is measured on.
func (b *bench) prepare(ctx context.Context) error {
	for _, c := range [][]string{
		{"build", "-trimpath", "-o", b.bin("holdfast"), "./cmd/holdfast"},
		{"build", "-trimpath", "-o", b.bin("roof"), "./bench/roof"},
		{"build", "-trimpath", "-o", b.bin("growth"), "./bench/growth"},
	} {
		if _, err := measure(ctx, command{args: append([]string{goTool()}, c...), env: []string{"CGO_ENABLED=0"}}); err != nil {
			return err
		}
	}
	if err := installPeers(ctx); err != nil {
		return err
	}
	if b.corpus == "" {
		b.corpus = filepath.Join(b.dir, "corpus")
		b.images = images{b.corpus}
		if err := b.makeCorpus(ctx); err != nil {
			return err
		}
	}
	need, err := b.space()
	if err != nil {
		return err
	}
	free, err := freeSpace(b.dir)
	if err != nil {
		return err
	}
	if free < need {
		return fmt.Errorf("%s has %d MiB free, and %d are needed: -dir names another folder", b.dir, free>>20, need>>20)
	}
	return nil
}

// space returns how many bytes are used at most at once: the largest peer's
// store of four disks, not deduplicated, and a restored image.
func (b *bench) space() (int64, error) {
	sum := int64(0)
	for _, step := range []string{firstFull, sibling, clone, restoreGen2} {
		size, err := allocated(b.images.path(image(step)))
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}

func goTool() string {
	if g := os.Getenv("GO"); g != "" {
		return g
	}
	return "go"
}

// makeCorpus runs bench/corpus/make-corpus, which leaves a finished one alone.
func (b *bench) makeCorpus(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "bench/corpus/make-corpus", b.corpus)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SEED=%d", b.seed), fmt.Sprintf("SCALE=%d", b.scale))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make the corpus: %w", err)
	}
	return nil
}

// installPeers has Debian's peers in place where they can be had; those that
// can't are missing in the table.
func installPeers(ctx context.Context) error {
	var missing []string
	for program, pkg := range map[string]string{"restic": "restic", "borg": "borgbackup", "qemu-img": "qemu-utils", "zstd": "zstd"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 || os.Getenv("NO_INSTALL") != "" {
		say("not installed, and missing in the table: %s", strings.Join(missing, " "))
		return nil
	}
	say("installing with apt-get: %s (NO_INSTALL=1 skips this)", strings.Join(missing, " "))
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	install := append([]string{"apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends"}, missing...)
	if _, err := measure(ctx, command{args: install, env: env}); err == nil {
		return nil
	}
	_, err := measure(ctx, command{args: []string{"apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "update"}, env: env})
	if err == nil {
		_, err = measure(ctx, command{args: install, env: env})
	}
	if err != nil && ctx.Err() == nil {
		say("apt-get failed, what is missing stays so: %v", err)
		return nil
	}
	return err
}

// rounds measures all contenders in turn, round by round, so that what the
// machine does besides meets all of them.
func (b *bench) rounds(ctx context.Context) error {
	for round := range b.runs {
		for _, c := range contenders(b) {
			steps := c.steps(round == 0, b.small)
			if len(steps) == 0 {
				continue
			}
			say("round %d of %d: %s", round+1, b.runs, c.name())
			if err := b.turn(ctx, c, steps, round == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// turn measures one contender's round. Only what ends the whole run is an
// error; a step that fails is shown in the table.
func (b *bench) turn(ctx context.Context, c contender, steps []string, compare bool) (err error) {
	dir := filepath.Join(b.dir, "turn")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p := place{dir: dir, store: filepath.Join(dir, "store"), restored: filepath.Join(dir, "restored.img"), images: b.images}
	defer func() { err = errors.Join(err, c.end()) }()
	if err := c.begin(ctx, p); err != nil {
		b.results.fail(c.name(), steps, err)
		return ctx.Err()
	}
	totals := map[string]float64{}
	for _, step := range steps {
		s, err := b.step(ctx, c, step, p, compare)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			say("%s, %s: %v", c.name(), step, err)
			b.results.fail(c.name(), []string{step}, err)
			continue
		}
		totals[step] = s.total
		switch step {
		case maintainSib:
			s.added = s.total - totals[maintainGens] // by the sibling and by what became of it
		case restoreGen1:
			s.amplified = s.read / max(totals[firstFull], 1)
		}
		b.results.add(c.name(), step, s)
	}
	return nil
}

// step measures one step: with what it reads in the page cache, and nothing
// left to write from before.
func (b *bench) step(ctx context.Context, c contender, step string, p place, compare bool) (sample, error) {
	if err := b.warm(step, p); err != nil {
		return sample{}, err
	}
	if err := syncFolder(p.dir); err != nil {
		return sample{}, err
	}
	before, err := folderSize(p.store)
	if err != nil {
		return sample{}, err
	}
	u, err := c.do(ctx, step)
	if err != nil {
		return sample{}, err
	}
	after, err := folderSize(p.store)
	if err != nil {
		return sample{}, err
	}
	s := sample{wall: u.wall, cpu: u.cpu, rss: u.rss, read: u.read, gets: u.gets, added: mib(after - before), total: mib(after)}
	if !isRestore(step) {
		return s, nil
	}
	if compare {
		err = sameContent(p.restored, b.images.path(image(step)))
	}
	return s, errors.Join(err, os.Remove(p.restored))
}

func (b *bench) warm(step string, p place) error {
	if isRestore(step) {
		return readFolder(p.store)
	}
	if name := image(step); name != "" {
		return readFile(b.images.path(name))
	}
	return nil
}
