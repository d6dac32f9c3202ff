package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/vault/format"
	"holdfast/internal/vault/hooks"
	"holdfast/internal/vault/maps"
	"holdfast/internal/vault/sealing"
)

// fullEvery is the number of runs of which one reads everything, whatever
// change maps say.
const fullEvery = 10

// Backup writes one backup and commits it. It may be called again with the
// same session and a higher token, and then goes on from the last checkpoint.
//
// Errors: *SourceError where the source can't be read; ErrFenced where the
// session was taken over; ErrOldCatalog; ErrStaleChangeMap; blob.ErrNoSpace; the context's.
func (v *Vault) Backup(ctx context.Context, req BackupRequest) (Result, error) {
	if err := v.validate(&req); err != nil {
		return Result{}, err
	}
	seen, err := v.reader().sight(ctx)
	if err != nil {
		return Result{}, err
	}
	begun, err := v.cfg.Fence.Begin(ctx, req.Session)
	if err != nil {
		return Result{}, fmt.Errorf("begin session: %w", err)
	}
	if err := seen.check(begun.Announced, begun.Incarnation); err != nil {
		return Result{}, err
	}
	ctx, fail := context.WithCancelCause(ctx)
	s := newSession(v, req.Session, begun, fail)
	defer s.uploads.wg.Wait()
	defer fail(context.Canceled)
	b := &backup{s: s, req: req, size: req.Source.Size()}
	result, err := b.run(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
			err = cause // what failed first, not what it stopped
		}
		return Result{}, err
	}
	return result, nil
}

func (v *Vault) validate(req *BackupRequest) error {
	size := req.Source.Size()
	switch _, ok := format.ParseUUID(req.Info.Backup); {
	case !ok:
		return fmt.Errorf("backup %q: the id is no lower-case UUID", req.Info.Backup)
	case req.Session.Vault != v.id:
		return fmt.Errorf("backup %s: the session is of vault %s", req.Info.Backup, req.Session.Vault)
	case size < 0 || size > format.MaxVolume:
		return fmt.Errorf("backup %s: a volume of %d bytes", req.Info.Backup, size)
	case len(req.Info.Extra) > maxExtra:
		return fmt.Errorf("backup %s: extra has %d bytes", req.Info.Backup, len(req.Info.Extra))
	}
	// What can't be written down at the end is refused now.
	if _, err := (&Record{Info: req.Info, SourceState: req.SourceState}).encode(); err != nil {
		return fmt.Errorf("backup %s: %w", req.Info.Backup, err)
	}
	return nil
}

// backup plans one backup: it hands leaves to the workers in the order of the
// volume, and puts the results into the map in that order.
type backup struct {
	s    *session
	req  BackupRequest
	size int64

	parent *Record    // nil for none
	tree   *maps.Tree // the parent's map
	common int64      // the smaller of both sizes

	changed []Extent // sorted; nil: everything is read
	mapUsed bool
	mapLied bool
	wary    bool // the parent is known to be damaged: leaves are looked at before they are inherited

	packer  *packer
	pages   *pageWriter
	builder *maps.Builder
	sealer  *sealer

	jobs    chan *leafJob
	workers sync.WaitGroup
	running int // jobs that workers have
	pending []*leafJob
	free    []*leafJob

	next           int64 // first leaf that isn't planned yet
	done           int64 // bytes whose leaves are in the map
	checkpointed   time.Time
	checkpointSize int64 // bytes sealed then
	reported       time.Time
	warned         bool
}

func (b *backup) run(ctx context.Context) (Result, error) {
	if err := b.prepare(ctx); err != nil {
		return Result{}, err
	}
	if err := b.start(ctx); err != nil {
		return Result{}, err
	}
	defer b.stop()
	if b.changed != nil {
		if err := b.audit(ctx); err != nil {
			return Result{}, err
		}
	}
	if err := b.plan(ctx); err != nil {
		return Result{}, err
	}
	if err := b.drain(ctx); err != nil {
		return Result{}, err
	}
	return b.finish(ctx)
}

// prepare loads what the session starts from.
func (b *backup) prepare(ctx context.Context) error {
	if err := b.loadParent(ctx); err != nil {
		return err
	}
	if err := b.useMap(ctx); err != nil {
		return err
	}
	b.s.loadSegments(ctx)
	if err := b.s.adopt(ctx); err != nil {
		return err
	}
	b.builder = maps.NewBuilder(maps.Height(b.size))
	b.resume(ctx)
	return nil
}

// loadParent reads the pinned parent. One that is damaged is no parent.
func (b *backup) loadParent(ctx context.Context) error {
	if b.s.begun.Parent == nil {
		return nil
	}
	rec, err := b.s.read.record(ctx, *b.s.begun.Parent)
	if errors.Is(err, ErrCorrupt) {
		b.s.v.cfg.Log.WarnContext(ctx, "parent's record is damaged, everything is read", "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	b.parent = &rec
	b.tree = maps.NewTree(newPageReader(b.s.read), rec.Root, rec.Height)
	b.common = min(b.size, rec.Size)
	b.wary = len(b.s.begun.Damaged) > 0
	return nil
}

// useMap decides whether the change map counts, and adds to it what a change
// of size touches.
func (b *backup) useMap(ctx context.Context) error {
	m := b.req.Changes
	if m == nil {
		return nil
	}
	if b.parent == nil && b.s.begun.Parent != nil {
		return nil // it is damaged, so everything is read
	}
	if b.parent == nil || !m.continues(b.parent) {
		return fmt.Errorf("backup %s: %w", b.req.Info.Backup, ErrStaleChangeMap)
	}
	changed, err := normalise(m.Extents, b.size)
	if err != nil {
		return fmt.Errorf("backup %s: %w", b.req.Info.Backup, err)
	}
	if b.parent.RunsSinceFull+1 >= fullEvery {
		b.s.v.cfg.Log.InfoContext(ctx, "everything is read, as every tenth time", "backup", b.req.Info.Backup)
		return nil
	}
	if b.parent.Size != b.size {
		changed = resized(changed, b.common/format.LeafSize*format.LeafSize, b.size)
	}
	b.changed, b.mapUsed = changed, true
	return nil
}

// resized returns extents with all from an offset on added to them.
func resized(extents []Extent, from, size int64) []Extent {
	n := len(extents)
	for n > 0 && extents[n-1].end() >= from {
		n--
	}
	if n < len(extents) {
		from = min(from, extents[n].Offset)
	}
	if from < size {
		return append(extents[:n], Extent{Offset: from, Length: size - from})
	}
	return extents[:n]
}

// normalise widens extents to whole blocks, and joins those that touch.
func normalise(extents []Extent, size int64) ([]Extent, error) {
	out := make([]Extent, 0, len(extents))
	at := int64(0)
	for _, e := range extents {
		if e.Offset < at || e.Length < 0 || e.Length > size-e.Offset {
			return nil, fmt.Errorf("change map: extent at %d of %d bytes is out of order or range", e.Offset, e.Length)
		}
		at = e.Offset + e.Length
		if e.Length == 0 {
			continue
		}
		first := e.Offset / format.BlockSize * format.BlockSize
		end := min((at+format.BlockSize-1)/format.BlockSize*format.BlockSize, size)
		if n := len(out); n > 0 && first <= out[n-1].Offset+out[n-1].Length {
			out[n-1].Length = max(end, out[n-1].Offset+out[n-1].Length) - out[n-1].Offset
			continue
		}
		out = append(out, Extent{Offset: first, Length: end - first})
	}
	return out, nil
}

// start starts the workers.
func (b *backup) start(ctx context.Context) error {
	n := b.s.v.cfg.Workers
	b.packer = newPacker(b.s, n)
	b.pages = newPageWriter(b.s, b.tree)
	b.checkpointed, b.checkpointSize = b.s.v.cfg.Now(), b.s.sealed.Load()
	usual, dense := methods(b.req.Compression, b.parent != nil)
	var err error
	if b.sealer, err = newSealer(b.s, usual, dense); err != nil {
		return err
	}
	workers := make([]*worker, n)
	for i := range workers {
		if workers[i], err = newWorker(b.s, b.packer, b.req.Source, usual, dense); err != nil {
			return err
		}
	}
	b.jobs = make(chan *leafJob, 2*n)
	for _, w := range workers {
		b.workers.Go(func() { w.run(ctx, b.jobs) })
	}
	return nil
}

// stop ends the session, so that nothing more is written, and waits for the
// workers.
func (b *backup) stop() {
	b.s.uploads.fail(context.Canceled)
	close(b.jobs)
	b.workers.Wait()
}

// finish makes everything durable, writes the record and commits.
func (b *backup) finish(ctx context.Context) (Result, error) {
	root, err := b.builder.Finish(ctx, b.pages)
	if err != nil {
		return Result{}, err
	}
	if err := b.flush(ctx); err != nil {
		return Result{}, err
	}
	segment, ref, err := b.writeSegment(ctx)
	if err != nil {
		return Result{}, err
	}
	rec := Record{
		Info: b.req.Info, Result: b.result(root), Size: b.size, Root: root, Height: maps.Height(b.size),
		SourceState: b.req.SourceState,
	}
	if b.mapUsed {
		rec.RunsSinceFull = b.parent.RunsSinceFull + 1
	}
	record, err := b.s.writeRecord(ctx, &rec)
	if err != nil {
		return Result{}, err
	}
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	result := b.result(root)
	if err := b.s.v.cfg.Fence.Commit(ctx, b.req.Session, Commit{
		Record: record, Map: maps.AppendRoot(nil, root, rec.Height), Packs: b.s.takePlaced(), Segment: ref, Result: result,
	}); err != nil {
		return Result{}, fmt.Errorf("commit session: %w", err)
	}
	if segment != nil {
		b.s.v.cfg.Index.hooks.Add(b.s.v.id, ref.Object, segment)
	}
	b.report(true)
	return result, nil
}

func (b *backup) writeSegment(ctx context.Context) (*hooks.Segment, *SegmentRef, error) {
	segment := b.s.delta.Segment()
	if segment == nil {
		return nil, nil, nil
	}
	name, err := b.s.name(format.Index)
	if err != nil {
		return nil, nil, err
	}
	// A large one takes the place of what the packs took.
	b.s.chunks.drop()
	object, err := b.s.putWhole(ctx, whole{
		name: name, kind: format.KindIndex, label: sealing.IndexLabel, plain: segment.Append(nil),
	})
	return segment, &SegmentRef{Object: name, Size: int64(len(object))}, err
}

func (b *backup) result(root maps.Ref) Result {
	return Result{
		Size: b.size, Read: b.s.bytesRead.Load(), New: b.s.bytesNew.Load(), Stored: b.s.stored.Load(),
		Objects: b.s.objects.Load(), ChangeMap: b.mapUsed, MapLied: b.mapLied, Fingerprint: root.Hash,
		Groups: Groups{
			Raw: b.s.groups[format.Raw].Load(), S2: b.s.groups[format.S2].Load(), Zstd: b.s.groups[format.Zstd].Load(),
		},
	}
}

// report calls the request's Progress, not too often.
func (b *backup) report(always bool) {
	if b.req.Progress == nil {
		return
	}
	now := b.s.v.cfg.Now()
	if !always && now.Sub(b.reported) < time.Second/4 {
		return
	}
	b.reported = now
	b.req.Progress(Progress{
		Done: b.done, Size: b.size, Read: b.s.bytesRead.Load(), New: b.s.bytesNew.Load(), Stored: b.s.stored.Load(),
	})
}

// tolerable reports whether an error of the parent's map only means that
// blocks count as changed.
func (b *backup) tolerable(ctx context.Context, err error) bool {
	if !errors.Is(err, ErrCorrupt) {
		return false
	}
	b.wary = true
	if !b.warned {
		b.warned = true
		b.s.v.cfg.Log.WarnContext(ctx, "parent's map is damaged, its blocks count as changed", "error", err)
	}
	return true
}
