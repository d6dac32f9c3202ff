package s3

// ParseRange parses the header Content-Range.
func ParseRange(s string) (first, end, size int64, ok bool) {
	p, ok := parseRange(s)
	return p.first, p.end, p.size, ok
}
