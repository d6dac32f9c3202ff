package quickstart

import (
	"context"
	"fmt"
	"io"
	"time"

	"holdfast/internal/clock"
	"holdfast/internal/progress"
)

// textWidth is the column at which what a step tells begins.
const textWidth = 52

// screen shows one step after another: in place while it runs, on a terminal,
// and as a line of its own once it is done.
type screen struct {
	out   io.Writer
	line  *progress.Line
	clock clock.Clock
}

// step is something that is going on.
type step struct {
	*screen
	head  string
	start time.Time
}

// begin starts a step; number is empty where it continues the one before.
func (s *screen) begin(number, text string) *step {
	st := &step{screen: s, head: fmt.Sprintf("%3s  %-*s", number, textWidth, text), start: s.clock.Now()}
	st.line.Show(st.head)
	return st
}

// advance shows how far the step is.
func (st *step) advance(done, total int64) {
	st.line.Show(st.head + progress.Bar(done, total))
}

// status shows the status that the service gives what the step waits for.
func (st *step) status(status string) {
	st.line.Show(fmt.Sprintf("%s%-16s %5.1f s", st.head, status, st.elapsed().Seconds()))
}

func (st *step) elapsed() time.Duration { return st.clock.Now().Sub(st.start) }

// done ends the step and returns how long it took. Result, which may be
// empty, is shown beside the time.
func (st *step) done(result string) time.Duration {
	took := st.elapsed()
	st.line.Clear()
	if result != "" {
		result = "   " + result
	}
	fmt.Fprintf(st.out, "%s%5.1f s%s\n", st.head, took.Seconds(), result)
	return took
}

// broken ends a step that did not succeed, or that ctx stopped.
func (st *step) broken(ctx context.Context) {
	st.line.Clear()
	outcome := "failed"
	if ctx.Err() != nil {
		outcome = "stopped"
	}
	fmt.Fprintf(st.out, "%s%s\n", st.head, outcome)
}
