package quickstart

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"

	"holdfast/internal/progress"
)

// CheckSpace fails where the file system that dir is on, or will be on, has
// fewer than need bytes free.
func CheckSpace(dir string, need int64) error {
	at, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("check free space: %w", err)
	}
	var st unix.Statfs_t
	for {
		err := unix.Statfs(at, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			return fmt.Errorf("check free space of %s: %w", at, err)
		}
		at = filepath.Dir(at)
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("%s has %s free, and the quickstart needs %s: choose another place with --data",
			at, progress.Bytes(free), progress.Bytes(need))
	}
	return nil
}
