package local_test

import (
	"testing"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/local"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return create(t, t.TempDir()) })
}

func create(t testing.TB, root string) *local.Store {
	t.Helper()
	s, err := local.Create(root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
