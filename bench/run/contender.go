package main

import (
	"context"
	"strings"
	"time"
)

// The steps, in the order in which they are measured.
const (
	firstFull   = "gen1" // backups of these images
	busyDay     = "gen2"
	unchanged   = "unchanged" // gen2 again
	sibling     = "sib"
	clone       = "clone"
	quietDay    = "gen3"
	busyDayMap  = "gen2 by its change map"
	restoreGen1 = "restore gen1"
	restoreGen2 = "restore gen2"
	remove      = "delete" // the backup of gen1
	collect     = "collect"
	maintain    = "maintain"

	// The same, after gen2 and after sib.
	maintainGens = "maintain after gen2"
	maintainSib  = "maintain after sib"
)

// image returns the image that a step backs up or restores; empty: none.
func image(step string) string {
	switch step {
	case unchanged, busyDayMap, restoreGen2:
		return busyDay
	case restoreGen1:
		return firstFull
	case firstFull, busyDay, sibling, clone, quietDay:
		return step
	}
	return ""
}

// isRestore reports whether a step writes an image.
func isRestore(step string) bool { return strings.HasPrefix(step, "restore ") }

// place is where a contender works. Its store is what it is measured by.
type place struct {
	dir      string // for what is no store: configuration, caches
	store    string // does not exist yet
	restored string // where a restore's image is to be
	images   images
}

// contender is a program with its settings.
type contender interface {
	name() string
	// steps returns what is measured in a round; in the first one sizes too.
	steps(firstRound, small bool) []string
	// begin makes an empty store.
	begin(ctx context.Context, p place) error
	// do carries a step out. The path of what a restore wrote is p.restored.
	do(ctx context.Context, step string) (usage, error)
	// end stops what begin left running; it is called once for each begin.
	end() error
}

// nothingRuns is the end of contenders that leave nothing running.
type nothingRuns struct{}

func (nothingRuns) end() error { return nil }

// contenders returns all that are measured.
func contenders(b *bench) []contender {
	all := []contender{
		&roof{bin: b.bin("roof"), method: "s2"},
		&holdfast{title: ours, bin: b.bin("holdfast")},
		&holdfast{title: oursMap, bin: b.bin("holdfast"), only: []string{firstFull, busyDayMap}},
		&holdfast{title: oursBalanced, bin: b.bin("holdfast"), compression: "balanced", sizes: true, only: []string{firstFull, busyDay, sibling, clone, quietDay}},
		&holdfast{title: oursMaintained, bin: b.bin("holdfast"), sizes: true, only: []string{firstFull, busyDay, maintainGens, sibling, maintainSib, clone, maintain}},
		&onS3{holdfast: holdfast{title: oursS3, bin: b.bin("holdfast")}},
		&onS3{holdfast: holdfast{title: oursFarS3, bin: b.bin("holdfast")}, delay: 20 * time.Millisecond},
		&grown{bin: b.bin("holdfast"), growth: b.bin("growth")},
		&restic{title: "restic"},
		&restic{title: "restic 64M", flags: []string{"--pack-size", "64"}},
		&borg{title: "borg"},
		&borg{title: "borg 4M", flags: []string{"--chunker-params", "fixed,4194304", "-C", "zstd,1", "--sparse"}},
		&plain{title: "zstd", pack: []string{"zstd", "-q", "-1", "-T2", "IN", "-o", "OUT"}, unpack: []string{"zstd", "-q", "-d", "--sparse", "IN", "-o", "OUT"}},
		&plain{
			title: "qemu-img", pack: []string{"qemu-img", "convert", "-c", "-m", "2", "-O", "qcow2", "-o", "compression_type=zstd", "-f", "raw", "IN", "OUT"},
			unpack: []string{"qemu-img", "convert", "-f", "qcow2", "-O", "raw", "IN", "OUT"},
		},
	}
	var some []contender
	for _, c := range all {
		if b.wanted(c.name()) {
			some = append(some, c)
		}
	}
	return some
}

// The names of contenders that rows speak of.
const (
	ours           = "holdfast"
	oursMap        = "holdfast map"
	oursBalanced   = "holdfast balanced"
	oursMaintained = "holdfast maintained"
	oursS3         = "holdfast S3"
	oursFarS3      = "holdfast far S3"
	growth         = "growth"
	theRoof        = "roof"
)

// peerSteps are the steps of a peer.
func peerSteps(firstRound, small bool) []string {
	switch {
	case small:
		return []string{firstFull, busyDay, unchanged, restoreGen1}
	case firstRound:
		return []string{firstFull, busyDay, unchanged, sibling, clone, quietDay, restoreGen1, restoreGen2, remove, collect}
	}
	return []string{firstFull, busyDay, unchanged, quietDay, restoreGen1, restoreGen2, remove, collect}
}
