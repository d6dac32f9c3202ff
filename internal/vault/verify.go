package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"holdfast/internal/blob"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/maps"
)

// VerifyRequest says what is verified.
type VerifyRequest struct {
	Backups  []RecordRef
	ReadData bool    // all groups of all packs that the backups need are read
	Sample   float64 // without ReadData, the share of the groups that is read, from 0 to 1
	Progress func(VerifyProgress)
}

// Verify checks what backups need: their records; each page of their maps,
// once; that the blocks that a leaf names are there and are those of its check;
// each of their packs, once: object, header, footer, and both copies of the
// directory. With ReadData or Sample, groups are opened, decompressed and
// compared with the digests of their blocks, those included that no backup
// needs: later ones may. So are those of a pack of which anything else is
// damaged.
//
// Damage is no error, but stands in the report. The caller pins the backups.
func (v *Vault) Verify(ctx context.Context, req VerifyRequest) (VerifyReport, error) {
	return verify(ctx, verifyConfig{v.reader(), v.cfg.Fence.Locate, v.cfg.Workers, v.cfg.Rand}, req)
}

// Verify does what Vault.Verify does, for backups of one vault or of several.
func (b *Bare) Verify(ctx context.Context, req VerifyRequest) (VerifyReport, error) {
	byVault := map[ID][]RecordRef{}
	var order []ID
	for _, ref := range req.Backups {
		n, err := format.ParseRecordName(ref.Object)
		if err != nil {
			return VerifyReport{}, err
		}
		if byVault[n.Vault] == nil {
			order = append(order, n.Vault)
		}
		byVault[n.Vault] = append(byVault[n.Vault], ref)
	}
	var all VerifyReport
	for _, id := range order {
		v := b.vaults[id]
		if v == nil {
			return VerifyReport{}, fmt.Errorf("verify: %w: vault %s", blob.ErrNotFound, id)
		}
		if v.err != nil {
			return VerifyReport{}, v.err
		}
		one := req
		one.Backups = byVault[id]
		report, err := verify(ctx, verifyConfig{v.reader(), v.peek, min(runtime.GOMAXPROCS(0), maxWorkers), rand.Reader}, one)
		if err != nil {
			return VerifyReport{}, err
		}
		all.add(&report)
	}
	return all, nil
}

// peek returns where packs lie. Asking again doesn't mean that they were not
// there.
func (v *bareVault) peek(ctx context.Context, _ ID, packs []ID) ([]Placement, error) {
	return v.locate(ctx, packs, map[ID]bool{})
}

func (r *VerifyReport) add(o *VerifyReport) {
	r.Backups += o.Backups
	r.Pages += o.Pages
	r.Packs += o.Packs
	r.Objects += o.Objects
	r.Read += o.Read
	r.Odds.Groups += o.Odds.Groups
	r.Odds.Read += o.Odds.Read
	r.DamagedBackups = append(r.DamagedBackups, o.DamagedBackups...)
	r.DamagedPacks = append(r.DamagedPacks, o.DamagedPacks...)
	r.MorePacks += o.MorePacks
}

// verifyConfig is what a verification stands on.
type verifyConfig struct {
	r       *reader
	locate  locateFunc
	workers int
	random  io.Reader
}

func verify(ctx context.Context, cfg verifyConfig, req VerifyRequest) (VerifyReport, error) {
	if !(req.Sample >= 0 && req.Sample <= 1) {
		return VerifyReport{}, fmt.Errorf("verify: a sample of %v", req.Sample)
	}
	v := &verifier{
		verifyConfig: cfg, req: req, share: req.Sample,
		seen: map[ID][]uint32{}, bad: map[pageKey]string{}, needed: map[ID]PackKind{}, damage: map[ID]*packDamage{},
	}
	v.workers = min(max(2*v.workers, minFetchers), maxWorkers)
	if req.ReadData {
		v.share = 1
	}
	if _, err := io.ReadFull(v.random, v.seed[:]); err != nil {
		return VerifyReport{}, fmt.Errorf("draw sample: %w", err)
	}
	if err := v.run(ctx); err != nil {
		return VerifyReport{}, fmt.Errorf("verify: %w", err)
	}
	v.report.Odds = Odds{Groups: v.groups.Load(), Read: v.groupsRead.Load()}
	v.report.Read = v.bytesRead.Load()
	v.report.DamagedPacks, v.report.MorePacks = sortDamaged(v.damage)
	return v.report, nil
}

// verifier verifies backups. Its memory grows with the number of pages (four
// bytes each) and of packs (fifty) that the backups need, and with the damage.
type verifier struct {
	verifyConfig
	req    VerifyRequest
	share  float64
	seed   [32]byte
	report VerifyReport

	groups, groupsRead, bytesRead atomic.Int64

	mu     sync.Mutex
	seen   map[ID][]uint32 // by page pack and page: what the first reference to it said, see print
	bad    map[pageKey]string
	needed map[ID]PackKind
	damage map[ID]*packDamage
}

// pageKey tells the references to one page apart.
type pageKey struct {
	pack  ID
	page  uint32
	print uint32
}

// verified is a backup whose record is good.
type verified struct {
	ref    RecordRef
	backup string
	size   int64
	root   maps.Ref
	height int
}

func (v *verifier) run(ctx context.Context) error {
	backups, err := v.records(ctx)
	if err != nil {
		return err
	}
	if err := v.maps(ctx, backups); err != nil {
		return err
	}
	if err := v.packs(ctx); err != nil {
		return err
	}
	if len(v.bad) == 0 && !v.anyUnreadable() {
		return nil
	}
	return v.ranges(ctx, backups)
}

// anyUnreadable reports whether there is damage that restores meet.
func (v *verifier) anyUnreadable() bool {
	for _, d := range v.damage {
		if !d.spare {
			return true
		}
	}
	return false
}

// records reads the backups' records.
func (v *verifier) records(ctx context.Context) ([]verified, error) {
	v.report.Backups = len(v.req.Backups)
	out := make([]verified, 0, len(v.req.Backups))
	for _, ref := range v.req.Backups {
		rec, err := v.r.record(ctx, ref)
		if errors.Is(err, ErrCorrupt) {
			damaged := DamagedBackup{Record: ref.Object, What: err.Error(), Whole: true}
			if n, err := format.ParseRecordName(ref.Object); err == nil {
				damaged.Backup = format.UUID(n.Backup)
			}
			v.report.DamagedBackups = append(v.report.DamagedBackups, damaged)
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, verified{ref: ref, backup: rec.Info.Backup, size: rec.Size, root: rec.Root, height: rec.Height})
	}
	return out, nil
}

func (v *verifier) progress(step VerifyStep, done, size int) {
	if v.req.Progress != nil {
		v.req.Progress(VerifyProgress{Step: step, Done: int64(done), Size: int64(size), Read: v.bytesRead.Load()})
	}
}

// damaged returns what is known of a damaged pack, and notes a cause; v.mu is
// held. That only spare parts are damaged is so until somebody says otherwise.
func (v *verifier) damaged(p Placement, what string) *packDamage {
	d := v.damage[p.Pack]
	if d == nil {
		d = &packDamage{place: p, spare: true}
		v.damage[p.Pack] = d
	}
	d.because(what)
	return d
}

// spare notes damage that restores don't meet.
func (v *verifier) spare(p Placement, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.damaged(p, what)
}

// whole notes that nothing of a pack can be read.
func (v *verifier) whole(p Placement, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	d := v.damaged(p, what)
	d.whole, d.spare = true, false
}

// blocks notes damaged blocks of a group.
func (v *verifier) blocks(p Placement, group int, slots uint32, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	d := v.damaged(p, what)
	d.spare = false
	if d.blocks == nil {
		d.blocks = make([]blockSet, format.PackContainers)
	}
	d.blocks[group/format.ContainerGroups].addGroup(group%format.ContainerGroups, slots)
}

// badLeaf notes a leaf of which nothing can be restored, for a pack's sake.
func (v *verifier) badLeaf(t *mapTask, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bad[pageKey{t.ref.Pack, t.ref.Page, t.print()}] = what
}

// badPage notes a page that can't be read, or isn't what it should be.
func (v *verifier) badPage(p Placement, ref maps.Ref, print uint32, what string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := pageKey{ref.Pack, ref.Page, print}
	if v.bad[key] == "" {
		v.bad[key] = what
		d := v.damaged(p, what)
		d.spare = false
		d.pages++
	}
}
