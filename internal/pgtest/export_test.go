package pgtest

// Folder returns where the shared server lives.
func Folder() string { return shared.server.dir }
