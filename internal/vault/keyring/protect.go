package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// How much work a passphrase costs, as the logarithm of scrypt's N: a key file
// is made with newWork, which takes 128 MiB and about half a second; of one
// that is read no more than maxWork is accepted, which is what age writes by
// itself.
const (
	newWork = 17
	maxWork = 18
)

// ErrNoPassphrase is wrapped where a key file is protected by a passphrase and
// none was given.
var ErrNoPassphrase = errors.New("it is protected by a passphrase")

// ErrWrongPassphrase is wrapped where a key file doesn't open with the
// passphrase that was given.
var ErrWrongPassphrase = errors.New("wrong passphrase")

// Protected reports whether the text of a key file needs a passphrase.
func Protected(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte(armor.Header))
}

// Protect puts the text of a key file under a passphrase: an armored age file,
// which age itself opens, too.
func Protect(text []byte, passphrase string) ([]byte, error) {
	return protect(text, passphrase, newWork)
}

func protect(text []byte, passphrase string, work int) ([]byte, error) {
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("protect key: %w", err)
	}
	r.SetWorkFactor(work)
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	sealed, err := age.Encrypt(armored, r)
	if err != nil {
		return nil, fmt.Errorf("protect key: %w", err)
	}
	if _, err := sealed.Write(text); err != nil {
		return nil, fmt.Errorf("protect key: %w", err)
	}
	if err := errors.Join(sealed.Close(), armored.Close()); err != nil {
		return nil, fmt.Errorf("protect key: %w", err)
	}
	return out.Bytes(), nil
}

// Unprotect returns the text that Protect was given. What needs no passphrase
// is returned as it is.
func Unprotect(text []byte, passphrase string) ([]byte, error) {
	return unprotect(text, passphrase, maxWork)
}

func unprotect(text []byte, passphrase string, work int) ([]byte, error) {
	if !Protected(text) {
		return text, nil
	}
	if passphrase == "" {
		return nil, ErrNoPassphrase
	}
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	id.SetMaxWorkFactor(work)
	opened, err := age.Decrypt(armor.NewReader(bytes.NewReader(text)), id)
	if no := (*age.NoIdentityMatchError)(nil); errors.As(err, &no) {
		if slices.Equal(no.StanzaTypes, []string{"scrypt"}) {
			return nil, ErrWrongPassphrase
		}
		return nil, errors.New("it is an age file, but not one with a passphrase")
	}
	if err != nil {
		return nil, fmt.Errorf("it is no age file that can be opened: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(opened, maxText+1))
	if err != nil {
		return nil, fmt.Errorf("the protected file is damaged: %w", err)
	}
	return plain, nil
}
