package vault

import (
	"context"
	"fmt"
	"sync"

	"holdfast/internal/vault/format"
)

// Range is a part of a volume that is to be restored: Length bytes from Offset
// on, written to the target from To on. With To equal to Offset they go where
// they were; with To 0 the target holds nothing but them. They are aligned to
// nothing.
type Range struct {
	Offset, Length, To int64
}

// Restore writes a backup's exact bytes, holes included, to the target: all of
// them, or a range. Everything that is read is checked. The backup has to be
// pinned for as long as it runs, which is the caller's part; packs may move
// meanwhile.
//
// Errors: *CorruptError where the vault's data is damaged; *TargetError;
// ErrTooSmall, before anything is written; the context's.
func (v *Vault) Restore(ctx context.Context, req RestoreRequest) error {
	return restore(ctx, v.reader(), v.cfg.Workers, req)
}

func restore(ctx context.Context, r *reader, workers int, req RestoreRequest) error {
	rec, err := r.record(ctx, req.Record)
	if err != nil {
		return err
	}
	part := Range{Length: rec.Size}
	if req.Range != nil {
		part = *req.Range
	}
	if part.Offset < 0 || part.Length < 0 || part.To < 0 || part.Offset > rec.Size || part.Length > rec.Size-part.Offset {
		return fmt.Errorf("restore %s: %d bytes at %d, to %d, of %d bytes", rec.Info.Backup, part.Length, part.Offset, part.To, rec.Size)
	}
	if have := req.Target.Size(); have < part.To || have-part.To < part.Length {
		return fmt.Errorf("restore %s: %w: it holds %d bytes of %d", rec.Info.Backup, ErrTooSmall, have, part.To+part.Length)
	}
	end := part.Offset + part.Length
	from := max(req.From, part.Offset)
	if req.From < 0 || req.From > end {
		return fmt.Errorf("restore %s: go on from offset %d of %d bytes", rec.Info.Backup, req.From, end)
	}
	x := &restorer{
		r: r, req: req, from: from, end: end, shift: part.To - part.Offset, total: part.Length,
		plan: newPlanner(r, &rec, from, end), fetchers: min(max(3*workers, minFetchers), maxFetchers),
	}
	x.done.Store(from - part.Offset)
	if err := x.run(ctx); err != nil {
		return fmt.Errorf("restore %s: %w", rec.Info.Backup, err)
	}
	return nil
}

// windowsKept is how many windows are under way: one is planned while the one
// before is fetched, and the one before that is made durable.
const windowsKept = 3

// restorer restores one backup. Windows go through it in order: run hands out
// what a planner has planned, fetchers do the work, and a finisher waits for
// each window's end.
type restorer struct {
	r     *reader
	req   RestoreRequest
	plan  *planner
	from  int64 // what of the volume is restored
	end   int64
	shift int64 // from there to the target
	total int64

	fetchers int
	tasks    chan task
	again    sync.Mutex // the planner is used: by the planning goroutine, or to replan
	counters
}

// run restores everything from x.from to x.end.
func (x *restorer) run(ctx context.Context) error {
	fetchers, err := x.newFetchers()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x.tasks = make(chan task)
	free, planned, handed := make(chan *window, windowsKept), make(chan *window), make(chan *window, windowsKept)
	for range windowsKept {
		free <- &window{}
	}
	var work, windows sync.WaitGroup
	for _, f := range fetchers {
		work.Go(func() { f.run(ctx, cancel) })
	}
	windows.Go(func() {
		defer close(planned)
		if err := x.planAll(ctx, free, planned); err != nil {
			cancel(err)
		}
	})
	windows.Go(func() {
		for w := range handed {
			if err := x.finish(ctx, w); err != nil {
				cancel(err)
			}
			free <- w
		}
	})
	for w := range planned {
		x.hand(ctx, task{w: w})
		w.tasks(func(t task) bool { return x.hand(ctx, t) })
		handed <- w
	}
	close(handed)
	windows.Wait()
	close(x.tasks)
	work.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := x.req.Target.Sync(); err != nil {
		return &TargetError{Err: fmt.Errorf("sync: %w", err)}
	}
	return nil
}

// planAll plans one window after the other.
func (x *restorer) planAll(ctx context.Context, free <-chan *window, planned chan<- *window) error {
	for leaf := x.from / format.LeafSize; leaf*format.LeafSize < x.end; {
		w := <-free
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		x.again.Lock()
		err := x.plan.plan(ctx, w, leaf)
		if err == nil {
			_, err = w.lostIn(x.from, x.end)
		}
		x.again.Unlock()
		if err != nil {
			return err
		}
		leaf = w.end
		select {
		case planned <- w:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// hand gives a task to a fetcher, unless the restore has failed.
func (x *restorer) hand(ctx context.Context, t task) bool {
	t.w.pending.Add(1)
	select {
	case x.tasks <- t:
		return true
	case <-ctx.Done():
		t.w.pending.Done()
		return false
	}
}

// finish waits until a window is restored; what packs that were moved
// meanwhile did not give is fetched from where they lie now.
func (x *restorer) finish(ctx context.Context, w *window) error {
	w.pending.Wait()
	for tries := 1; len(w.failed) > 0 && ctx.Err() == nil; tries++ {
		if tries > maxMoves {
			return w.failed[0].err
		}
		x.again.Lock()
		err := x.plan.replan(ctx, w)
		x.again.Unlock()
		if err != nil {
			return err
		}
		w.tasks(func(t task) bool { return x.hand(ctx, t) })
		w.pending.Wait()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if x.req.Reached == nil {
		return nil
	}
	if err := x.req.Target.Sync(); err != nil {
		return &TargetError{Err: fmt.Errorf("sync: %w", err)}
	}
	x.telling.Lock()
	defer x.telling.Unlock()
	if err := x.req.Reached(min(w.end*format.LeafSize, x.end)); err != nil {
		return fmt.Errorf("note progress: %w", err)
	}
	return nil
}
