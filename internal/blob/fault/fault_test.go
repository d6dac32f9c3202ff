package fault_test

import (
	"context"
	"errors"
	"io"
	"testing"

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
