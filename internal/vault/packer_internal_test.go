package vault

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"holdfast/internal/blob/mem"
	"holdfast/internal/vault/compress"
	"holdfast/internal/vault/format"
)

// aloneFence and aloneKeys are as much of a fence and of keys as a packer asks for.
type aloneFence struct{ Fence }

type aloneKeys struct{}

func (aloneKeys) ID() [16]byte                              { return [16]byte{1} }
func (aloneKeys) Current() uint32                           { return 1 }
func (aloneKeys) Derive(uint32, string, []byte, int) []byte { return make([]byte, 32) }

// TestRoomIsFoundInOpenPacks has all packs that may be in memory be open and
// taken, and then room become free in one of them: whoever waits gets it.
func TestRoomIsFoundInOpenPacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, fail := context.WithCancelCause(t.Context())
		v, err := Open(Config{Store: mem.New(), Keys: aloneKeys{}, Fence: aloneFence{}, Rand: rand.NewChaCha8([32]byte{})})
		if err != nil {
			t.Fatal(err)
		}
		s := newSession(v, SessionRef{Vault: v.id}, Begun{}, fail)
		defer s.uploads.wg.Wait()
		p := newPacker(s, 4)
		w, err := newSealer(s, compress.S2, compress.S2)
		if err != nil {
			t.Fatal(err)
		}
		take := func() *slot {
			c, err := p.take(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		var held []*slot
		block := make([]byte, format.BlockSize)
		for n := range packsInMemory * format.PackContainers {
			c := take()
			if n%format.PackContainers == format.PackContainers-1 {
				held = append(held, c) // of each pack, one is never full
				continue
			}
			for !c.full() {
				c.add(w, []format.Digest{{byte(n), 1}}, block)
			}
			p.give(ctx, c)
		}
		found := make(chan *slot, 1)
		go func() { found <- take() }()
		synctest.Wait()
		select {
		case <-found:
			t.Fatal("there was room")
		default:
		}
		p.give(ctx, held[0])
		synctest.Wait()
		select {
		case c := <-found:
			p.give(ctx, c)
		default:
			t.Error("a container has room, and nobody has it, but who waits doesn't get it")
			fail(context.Canceled)
		}
	})
}

// What limits decides: not one slow upload, and not one quick one.
func TestPaceFollowsWhatLimits(t *testing.T) {
	var p pace
	want := func(dense bool, waits ...bool) {
		t.Helper()
		for _, waited := range waits {
			if got := p.begin(waited, 1<<30, 1<<30); got != dense {
				t.Errorf("waited %v: dense %v, state %+v", waited, got, p)
			}
		}
	}
	want(false, false, true, true, false, true)
	want(true, true, true, true, false, false, true, false, false)
	want(false, false, false, true)
	if !p.begin(false, 1<<30, 400<<20) || p.begin(false, 1<<30, 520<<20) || p.begin(false, 64<<20, 0) {
		t.Error("what is read and not new doesn't count")
	}
}
