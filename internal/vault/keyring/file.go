package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Create makes a master key and writes it to a new file of mode 0600, whole
// and durably, under a passphrase unless that is empty. It fails with
// fs.ErrExist where there is a file.
func Create(path, passphrase string, rand io.Reader) (*Master, error) {
	m, err := NewMaster(rand)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := m.Export(&out); err != nil {
		return nil, err
	}
	text := out.Bytes()
	if passphrase != "" {
		if text, err = Protect(text, passphrase); err != nil {
			return nil, err
		}
	}
	if err := WriteNew(path, text); err != nil {
		return nil, fmt.Errorf("write master key file: %w", err)
	}
	return m, nil
}

// WriteNew writes a key file of mode 0600, whole and durably. It fails with
// fs.ErrExist where there is a file: no key ever takes another one's place
// unasked.
func WriteNew(path string, text []byte) error { return putFile(path, text, os.Link) }

// Replace puts a key file of mode 0600 in the place of the one at path, whole
// and durably: at every instant one of the two is there.
func Replace(path string, text []byte) error { return putFile(path, text, os.Rename) }

// putFile writes a file aside and has place give it its name.
func putFile(path string, text []byte, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes a folder's entries durable.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Load reads a master key file, which must belong to the user that the process
// runs as, and be closed to all others. The passphrase counts where the file
// is protected by one. Where there is no file, the error wraps fs.ErrNotExist
// and says what that means.
func Load(path, passphrase string) (*Master, error) {
	_, _, key, err := loadMaster(path, passphrase)
	return key, err
}

// LoadText does what Load does, and returns the file's text, as it is and
// without protection.
func LoadText(path, passphrase string) (text, plain []byte, err error) {
	text, plain, _, err = loadMaster(path, passphrase)
	return text, plain, err
}

func loadMaster(path, passphrase string) (text, plain []byte, m *Master, err error) {
	text, plain, key, err := load(path, passphrase, "master key file")
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("master key file %s is missing: without it no backup can be read; put the copy back that was kept: %w",
			path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	m, ok := key.(*Master)
	if !ok {
		return nil, nil, nil, fmt.Errorf("master key file %s holds a recovery identity, which reads vaults and makes none", path)
	}
	return text, plain, m, nil
}

// LoadAny reads a key file as Load does, or a recovery identity, in the form
// of age's files, protected by a passphrase or not.
func LoadAny(path, passphrase string) (Opener, error) {
	_, _, key, err := load(path, passphrase, "key file")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key file %s is missing: %w", path, fs.ErrNotExist)
	}
	return key, err
}

func load(path, passphrase, what string) (text, plain []byte, key Opener, err error) {
	if text, err = readFile(path, what); err != nil {
		return nil, nil, nil, err
	}
	if plain, err = Unprotect(text, passphrase); err == nil {
		key, err = parseKey(plain)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s %s: %w", what, path, err)
	}
	return text, plain, key, nil
}

// ReadFile returns the text of a key file, in whatever form, with the same
// conditions as Load.
func ReadFile(path string) ([]byte, error) { return readFile(path, "key file") }

func readFile(path, what string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not block the start
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if err := private(path, what, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s %s has more than %d bytes", what, path, maxFile)
	}
	return text, nil
}

func private(path, what string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s %s is not a regular file", what, path)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s %s belongs to user %d, not to user %d that runs this: run chown %d %s and chmod 600 %s",
			what, path, stat.Uid, os.Geteuid(), os.Geteuid(), path, path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s %s is open to other users (mode %04o): run chmod 600 %s", what, path, info.Mode().Perm(), path)
	}
	return nil
}
