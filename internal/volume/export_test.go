package volume

// PastCache has all large writes go past the page cache from the first on, and
// reports whether the file system takes them.
func (t *FileTarget) PastCache() bool {
	t.direct.after = 0
	return t.direct.f != nil
}

// Cached returns how many bytes were written through the page cache.
func (t *FileTarget) Cached() int64 { return t.direct.count.Load() }
