package mem_test

import (
	"context"
	"errors"
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/mem"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return mem.New() })
}

func TestPutRefusesOtherBytes(t *testing.T) {
	s := mem.New()
	blobtest.Put(t, s, "a", []byte("x"))
	if err := s.Put(context.Background(), "a", blobtest.Body([]byte("y"))); !errors.Is(err, blob.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	if got := blobtest.Get(t, s, "a"); string(got) != "x" {
		t.Errorf("holds %q", got)
	}
}
