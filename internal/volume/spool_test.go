package volume_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"

	"holdfast/internal/volume"
)

func TestStreamIsSpooled(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 4096, 1 << 20, 3<<20 + 4097} {
		data := make([]byte, size)
		for i := range data[:size/2] { // the rest is zeros
			data[i] = byte(rng.Uint32())
		}
		dir := t.TempDir()
		s, err := volume.Spool(t.Context(), dir, iotest.HalfReader(bytes.NewReader(data)))
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		if n, err := s.ReadAt(got, 0); n != size || err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(got, data) || s.Size() != int64(size) {
			t.Errorf("%d bytes: %d came back, size %d, error %v", size, n, s.Size(), err)
		}
		if size > 3<<20 {
			if start, _, err := s.NextData(int64(size) - 4096); err != nil || start < int64(size)-4096 {
				t.Errorf("data at %d, %v", start, err)
			}
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
			t.Errorf("the folder holds %v, %v", names, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBrokenStream(t *testing.T) {
	broken := errors.New("broken pipe")
	stream := io.MultiReader(bytes.NewReader(make([]byte, 5000)), iotest.ErrReader(broken))
	var failed *volume.SourceError
	if _, err := volume.Spool(t.Context(), t.TempDir(), stream); !errors.Is(err, broken) || !errors.As(err, &failed) || failed.Offset != 5000 {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := volume.Spool(ctx, t.TempDir(), stream); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := volume.Spool(t.Context(), t.TempDir()+"/none", stream); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("without a folder: %v", err)
	}
}
