// Package blobtest is the conformance suite of object stores: what vaults
// rely on, as tests that every implementation passes.
package blobtest

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"

	"holdfast/internal/blob"
)

// Run tests the stores that open returns, a new and empty one each time. What
// it needs to be closed is registered with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, blob.Store)
	}{
		{"PutGet", testPutGet},
		{"Get", testGet},
		{"GetParts", testGetParts},
		{"Missing", testMissing},
		{"Names", testNames},
		{"BadNames", testBadNames},
		{"TooLarge", testTooLarge},
		{"RetriedPut", testRetriedPut},
		{"ShortBody", testShortBody},
		{"BodyPosition", testBodyPosition},
		{"Delete", testDelete},
		{"List", testList},
		{"ListStops", testListStops},
		{"ListReenters", testListReenters},
		{"BadPrefixes", testBadPrefixes},
		{"Canceled", testCanceled},
		{"Concurrent", testConcurrent},
		{"SamePutTwice", testSamePutTwice},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
	t.Run("Model", func(t *testing.T) { testModel(t, open) })
}

// Body returns data as Put takes it.
func Body(data []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data)))
}

// Put stores data and fails the test where that fails.
func Put(t testing.TB, s blob.Store, name string, data []byte) {
	t.Helper()
	if err := s.Put(context.Background(), name, Body(data)); err != nil {
		t.Fatal(err)
	}
}

// Get returns an object's content and fails the test where there is none.
func Get(t testing.TB, s blob.Store, name string) []byte {
	t.Helper()
	data, err := blob.ReadAll(context.Background(), s, name, blob.MaxSize)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// List returns the sizes of the objects under a prefix by name, and fails the
// test where one is listed twice.
func List(t testing.TB, s blob.Store, prefix string) map[string]int64 {
	t.Helper()
	sizes := make(map[string]int64)
	err := s.List(context.Background(), prefix, func(info blob.Info) error {
		if _, ok := sizes[info.Name]; ok {
			t.Errorf("%s listed twice", info.Name)
		}
		sizes[info.Name] = info.Size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes
}

// bytesOf returns n bytes that differ for each seed.
func bytesOf(seed uint64, n int) []byte {
	data := make([]byte, n)
	chacha := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), 1})
	chacha.Read(data)
	return data
}
