package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The limits of a state's length.
const (
	minState = 16
	maxState = 64
)

// TakeBase keeps the volume's content of this moment under a state: an id of
// the caller's that is never used for another moment, 16 to 64 lower case
// hexadecimal digits and hyphens, such as a UUID. It is internal: the source
// of a backup, and afterwards what the next one compares its own base with.
// It returns the path of the base, as Snapshot takes it.
func (f *Folder) TakeBase(ctx context.Context, volume, state string) (path string, c Copy, err error) {
	path, err = f.basePath(volume, state)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		c, err = f.copyFile(ctx, filepath.Join(f.dir, volume+".raw"), path, anySize)
	}
	if err != nil {
		return "", Copy{}, fmt.Errorf("take base of volume %q: %w", volume, err)
	}
	return path, c, nil
}

// BasePath returns the path of a base; one that isn't there, or whose state
// can't be one, fails with ErrNotFound or ErrInvalid.
func (f *Folder) BasePath(volume, state string) (string, error) {
	path, err := f.basePath(volume, state)
	if err == nil {
		_, err = os.Lstat(path)
	}
	if err != nil {
		return "", fmt.Errorf("find base of volume %q: %w", volume, classify(err))
	}
	return path, nil
}

// Bases returns the states of a volume's bases: one after a backup, two while
// one is taken, and what crashes left.
func (f *Folder) Bases(volume string) ([]string, error) {
	states, err := f.states(volume)
	if err != nil {
		return nil, fmt.Errorf("list bases of volume %q: %w", volume, err)
	}
	return states, nil
}

// DropBase removes a base.
func (f *Folder) DropBase(ctx context.Context, volume, state string) error {
	path, err := f.basePath(volume, state)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = remove(path)
	}
	if err != nil {
		return fmt.Errorf("drop base of volume %q: %w", volume, err)
	}
	return nil
}

func (f *Folder) states(volume string) ([]string, error) {
	if !validUUID(volume) {
		return nil, fmt.Errorf("%w: %q is not a UUID", ErrInvalid, volume)
	}
	entries, err := os.ReadDir(f.bases)
	if err != nil {
		return nil, err
	}
	var states []string
	for _, e := range entries {
		name, isRaw := strings.CutSuffix(e.Name(), ".raw")
		state, ours := strings.CutPrefix(name, volume+"-")
		if isRaw && ours && validState(state) {
			states = append(states, state)
		}
	}
	slices.Sort(states)
	return states, nil
}

func (f *Folder) basePath(volume, state string) (string, error) {
	if !validUUID(volume) {
		return "", fmt.Errorf("%w: %q is not a UUID", ErrInvalid, volume)
	}
	if !validState(state) {
		return "", fmt.Errorf("%w: %q is not a state", ErrInvalid, state)
	}
	return filepath.Join(f.bases, volume+"-"+state+".raw"), nil
}

func validState(s string) bool {
	return len(s) >= minState && len(s) <= maxState && strings.Trim(s, "0123456789abcdef-") == ""
}
