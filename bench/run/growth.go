package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The steps of what grows.
const (
	tenTiB    = "10 TiB"
	tenTiBMap = "10 TiB by a change map"
	oneTiB    = "1 TiB with 20 GiB"
	hooks1    = "hooks of 1 TiB"
	hooks16   = "hooks of 16 TiB"

	fewSuffix  = " among 10"
	manySuffix = " among 10,000"
)

const (
	few  = 10
	many = 10000
	// probes is how many commands are timed, for their median.
	probes = 9
)

// grown measures what must not grow with a volume or a vault.
type grown struct {
	nothingRuns
	bin, growth string

	place   place
	backups []string // ids in the vault of many
}

func (g *grown) name() string { return growth }

func (g *grown) steps(firstRound, small bool) []string {
	if small || !firstRound {
		return nil
	}
	return []string{
		tenTiB, tenTiBMap, hooks1, hooks16, "backup" + fewSuffix, "list" + fewSuffix, "delete" + fewSuffix,
		"backup" + manySuffix, "list" + manySuffix, "delete" + manySuffix, oneTiB,
	}
}

func (g *grown) begin(_ context.Context, p place) error {
	g.place, g.backups = p, nil
	return os.Mkdir(p.store, 0o700)
}

func (g *grown) do(ctx context.Context, step string) (usage, error) {
	switch step {
	case tenTiB:
		f, err := os.Create(g.path("large.img"))
		if err != nil {
			return usage{}, err
		}
		if err := closing(f, f.Truncate(10<<40)); err != nil {
			return usage{}, err
		}
		return g.backUp(ctx, "large", g.path("large.img"))
	case tenTiBMap:
		return g.change(ctx)
	case oneTiB:
		return measure(ctx, command{args: []string{g.growth, "terabyte", filepath.Join(g.place.store, "terabyte")}})
	case hooks1:
		return g.hooks(ctx, "1")
	case hooks16:
		return g.hooks(ctx, "16")
	}
	what, _, _ := strings.Cut(step, " ")
	want := few
	if strings.HasSuffix(step, manySuffix) {
		want = many
	}
	return g.among(ctx, what, want)
}

// hooks has an index filled; what it holds then goes for its memory.
func (g *grown) hooks(ctx context.Context, tib string) (usage, error) {
	u, err := measure(ctx, command{args: []string{g.growth, "hooks", tib}})
	if err != nil {
		return u, err
	}
	var said struct {
		Held float64 `json:"held"`
	}
	err = json.Unmarshal(u.out, &said)
	u.rss = said.Held
	return u, err
}

func (g *grown) path(name string) string { return filepath.Join(g.place.dir, name) }

func closing(f *os.File, err error) error {
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// vault runs a command of ours on a vault of its own, which lies whole in the
// place's store.
func (g *grown) vault(ctx context.Context, data string, args ...string) (usage, error) {
	all := append([]string{g.bin, "vault", args[0], "--json", "--data", filepath.Join(g.place.store, data)}, args[1:]...)
	return measure(ctx, command{args: all})
}

func (g *grown) backUp(ctx context.Context, data, image string, more ...string) (usage, error) {
	u, err := g.vault(ctx, data, append([]string{"backup", "--volume", data, image}, more...)...)
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
	g.backups = append(g.backups, said.ID)
	u.read = mib(said.Read)
	return u, nil
}

// change changes 1 GiB of the large volume, in pieces of 256 KiB of random
// bytes, and backs it up by a map of them.
func (g *grown) change(ctx context.Context) (usage, error) {
	const piece, pieces = 256 << 10, 4096
	if len(g.backups) == 0 {
		return usage{}, fmt.Errorf("there is no backup of the volume before")
	}
	type extent struct {
		Offset int64 `json:"offset"`
		Length int64 `json:"length"`
	}
	r := rand.New(rand.NewPCG(1, 10))
	at := map[int64]bool{}
	for len(at) < pieces {
		at[r.Int64N(10<<40/piece)] = true
	}
	var extents []extent
	for n := range at {
		extents = append(extents, extent{n * piece, piece})
	}
	slices.SortFunc(extents, func(a, b extent) int { return int((a.Offset - b.Offset) / piece) })
	f, err := os.OpenFile(g.path("large.img"), os.O_WRONLY, 0)
	if err != nil {
		return usage{}, err
	}
	c := rand.NewChaCha8([32]byte{10})
	b := make([]byte, piece)
	for _, e := range extents {
		_, _ = c.Read(b) // never fails
		if _, err := f.WriteAt(b, e.Offset); err != nil {
			return usage{}, closing(f, err)
		}
	}
	if err := closing(f, f.Sync()); err != nil {
		return usage{}, err
	}
	text, err := json.Marshal(extents)
	if err != nil {
		return usage{}, err
	}
	if err := os.WriteFile(g.path("large.json"), text, 0o600); err != nil {
		return usage{}, err
	}
	return g.backUp(ctx, "large", g.path("large.img"), "--change-map", g.path("large.json"), "--parent", g.backups[0])
}

// among fills a vault with backups of a small volume and then times a
// command.
func (g *grown) among(ctx context.Context, what string, want int) (usage, error) {
	if what == "backup" && want == few {
		g.backups = nil
	}
	for len(g.backups) < want {
		if _, err := g.small(ctx); err != nil {
			return usage{}, err
		}
	}
	var all []usage
	for range probes {
		var u usage
		var err error
		switch what {
		case "backup":
			u, err = g.small(ctx)
		case "list":
			u, err = g.vault(ctx, "small", "list")
		default:
			last := len(g.backups) - 1
			u, err = g.vault(ctx, "small", "delete", g.backups[last])
			g.backups = g.backups[:last]
		}
		if err != nil {
			return u, err
		}
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b usage) int { return int(1e6 * (a.wall - b.wall)) })
	return all[probes/2], nil
}

// small changes a piece of a small volume and backs it up.
func (g *grown) small(ctx context.Context) (usage, error) {
	const size, piece = 4 << 20, 64 << 10
	f, err := os.OpenFile(g.path("small.img"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return usage{}, err
	}
	r := rand.NewChaCha8([32]byte{byte(len(g.backups)), byte(len(g.backups) >> 8)})
	b := make([]byte, piece)
	_, _ = r.Read(b) // never fails
	if err := f.Truncate(size); err != nil {
		return usage{}, closing(f, err)
	}
	_, err = f.WriteAt(b, int64(r.Uint64()%(size/piece))*piece)
	if err := closing(f, err); err != nil {
		return usage{}, err
	}
	return g.backUp(ctx, "small", g.path("small.img"))
}
