package identity

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"holdfast/internal/clock"
)

// Throttled is the error of a login that comes too soon after failures. It
// says nothing about the user: names that don't exist are treated alike.
type Throttled struct {
	After time.Duration // how long to wait
}

// Error says how long to wait.
func (t *Throttled) Error() string {
	return fmt.Sprintf("Too many failed logins. Try again in %d seconds.", t.Seconds())
}

// Seconds returns how long to wait, rounded up.
func (t *Throttled) Seconds() int { return int((t.After + time.Second - 1) / time.Second) }

// limits shape a backoff: so many failures are free, then the wait doubles
// from first to longest. A key without failures for the time of forget starts
// anew.
type limits struct {
	free    int
	first   time.Duration
	longest time.Duration
	forget  time.Duration
	keys    int
}

// The wait of a user is kept short: anyone can cause it for anyone. Behind
// an address may be many users.
var (
	userLimits   = limits{free: 5, first: time.Second, longest: 30 * time.Second, forget: 15 * time.Minute, keys: 4096}
	clientLimits = limits{free: 20, first: time.Second, longest: 5 * time.Minute, forget: 15 * time.Minute, keys: 4096}
)

// backoff slows down keys that fail.
type backoff struct {
	clock  clock.Clock
	limits limits
	mu     sync.Mutex
	seen   map[string]*failures
}

type failures struct {
	count int
	last  time.Time
	until time.Time
}

func newBackoff(c clock.Clock, l limits) *backoff {
	return &backoff{clock: c, limits: l, seen: map[string]*failures{}}
}

// check returns a *Throttled error where the key has to wait.
func (b *backoff) check(key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.seen[key]
	if f == nil {
		return nil
	}
	if wait := f.until.Sub(b.clock.Now()); wait > 0 {
		return &Throttled{After: wait}
	}
	return nil
}

// fail counts a failure of the key.
func (b *backoff) fail(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	f := b.seen[key]
	if f == nil || now.Sub(f.last) > b.limits.forget {
		b.makeRoom(now)
		f = &failures{}
		b.seen[key] = f
	}
	f.count++
	f.last = now
	if over := f.count - b.limits.free; over > 0 {
		wait := b.limits.longest
		if over < 30 {
			wait = min(b.limits.first<<(over-1), b.limits.longest)
		}
		f.until = now.Add(wait)
	}
}

// succeed forgets the key's failures.
func (b *backoff) succeed(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, key)
}

// makeRoom keeps the map bounded: first what is forgotten goes, then the key
// that failed longest ago.
func (b *backoff) makeRoom(now time.Time) {
	if len(b.seen) < b.limits.keys {
		return
	}
	var oldest string
	var at time.Time
	for key, f := range b.seen {
		if now.Sub(f.last) > b.limits.forget {
			delete(b.seen, key)
			continue
		}
		if oldest == "" || f.last.Before(at) {
			oldest, at = key, f.last
		}
	}
	if len(b.seen) >= b.limits.keys {
		delete(b.seen, oldest)
	}
}

// clientKey is what failures from an address are counted under: whole IPv6
// networks, of which one client has all addresses. Empty: unknown.
func clientKey(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}
