package limit

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/time/rate"
)

// slice is how many bytes are let through at once: those who share a rate take
// turns at this grain.
const slice = 64 << 10

// Rate is a bandwidth that many share, in turns of at most 64 KiB. A nil Rate
// lets everything through.
type Rate struct{ limiter *rate.Limiter }

// NewRate returns a bandwidth in bytes a second, nil where that is not
// positive.
func NewRate(bytesPerSecond int64) *Rate {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &Rate{rate.NewLimiter(rate.Limit(bytesPerSecond), slice)}
}

// Wait returns when n more bytes may pass, or with the context's error.
func (r *Rate) Wait(ctx context.Context, n int) error {
	if r == nil {
		return nil
	}
	for ; n > 0; n -= slice {
		if err := r.limiter.WaitN(ctx, min(n, slice)); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// What is left of the deadline is shorter than the wait.
			return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
		}
	}
	return nil
}

// Conn returns conn with what is sent and received kept to two bandwidths,
// either of which may be nil.
func Conn(conn net.Conn, send, receive *Rate) net.Conn {
	if send == nil && receive == nil {
		return conn
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &limited{Conn: conn, send: send, receive: receive, closed: ctx, cancel: cancel}
}

type limited struct {
	net.Conn
	send, receive *Rate

	closed context.Context // ends with the connection, and with it all waits
	cancel context.CancelFunc
}

// Write sends p in turns.
func (c *limited) Write(p []byte) (int, error) {
	sent := 0
	for {
		turn := p[sent:min(sent+slice, len(p))]
		if c.send.Wait(c.closed, len(turn)) != nil {
			return sent, net.ErrClosed
		}
		n, err := c.Conn.Write(turn)
		sent += n
		if err != nil || sent == len(p) {
			return sent, err
		}
	}
}

// Read receives, and then waits for as long as that should have taken.
func (c *limited) Read(p []byte) (int, error) {
	if c.receive != nil {
		p = p[:min(slice, len(p))]
	}
	n, err := c.Conn.Read(p)
	if c.receive.Wait(c.closed, n) != nil && err == nil {
		err = net.ErrClosed
	}
	return n, err
}

// Close ends the connection and whoever waits.
func (c *limited) Close() error {
	c.cancel()
	return c.Conn.Close()
}
