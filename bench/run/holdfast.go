package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// holdfast is our own binary with a vault on a local store.
type holdfast struct {
	nothingRuns
	title       string
	bin         string
	compression string   // empty: auto
	sizes       bool     // it is there for sizes: measured once
	only        []string // its steps; nil: those of a peer

	env     []string
	place   place
	backups map[string]string // id by step
}

func (h *holdfast) name() string { return h.title }

func (h *holdfast) steps(firstRound, small bool) []string {
	switch {
	case h.sizes && (small || !firstRound):
		return nil
	case h.only != nil:
		return h.only
	}
	return peerSteps(firstRound, small)
}

func (h *holdfast) begin(_ context.Context, p place) error {
	h.place, h.backups = p, map[string]string{}
	compression := h.compression
	if compression == "" {
		compression = "auto"
	}
	text := fmt.Sprintf("data: %q\nstore:\n  local:\n    path: %q\nengine:\n  compression: %s\n",
		filepath.Join(p.dir, "data"), p.store, compression)
	return os.WriteFile(h.config(), []byte(text), 0o600)
}

func (h *holdfast) config() string { return filepath.Join(h.place.dir, "holdfast.yaml") }

func (h *holdfast) do(ctx context.Context, step string) (usage, error) {
	args := []string{h.bin, "vault"}
	switch step {
	case restoreGen1, restoreGen2:
		args = append(args, "restore", "--json", "--config", h.config(), h.backups[image(step)], h.place.restored)
	case remove:
		args = append(args, "delete", "--json", "--config", h.config(), h.backups[firstFull])
	case collect:
		args = append(args, "collect", "--json", "--config", h.config())
	case maintain, maintainGens, maintainSib:
		args = append(args, "maintain", "--json", "--config", h.config())
	default:
		return h.backUp(ctx, step)
	}
	return measure(ctx, command{args: args, env: h.env})
}

// backUp backs an image up; the generations are one volume.
func (h *holdfast) backUp(ctx context.Context, step string) (usage, error) {
	args := []string{h.bin, "vault", "backup", "--json", "--config", h.config(), "--volume", volumeOf(step)}
	if step == busyDayMap {
		args = append(args, "--change-map", h.place.images.changeMap(busyDay), "--parent", h.backups[firstFull])
	}
	u, err := measure(ctx, command{args: append(args, h.place.images.path(image(step))), env: h.env})
	if err != nil {
		return u, err
	}
	var said struct {
		ID   string `json:"id"`
		Read int64  `json:"read"`
	}
	if err := json.Unmarshal(u.out, &said); err != nil {
		return u, fmt.Errorf("read what backup --json says: %w", err)
	}
	h.backups[step] = said.ID
	u.read = float64(said.Read) / (1 << 20)
	return u, nil
}

// volumeOf names the volume whose disk a step backs up.
func volumeOf(step string) string {
	if slices.Contains([]string{sibling, clone}, step) {
		return step
	}
	return "generations"
}
