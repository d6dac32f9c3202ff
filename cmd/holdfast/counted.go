package main

import "io"

// counted is a reader that tells how many bytes have come.
type counted struct {
	in   io.Reader
	n    int64
	tell func(n int64)
}

// Read reads on.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}
