package limit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/blob"
	"holdfast/internal/blob/blobtest"
	"holdfast/internal/blob/fault"
	"holdfast/internal/blob/limit"
	"holdfast/internal/blob/mem"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return limit.New(mem.New(), limit.Config{}) })
}

// TestNarrowStore has one request of each kind at once, and rates that no test
// feels.
func TestNarrowStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store {
		return limit.New(mem.New(), limit.Config{
			Reads: 1, Writes: 1, Upload: limit.NewRate(1 << 40), Download: limit.NewRate(1 << 40),
		})
	})
}

// held is a store whose requests wait until they are let go on.
func held(cfg limit.Config) (s *limit.Store, inner *fault.Store, letGo func()) {
	gate := make(chan struct{})
	inner = fault.New(mem.New())
	for _, op := range fault.Ops() {
		inner.Add(fault.Fault{Op: op, Before: func(context.Context) error { <-gate; return nil }})
	}
	return limit.New(inner, cfg), inner, func() { close(gate) }
}

func TestRequestsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, inner, letGo := held(limit.Config{Reads: 3, Writes: 2})
		ctx := t.Context()
		for i := range 10 {
			name := fmt.Sprint(i)
			go func() { _, _ = s.Get(ctx, name, nil, 0) }()
			go func() { _, _ = s.Stat(ctx, name) }()
			go func() { _ = s.List(ctx, name, func(blob.Info) error { return nil }) }()
			go func() { _ = s.Put(ctx, name, blobtest.Body(nil)) }()
			go func() { _ = s.Delete(ctx, name) }()
		}
		synctest.Wait()
		reads := inner.Calls(fault.Get) + inner.Calls(fault.Stat) + inner.Calls(fault.List)
		writes := inner.Calls(fault.Put) + inner.Calls(fault.Delete)
		if reads != 3 || writes != 2 {
			t.Errorf("%d reads and %d writes at once, want 3 and 2", reads, writes)
		}
		letGo()
		synctest.Wait()
		if all := inner.Calls(fault.Get) + inner.Calls(fault.Put); all != 20 {
			t.Errorf("%d of 20 requests carried out", all)
		}
	})
}

func TestWaitingIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, inner, letGo := held(limit.Config{Writes: 1})
		go func() { _ = s.Put(t.Context(), "a", blobtest.Body(nil)) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Put(ctx, "b", blobtest.Body(nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if got := inner.Calls(fault.Put); got != 1 {
			t.Errorf("%d requests", got)
		}
		letGo()
		synctest.Wait()
	})
}

// TestListingLetsOthersIn: what a listing calls may call the store.
func TestListingLetsOthersIn(t *testing.T) {
	s := limit.New(mem.New(), limit.Config{Reads: 1})
	for _, name := range []string{"a", "b"} {
		blobtest.Put(t, s, name, nil)
	}
	for range 3 {
		stop := errors.New("stop")
		err := s.List(t.Context(), "", func(info blob.Info) error {
			if _, err := s.Stat(t.Context(), info.Name); err != nil {
				return err
			}
			return stop
		})
		if err != stop {
			t.Errorf("error %v", err)
		}
	}
}

func TestBandwidth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limit.New(mem.New(), limit.Config{Upload: limit.NewRate(1 << 20), Download: limit.NewRate(2 << 20)})
		data := make([]byte, 10<<20)
		began := time.Now()
		done := make(chan time.Duration)
		// Two that share a rate come to their ends together.
		for _, name := range []string{"a", "b"} {
			go func() {
				if err := s.Put(t.Context(), name, blobtest.Body(data[:5<<20])); err != nil {
					t.Error(err)
				}
				done <- time.Since(began)
			}()
		}
		first, second := <-done, <-done
		if want := 10 * time.Second; second < want-time.Second || second > want || second-first > time.Second {
			t.Errorf("two uploads of 5 MiB at 1 MiB/s in all ended after %v and %v", first, second)
		}
		began = time.Now()
		if _, err := s.Get(t.Context(), "a", data[:4<<20], 0); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 1900*time.Millisecond || took > 2*time.Second {
			t.Errorf("a download of 4 MiB at 2 MiB/s took %v", took)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Put(ctx, "c", blobtest.Body(data)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// TestConn has a connection send and receive at its rates, and end its waits
// when it is closed.
func TestConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		conn := limit.Conn(near, limit.NewRate(1<<20), limit.NewRate(2<<20))
		data := bytes.Repeat([]byte("0123456789abcdef"), 256<<10) // 4 MiB

		began := time.Now()
		received := make(chan []byte)
		go func() {
			all, _ := io.ReadAll(io.LimitReader(far, int64(len(data))))
			received <- all
		}()
		if n, err := conn.Write(data); n != len(data) || err != nil {
			t.Fatalf("wrote %d bytes, %v", n, err)
		}
		if !bytes.Equal(<-received, data) {
			t.Error("other bytes arrived")
		}
		if took := time.Since(began); took < 3900*time.Millisecond || took > 4*time.Second {
			t.Errorf("4 MiB at 1 MiB/s took %v", took)
		}

		began = time.Now()
		go func() { _, _ = far.Write(data) }()
		got := make([]byte, len(data))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("received other bytes: %v", err)
		}
		if took := time.Since(began); took < 1900*time.Millisecond || took > 2*time.Second {
			t.Errorf("4 MiB at 2 MiB/s took %v", took)
		}

		began = time.Now()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		time.AfterFunc(time.Second, func() { conn.Close() })
		if _, err := conn.Write(data); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("a closed connection waited %v", took)
		}
	})
}

func TestNoRateIsNone(t *testing.T) {
	if limit.NewRate(0) != nil || limit.NewRate(-1) != nil {
		t.Error("no bandwidth is a limit")
	}
	near, _ := net.Pipe()
	if limit.Conn(near, nil, nil) != near {
		t.Error("a connection without limits is wrapped")
	}
}
