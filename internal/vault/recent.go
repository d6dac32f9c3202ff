package vault

import "sync"

// recent is a bounded map: once limit entries are new, those that have not
// been used since the last time are dropped. It may be used concurrently.
type recent[K comparable, V any] struct {
	mu       sync.Mutex
	limit    int
	now, old map[K]V
}

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, now: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.now[k]
	if !ok {
		if v, ok = r.old[k]; ok {
			r.put(k, v)
		}
	}
	return v, ok
}

func (r *recent[K, V]) set(k K, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(k, v)
}

func (r *recent[K, V]) put(k K, v V) {
	if len(r.now) >= r.limit {
		r.old, r.now = r.now, make(map[K]V)
	}
	delete(r.old, k)
	r.now[k] = v
}

func (r *recent[K, V]) drop(k K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, k)
	delete(r.old, k)
}
