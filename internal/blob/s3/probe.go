package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"

	"holdfast/internal/blob"
)

const (
	probeRoom    = "probe/" // holds a few small objects while a probe runs
	probeSize    = 256 << 10
	cleanTimeout = 10 * time.Second
)

// Probe finds out by trial whether the store does what backups rely on: that
// it keeps what was put, gives it back whole and in parts, tells its size,
// lists it, puts it again, removes it, and refuses what arrives damaged. Its
// error is one line that says what is missing; where that is a fault of the
// store itself, it wraps blob.ErrRefused. What a probe puts lies under probe/
// and is removed again.
func (s *Store) Probe(ctx context.Context) error {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return fmt.Errorf("probe the store: %w", err)
	}
	at := *s
	at.prefix += probeRoom + hex.EncodeToString(id[:]) + "/"
	p := prober{store: &at, data: make([]byte, probeSize)}
	if _, err := rand.Read(p.data); err != nil {
		return fmt.Errorf("probe the store: %w", err)
	}
	err := p.run(ctx)
	if p.begun {
		if cerr := p.clean(ctx); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return fmt.Errorf("probe %s: %w", s.place, err)
	}
	return nil
}

// prober is one probe.
type prober struct {
	store *Store
	data  []byte
	begun bool // something may have been put
}

// What a probe puts.
const (
	probeWhole = "whole"
	probeBad   = "damaged"
)

func (p *prober) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		p.missing, p.put, p.whole, p.ranges, p.size, p.listed, p.again, p.damaged, p.removed,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lies is the error for a store that does not do what it answers.
func lies(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{blob.ErrRefused}, args...)...)
}

// missing has the store say of an object that was never put that it is not
// there. Some say "forbidden" to who may not list.
func (p *prober) missing(ctx context.Context) error {
	switch _, err := p.store.stat(ctx, probeWhole); {
	case errors.Is(err, blob.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("ask for an object that is not there: %w", err)
	}
	return lies("it shows an object that was never put")
}

func (p *prober) put(ctx context.Context) error {
	p.begun = true
	if err := p.store.put(ctx, probeWhole, p.body()); err != nil {
		return fmt.Errorf("put an object: %w", err)
	}
	return nil
}

func (p *prober) body() *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(p.data), 0, int64(len(p.data)))
}

func (p *prober) whole(ctx context.Context) error {
	return p.read(ctx, "get an object whole", 0, len(p.data))
}

// read compares a part with what was put.
func (p *prober) read(ctx context.Context, what string, off int64, n int) error {
	got := make([]byte, n)
	k, err := p.store.get(ctx, probeWhole, got, off)
	start, count := blob.Window(probeSize, off, n)
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: %w", what, err)
	case k != count, err == nil != (count == n), !bytes.Equal(got[:k], p.data[start:start+int64(k)]):
		return lies("%s: %d bytes from %d are not those that were put", what, n, off)
	}
	return nil
}

func (p *prober) ranges(ctx context.Context) error {
	for _, r := range []struct {
		off int64
		n   int
	}{
		{1, 4096},
		{probeSize - 4096, 4096},
		{-4096, 4096},
		{probeSize - 10, 20},
		{probeSize, 1},
	} {
		if err := p.read(ctx, "get a part of an object", r.off, r.n); err != nil {
			return err
		}
	}
	return nil
}

func (p *prober) size(ctx context.Context) error {
	switch size, err := p.store.stat(ctx, probeWhole); {
	case err != nil:
		return fmt.Errorf("ask for an object's size: %w", err)
	case size != probeSize:
		return lies("it says that an object of %d bytes has %d", probeSize, size)
	}
	return nil
}

// listed allows for a listing that comes late, and not for one that is refused
// or shows what is not there.
func (p *prober) listed(ctx context.Context) error {
	err := p.store.List(ctx, "", func(info blob.Info) error {
		if info != (blob.Info{Name: probeWhole, Size: probeSize}) {
			return lies("it lists an object %q of %d bytes that was not put", line(info.Name), info.Size)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list what was put: %w", err)
	}
	return nil
}

// again puts the same once more, as a retry does.
func (p *prober) again(ctx context.Context) error {
	if err := p.store.put(ctx, probeWhole, p.body()); err != nil {
		return fmt.Errorf("put an object again: %w", err)
	}
	return p.read(ctx, "get an object that was put twice", 0, len(p.data))
}

// damaged puts bytes that are not those of the signed hash.
func (p *prober) damaged(ctx context.Context) error {
	err := p.store.put(ctx, probeBad, p.body(), func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, signAnother)
	})
	if err == nil {
		return lies("it keeps what arrives damaged: it does not check x-amz-content-sha256")
	}
	switch _, err := p.store.stat(ctx, probeBad); {
	case errors.Is(err, blob.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("ask for an object that was refused: %w", err)
	}
	return lies("it keeps what it refused for its hash")
}

// signAnother has the hash of other bytes signed than those that are sent.
func signAnother(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("SignAnother", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		return next.HandleFinalize(v4.SetPayloadHash(ctx, strings.Repeat("0123456789abcdef", 4)), in)
	}), (&v4.ComputePayloadSHA256{}).ID(), middleware.Before)
}

// removed deletes an object, twice, as a retry does.
func (p *prober) removed(ctx context.Context) error {
	for _, what := range []string{"delete an object", "delete an object that is gone"} {
		if err := p.store.Delete(ctx, probeWhole); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	switch _, err := p.store.stat(ctx, probeWhole); {
	case errors.Is(err, blob.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("ask for an object that was deleted: %w", err)
	}
	return lies("it still has what was deleted")
}

// clean removes what a probe that ended early left.
func (p *prober) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	for _, name := range []string{probeWhole, probeBad} {
		if err := p.store.Delete(ctx, name); err != nil {
			return fmt.Errorf("remove what the probe put: %w", err)
		}
	}
	return nil
}

// Check looks for a first object: it fails where the store can't be reached,
// does not allow that, or, with ErrEmpty, holds none.
func (s *Store) Check(ctx context.Context) error {
	found := errors.New("found")
	err := s.List(ctx, "", func(info blob.Info) error {
		if strings.HasPrefix(info.Name, probeRoom) {
			return nil // of a probe under way, or of one that was killed
		}
		return found
	})
	switch {
	case errors.Is(err, found):
		return nil
	case err == nil:
		err = ErrEmpty
	}
	return fmt.Errorf("%s: %w", s.place, err)
}

// ErrEmpty is wrapped by Check where there is no object.
var ErrEmpty = errors.New("no object store here: it holds no object")
