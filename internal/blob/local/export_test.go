package local

import "os"

// SetSync replaces what makes files and directories durable.
func (s *Store) SetSync(sync func(*os.File) error) { s.sync = sync }
