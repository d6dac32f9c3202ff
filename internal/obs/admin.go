package obs

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"time"
)

// Check is one thing without which the service can't work.
type Check struct {
	Name string
	// Run returns nil where all is well, and otherwise what is wrong. It
	// should return soon after ctx is done; one that doesn't is reported as
	// failing, and isn't run again until it has returned. It is never run
	// more than once at a time.
	Run func(ctx context.Context) error
}

// Admin describes the admin listener's pages.
type Admin struct {
	Metrics *Metrics
	Checks  []Check
	Timeout time.Duration // of all checks together
	Pprof   bool
}

// Handler serves /healthz, which answers while the process lives; /readyz,
// which runs the checks and answers 503 where one fails; /metrics; and Go's
// profiles under /debug/pprof/ where they are wanted.
func (a Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /readyz", newReadiness(a.Checks, a.Timeout))
	mux.Handle("GET /metrics", a.Metrics.Handler())
	if a.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}
