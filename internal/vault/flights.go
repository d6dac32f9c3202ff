package vault

import (
	"container/list"
	"sync"
)

// flights is a bounded cache of what several goroutines may want at once and
// one of them loads. The least recently used goes first.
type flights[K comparable, V any] struct {
	limit int64

	mu    sync.Mutex
	size  int64
	order *list.List // of *flight, the most recently used first
	at    map[K]*list.Element
}

// flight is one entry. Value and err are good once ready is closed.
type flight[K comparable, V any] struct {
	key   K
	size  int64
	ready chan struct{}
	value V
	err   error
}

func newFlights[K comparable, V any](limit int64) *flights[K, V] {
	return &flights[K, V]{limit: limit, order: list.New(), at: map[K]*list.Element{}}
}

// claim returns the entry of a key. Where it is new, the caller has to land it.
func (c *flights[K, V]) claim(k K, size int64) (f *flight[K, V], mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[k]; ok {
		c.order.MoveToFront(e)
		return e.Value.(*flight[K, V]), false
	}
	f = &flight[K, V]{key: k, size: size, ready: make(chan struct{})}
	c.at[k] = c.order.PushFront(f)
	c.size += size
	for c.size > c.limit && c.order.Len() > 1 {
		c.remove(c.order.Back())
	}
	return f, true
}

// land ends the loading of an entry; one that failed is not kept.
func (c *flights[K, V]) land(f *flight[K, V], v V, err error) {
	f.value, f.err = v, err
	close(f.ready)
	if err != nil {
		c.drop(f)
	}
}

// drop lets go of an entry, unless another one has taken its place.
func (c *flights[K, V]) drop(f *flight[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.at[f.key]; ok && e.Value.(*flight[K, V]) == f {
		c.remove(e)
	}
}

func (c *flights[K, V]) remove(e *list.Element) {
	f := c.order.Remove(e).(*flight[K, V])
	delete(c.at, f.key)
	c.size -= f.size
}
