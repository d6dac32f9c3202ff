package fault_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/mem"
)

var errFault = errors.New("fault")

func TestStoreWithoutFaults(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return fault.New(mem.New()) })
}

func TestNthCall(t *testing.T) {
	for _, test := range []struct {
		fault fault.Fault
		fails [4]bool
	}{
		{fault.Fault{Op: fault.Stat, Nth: 2}, [4]bool{false, true, false, false}},
		{fault.Fault{Op: fault.Stat, Nth: 2, Since: true}, [4]bool{false, true, true, true}},
		{fault.Fault{Op: fault.Stat}, [4]bool{true, true, true, true}},
		{fault.Fault{Op: fault.Stat, Match: "x"}, [4]bool{false, false, false, false}},
		{fault.Fault{Op: fault.Get}, [4]bool{false, false, false, false}},
	} {
		test.fault.Err = errFault
		s := fault.New(mem.New(), test.fault)
		blobtest.Put(t, s, "a", nil)
		for i, want := range test.fails {
			_, err := s.Stat(context.Background(), "a")
			if errors.Is(err, errFault) != want || err != nil && !want {
				t.Errorf("%+v: call %d: error %v", test.fault, i+1, err)
			}
		}
		if got := s.Calls(fault.Stat); got != 4 {
			t.Errorf("%d calls counted", got)
		}
	}
}

func TestEachMethodFails(t *testing.T) {
	ctx, s := context.Background(), fault.New(mem.New())
	blobtest.Put(t, s, "a", []byte("x"))
	for _, op := range []fault.Op{fault.Put, fault.Get, fault.Stat, fault.Delete, fault.List} {
		s.Add(fault.Fault{Op: op, Err: errFault})
	}
	_, get := s.Get(ctx, "a", make([]byte, 1), 0)
	_, stat := s.Stat(ctx, "a")
	for op, err := range map[fault.Op]error{
		fault.Put: s.Put(ctx, "b", blobtest.Body(nil)), fault.Get: get, fault.Stat: stat, fault.Delete: s.Delete(ctx, "a"),
		fault.List: s.List(ctx, "", func(blob.Info) error { return nil }),
	} {
		if !errors.Is(err, errFault) {
			t.Errorf("%s: error %v", op, err)
		}
	}
	s.Clear()
	if got := blobtest.List(t, s, ""); len(got) != 1 || got["a"] != 1 {
		t.Errorf("failed calls were carried out: %v", got)
	}
}

func TestLostAnswer(t *testing.T) {
	s := fault.New(mem.New(), fault.Fault{Op: fault.Put, Err: errFault, Late: true})
	if err := s.Put(context.Background(), "a", blobtest.Body([]byte("x"))); !errors.Is(err, errFault) {
		t.Errorf("error %v", err)
	}
	if got := blobtest.Get(t, s, "a"); string(got) != "x" {
		t.Errorf("holds %q", got)
	}
}

func TestShort(t *testing.T) {
	s := fault.New(mem.New(), fault.Fault{Op: fault.Put, Nth: 1, Short: true}, fault.Fault{Op: fault.Get, Match: "whole", Short: true})
	blobtest.Put(t, s, "half", []byte("0123456789"))
	if got := blobtest.Get(t, s, "half"); string(got) != "01234" {
		t.Errorf("stored %q", got)
	}
	blobtest.Put(t, s, "whole", []byte("0123456789"))
	p := make([]byte, 10)
	n, err := s.Get(context.Background(), "whole", p, 0)
	if string(p[:n]) != "01234" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Get = %q, %v", p[:n], err)
	}
}

func TestFlip(t *testing.T) {
	s := fault.New(mem.New())
	blobtest.Put(t, s, "a", []byte("0000000000"))
	for _, test := range []struct {
		at, off int64
		n       int
		want    string
	}{
		{3, 0, 10, "0001000000"},
		{13, 0, 10, "0001000000"},
		{3, 3, 1, "1"},
		{3, 4, 2, "00"},
		{9, -2, 2, "01"},
	} {
		s.Clear()
		s.Add(fault.Fault{Op: fault.Get, Flip: true, FlipAt: test.at})
		p := make([]byte, test.n)
		if _, err := s.Get(context.Background(), "a", p, test.off); err != nil || string(p) != test.want {
			t.Errorf("byte %d flipped, Get %d from %d = %q, %v, want %q", test.at, test.n, test.off, p, err, test.want)
		}
	}
	s.Clear()
	if got := blobtest.Get(t, s, "a"); string(got) != "0000000000" {
		t.Errorf("the object itself was changed: %q", got)
	}
}

func TestSpace(t *testing.T) {
	ctx, s := context.Background(), fault.New(mem.New())
	s.SetSpace(10)
	blobtest.Put(t, s, "a", make([]byte, 6))
	if err := s.Put(ctx, "b", blobtest.Body(make([]byte, 5))); !errors.Is(err, blob.ErrNoSpace) {
		t.Errorf("error %v", err)
	}
	blobtest.Put(t, s, "b", make([]byte, 4))
	s.SetSpace(1)
	blobtest.Put(t, s, "c", make([]byte, 1))
}

func TestBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := fault.New(mem.New(), fault.Fault{Op: fault.Put, Before: func(context.Context) error {
		cancel()
		return nil
	}})
	if err := s.Put(ctx, "a", blobtest.Body(nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	s.Clear()
	s.Add(fault.Fault{Op: fault.Put, Before: func(context.Context) error { return errFault }})
	if err := s.Put(context.Background(), "a", blobtest.Body(nil)); !errors.Is(err, errFault) {
		t.Errorf("error %v", err)
	}
	if got := blobtest.List(t, s, ""); len(got) != 0 {
		t.Errorf("listed: %v", got)
	}
}

func TestOneInSoMany(t *testing.T) {
	ctx := context.Background()
	struck := func(seed uint64) (calls []int) {
		s := fault.New(mem.New(), fault.Fault{Op: fault.Delete, OneIn: 4, Seed: seed, Err: errFault})
		for i := range 400 {
			if s.Delete(ctx, "a") != nil {
				calls = append(calls, i)
			}
		}
		return calls
	}
	first := struck(1)
	if diff := cmp.Diff(first, struck(1)); diff != "" {
		t.Errorf("the same seed strikes other calls (-first +second):\n%s", diff)
	}
	if cmp.Equal(first, struck(2)) {
		t.Error("another seed strikes the same calls")
	}
	if n := len(first); n < 60 || n > 140 {
		t.Errorf("%d of 400 calls struck, want about 100", n)
	}
}

func TestHang(t *testing.T) {
	s := fault.New(mem.New(), fault.Fault{Op: fault.Put, Hang: true, Late: true}, fault.Fault{Op: fault.Get, Hang: true})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Put(ctx, "a", blobtest.Body([]byte("x"))) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestTwice(t *testing.T) {
	inner := fault.New(mem.New())
	s := fault.New(inner, fault.Fault{Op: fault.Put, Twice: true})
	blobtest.Put(t, s, "a", []byte("x"))
	if got := inner.Calls(fault.Put); got != 2 {
		t.Errorf("put %d times", got)
	}
}

func TestStale(t *testing.T) {
	ctx, s := context.Background(), fault.New(mem.New())
	blobtest.Put(t, s, "a/old", []byte("1"))
	blobtest.Put(t, s, "a/kept", []byte("12"))
	s.Add(fault.Fault{Op: fault.List, Nth: 1, Stale: true})
	blobtest.Put(t, s, "a/new", []byte("123"))
	blobtest.Put(t, s, "a/kept", []byte("12"))
	for _, name := range []string{"a/old", "a/none"} {
		if err := s.Delete(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	blobtest.Put(t, s, "a/passing", nil)
	if err := s.Delete(ctx, "a/passing"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []map[string]int64{
		{"a/old": 1, "a/kept": 2},
		{"a/new": 3, "a/kept": 2},
	} {
		if diff := cmp.Diff(want, blobtest.List(t, s, "a/")); diff != "" {
			t.Errorf("listed (-want +got):\n%s", diff)
		}
	}
	if _, err := s.Stat(ctx, "a/old"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("what a stale listing shows is there: %v", err)
	}
}

func TestMissing(t *testing.T) {
	ctx, s := context.Background(), fault.New(mem.New())
	blobtest.Put(t, s, "a/x", nil)
	blobtest.Put(t, s, "b/x", nil)
	for _, f := range fault.Missing("a/") {
		s.Add(f)
	}
	_, get := s.Get(ctx, "a/x", nil, 0)
	_, stat := s.Stat(ctx, "a/x")
	if !errors.Is(get, blob.ErrNotFound) || !errors.Is(stat, blob.ErrNotFound) {
		t.Errorf("errors %v and %v", get, stat)
	}
	if diff := cmp.Diff(map[string]int64{"b/x": 0}, blobtest.List(t, s, "")); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fault.New(mem.New(), fault.Latency(20*time.Millisecond)...)
		began := time.Now()
		blobtest.Put(t, s, "a", nil)
		blobtest.Get(t, s, "a") // asks for the size first
		if took := time.Since(began); took != 60*time.Millisecond {
			t.Errorf("three requests took %v", took)
		}
	})
}
