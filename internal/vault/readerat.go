package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"holdfast/internal/blob"
	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
	"holdfast/internal/vault/naming"
)

// BackupReader reads a backup's bytes at any offset, without restoring it.
// Everything is checked as in a restore. It may be used concurrently; its
// memory is bounded, about 100 MiB at most. Make one with OpenBackup.
type BackupReader struct {
	r    *reader
	rec  Record
	life context.Context // of the reader: io.ReaderAt has none for a call
	end  context.CancelCauseFunc

	planners chan *planner
	openers  chan *opener
	leaves   *flights[int64, *window]
	groups   *flights[groupKey, *openGroup]

	mu      sync.Mutex
	closed  bool
	users   sync.WaitGroup // reads under way, those ahead included
	streams streams
}

// Bounds of a reader's caches.
const (
	readerPlanners = 4
	readerOpeners  = 8
	readerLeaves   = 64
	readerGroups   = 32 << 20
	readerPages    = 2 << 20 // of each planner
	readerFetch    = 4 << 20
	readerGap      = 64 << 10
	aheadLeaves    = 2
)

// OpenBackup opens a backup for reading at random. The reader's life ends with
// ctx, or with Close. For as long as it lives the backup has to be pinned,
// which is the caller's part; packs may move meanwhile.
func (v *Vault) OpenBackup(ctx context.Context, ref RecordRef) (*BackupReader, error) {
	return openBackup(ctx, v.reader(), ref)
}

// OpenBackup does what Vault.OpenBackup does.
func (b *Bare) OpenBackup(ctx context.Context, ref RecordRef) (*BackupReader, error) {
	n, err := format.ParseRecordName(ref.Object)
	if err != nil {
		return nil, err
	}
	v := b.vaults[n.Vault]
	if v == nil {
		return nil, fmt.Errorf("open backup: %w: vault %s", blob.ErrNotFound, n.Vault)
	}
	if v.err != nil {
		return nil, v.err
	}
	return openBackup(ctx, v.reader(), ref)
}

func openBackup(ctx context.Context, r *reader, ref RecordRef) (*BackupReader, error) {
	rec, err := r.record(ctx, ref)
	if err != nil {
		return nil, err
	}
	b := &BackupReader{
		r: r, rec: rec, planners: make(chan *planner, readerPlanners), openers: make(chan *opener, readerOpeners),
		leaves: newFlights[int64, *window](readerLeaves), groups: newFlights[groupKey, *openGroup](readerGroups),
	}
	for range min(readerOpeners, 2*runtime.GOMAXPROCS(0)) {
		dec, err := compress.NewDecoder()
		if err != nil {
			b.closeOpeners()
			return nil, err
		}
		b.openers <- &opener{dec: dec, hasher: r.names.Hasher()}
	}
	for range readerPlanners {
		p := newPlanner(r, &rec, 0, rec.Size)
		p.pages.limit = readerPages
		b.planners <- p
	}
	b.life, b.end = context.WithCancelCause(ctx)
	return b, nil
}

// Record returns the backup's record.
func (b *BackupReader) Record() Record { return b.rec }

// Size returns the volume's exact size in bytes.
func (b *BackupReader) Size() int64 { return b.rec.Size }

// Close ends all reads and frees the reader's memory.
func (b *BackupReader) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return fs.ErrClosed
	}
	b.closed = true
	b.mu.Unlock()
	b.end(fs.ErrClosed)
	b.users.Wait()
	b.closeOpeners()
	return nil
}

func (b *BackupReader) closeOpeners() {
	for len(b.openers) > 0 {
		(<-b.openers).dec.Close()
	}
}

// enter counts a read, and fails once the reader is closed.
func (b *BackupReader) enter() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return fs.ErrClosed
	}
	b.users.Add(1)
	return nil
}

// ReadAt implements io.ReaderAt: it reads as many bytes as there are, and
// io.EOF stands for Size alone. Holes are zeros. Other errors are those of
// Restore; what is in p then is not to be used.
func (b *BackupReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read backup %s: offset %d", b.rec.Info.Backup, off)
	}
	if err := b.enter(); err != nil {
		return 0, fmt.Errorf("read backup %s: %w", b.rec.Info.Backup, err)
	}
	defer b.users.Done()
	n := int(max(0, min(int64(len(p)), b.rec.Size-off)))
	for done := 0; done < n; {
		at := off + int64(done)
		leaf := at / format.LeafSize
		part := p[done:min(n, done+int((leaf+1)*format.LeafSize-at))]
		if err := b.readLeaf(leaf, part, at); err != nil {
			return done, fmt.Errorf("read backup %s: %w", b.rec.Info.Backup, err)
		}
		done += len(part)
	}
	if n > 0 {
		b.readAhead(off, off+int64(n))
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// readLeaf reads from one leaf; with p nil it only loads what lies in it. It
// follows packs that are moved meanwhile.
func (b *BackupReader) readLeaf(leaf int64, p []byte, off int64) error {
	for range maxMoves {
		f, w, err := b.leaf(leaf)
		if err != nil {
			return err
		}
		place, err := b.readPieces(w, p, off)
		if !errors.Is(err, ErrCorrupt) || b.life.Err() != nil {
			return err
		}
		_, ok, merr := b.r.moved(b.life, place)
		if merr != nil {
			return merr
		}
		if !ok {
			return err
		}
		b.leaves.drop(f)
	}
	return fmt.Errorf("its packs were moved %d times meanwhile", maxMoves)
}

// leaf returns the plan of a leaf, whose check it has passed.
func (b *BackupReader) leaf(leaf int64) (*flight[int64, *window], *window, error) {
	f, mine := b.leaves.claim(leaf, 1)
	if mine {
		w, err := b.planLeaf(leaf)
		b.leaves.land(f, w, err)
		return f, w, err
	}
	select {
	case <-f.ready:
		return f, f.value, f.err
	case <-b.life.Done():
		return f, nil, context.Cause(b.life)
	}
}

func (b *BackupReader) planLeaf(leaf int64) (*window, error) {
	var p *planner
	select {
	case p = <-b.planners:
	case <-b.life.Done():
		return nil, context.Cause(b.life)
	}
	defer func() { b.planners <- p }()
	p.from, p.leaves = leaf*format.LeafSize, 1
	p.to = min(p.from+format.LeafSize, p.size)
	w := &window{}
	if err := p.plan(b.life, w, leaf); err != nil {
		return nil, err
	}
	slices.SortFunc(w.pieces, func(a, b piece) int { return cmp.Compare(a.offset, b.offset) })
	w.runs, w.holes, w.index = nil, nil, nil
	return w, nil
}

// readPieces reads what a leaf has from off on to p, or, with p nil, loads all
// of it. An error comes with the place of the pack that it is about.
func (b *BackupReader) readPieces(w *window, p []byte, off int64) (Placement, error) {
	end := off + int64(len(p))
	if p == nil {
		off, end = 0, b.rec.Size
	}
	clear(p)
	if place, err := w.lostIn(off, off+int64(len(p))); err != nil {
		return place, err // it may have been healed since
	}
	first, _ := slices.BinarySearchFunc(w.pieces, off, func(x piece, off int64) int {
		return cmp.Compare(x.end()-1, off)
	})
	last := first
	for last < len(w.pieces) && w.pieces[last].offset < end {
		last++
	}
	held := b.hold(w, w.pieces[first:last])
	if p == nil {
		return Placement{}, nil
	}
	for i := range held {
		x := &w.pieces[first+i]
		place := w.packs[x.pack].place
		select {
		case <-held[i].ready:
		case <-b.life.Done():
			return place, context.Cause(b.life)
		}
		if err := held[i].err; err != nil {
			return place, err
		}
		if err := b.copyPiece(w, x, held[i].value, p, off); err != nil {
			return place, err
		}
	}
	return Placement{}, nil
}

// end returns where the piece ends in the volume.
func (p *piece) end() int64 { return p.offset + int64(p.count)*format.BlockSize }

// copyPiece checks the blocks of a piece that are asked for, and copies them
// to p, which is what the volume has from off on.
func (b *BackupReader) copyPiece(w *window, x *piece, g *openGroup, p []byte, off int64) error {
	first := max(0, int((off-x.offset)/format.BlockSize))
	end := min(int(x.count), int((off+int64(len(p))-x.offset+format.BlockSize-1)/format.BlockSize))
	rank := x.group.Rank(int(x.slot)) + first
	data := g.data[rank*format.BlockSize:][:(end-first)*format.BlockSize]
	slots := uint32(1<<(end-first)-1) << (int(x.slot) + first)
	if g.checked.Load()&slots != slots {
		if err := b.check(w, x, first, data); err != nil {
			return err
		}
		g.checked.Or(slots)
	}
	at := x.offset + int64(first)*format.BlockSize - off
	if at < 0 {
		data, at = data[-at:], 0
	}
	copy(p[at:], data)
	return nil
}

// check compares blocks of a piece, from its first-th on, with their digests.
func (b *BackupReader) check(w *window, x *piece, first int, data []byte) error {
	o, err := b.opener()
	if err != nil {
		return err
	}
	defer func() { b.openers <- o }()
	n := len(data) / format.BlockSize
	o.hasher.Blocks(o.sums[:n], data)
	for i := range n {
		if o.sums[i] != w.digests[int(x.digest)+first+i] {
			return wrongBlock(w, x, first+i)
		}
	}
	return nil
}

func (b *BackupReader) opener() (*opener, error) {
	select {
	case o := <-b.openers:
		return o, nil
	case <-b.life.Done():
		return nil, context.Cause(b.life)
	}
}

// opener is what one goroutine needs to open groups.
type opener struct {
	dec    *compress.Decoder
	hasher *naming.Hasher
	sums   [format.GroupBlocks]format.Digest
	buf    []byte
}
