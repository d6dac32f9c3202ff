package obs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// readiness answers /readyz.
type readiness struct {
	probes  []*probe
	timeout time.Duration
}

func newReadiness(checks []Check, timeout time.Duration) *readiness {
	r := &readiness{timeout: timeout}
	for _, c := range checks {
		r.probes = append(r.probes, &probe{check: c})
	}
	return r
}

// readyBody is the answer of /readyz.
type readyBody struct {
	Status string            `json:"status"` // "ready", or "not ready: " and what fails
	Checks map[string]string `json:"checks"` // "ok" or what is wrong, by name
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), r.timeout)
	defer cancel()
	results := make([]string, len(r.probes))
	var wg sync.WaitGroup
	for i, p := range r.probes {
		wg.Go(func() { results[i] = p.result(ctx, r.timeout) })
	}
	wg.Wait()

	body := readyBody{Status: "ready", Checks: make(map[string]string, len(results))}
	code := http.StatusOK
	var failing []string
	for i, result := range results {
		name := r.probes[i].check.Name
		body.Checks[name] = result
		if result != "ok" {
			failing = append(failing, name)
		}
	}
	if len(failing) > 0 {
		code = http.StatusServiceUnavailable
		body.Status = "not ready: " + strings.Join(failing, ", ")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // nobody is left to tell
}

// probe runs a check for whoever asks while it runs.
type probe struct {
	check Check

	mu      sync.Mutex
	current *run // nil: not running
}

type run struct {
	done chan struct{}
	err  error // set before done is closed
}

// result returns "ok" or what is wrong, but waits no longer than ctx lasts: a
// check may hang in the kernel, on a store that has gone away for instance.
func (p *probe) result(ctx context.Context, timeout time.Duration) string {
	current := p.join(ctx, timeout)
	select {
	case <-current.done:
		if current.err != nil {
			return hidePasswords(current.err.Error())
		}
		return "ok"
	case <-ctx.Done():
		return fmt.Sprintf("no answer within %v", timeout)
	}
}

// join returns the run under way, or starts one, which outlives the request
// that started it: others may have joined.
func (p *probe) join(ctx context.Context, timeout time.Duration) *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		return p.current
	}
	started := &run{done: make(chan struct{})}
	p.current = started
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		started.err = p.check.Run(ctx)
		p.mu.Lock()
		p.current = nil
		p.mu.Unlock()
		close(started.done)
	}()
	return started
}
