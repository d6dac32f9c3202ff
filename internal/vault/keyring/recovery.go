package keyring

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"filippo.io/age"

	"holdfast/internal/vault/format"
)

// What stands in a wrap for a recovery recipient: age's own wrap of a file key
// of 16 bytes, then the content under a key derived from that.
const (
	recoveryIDLabel   = "holdfast/1 recovery recipient"
	recoveryWrapLabel = "holdfast/1 recovery wrap"

	fileKeySize = 16
	shareSize   = 32               // the ephemeral public key
	bodySize    = fileKeySize + 16 // the sealed file key
	stanzaSize  = shareSize + bodySize
	tagSize     = 16
)

// recoverySize returns the length of the wrap of what a purpose keeps.
func recoverySize(p purpose) int { return stanzaSize + p.size() + tagSize }

// stanzaType is what age calls a file key's wrap for an X25519 recipient.
const stanzaType = "X25519"

// Recipient is the public half of a recovery key: key objects can be made for
// it, and only the Identity opens them.
type Recipient struct {
	id  format.ID
	age *age.X25519Recipient
}

// ParseRecipient parses an age recipient, "age1" and 58 characters.
func ParseRecipient(text string) (*Recipient, error) {
	parsed, err := age.ParseX25519Recipient(text)
	if err != nil {
		return nil, fmt.Errorf("%.80q is no age recipient (age1 and 58 characters)", text)
	}
	if _, err := parsed.Wrap(make([]byte, fileKeySize)); err != nil {
		return nil, fmt.Errorf("%.80q is no age recipient that anything can be made for", text)
	}
	return recipientOf(parsed), nil
}

func recipientOf(r *age.X25519Recipient) *Recipient {
	sum := sha256.Sum256([]byte(recoveryIDLabel + r.String()))
	return &Recipient{id: format.ID(sum[:len(format.ID{})]), age: r}
}

// String returns the recipient in age's form.
func (r *Recipient) String() string { return r.age.String() }

func (r *Recipient) addressee() (recipient, format.ID) { return toRecovery, r.id }

func (r *Recipient) wrap(plain []byte, o *object) ([]byte, error) {
	var fileKey [fileKeySize]byte
	if _, err := rand.Read(fileKey[:]); err != nil {
		return nil, fmt.Errorf("make file key: %w", err)
	}
	stanzas, err := r.age.Wrap(fileKey[:])
	if err != nil {
		return nil, fmt.Errorf("wrap for %s: %w", r, err)
	}
	if len(stanzas) != 1 || stanzas[0].Type != stanzaType || len(stanzas[0].Args) != 1 {
		return nil, fmt.Errorf("wrap for %s: age gave another form", r)
	}
	share, err := base64.RawStdEncoding.DecodeString(stanzas[0].Args[0])
	if err != nil || len(share) != shareSize || len(stanzas[0].Body) != bodySize {
		return nil, fmt.Errorf("wrap for %s: age gave another form", r)
	}
	aead, err := recoveryCipher(fileKey[:], o)
	if err != nil {
		return nil, err
	}
	out := append(share, stanzas[0].Body...)
	return aead.Seal(out, make([]byte, aead.NonceSize()), plain, o.bound()), nil
}

// recoveryCipher returns the cipher of one wrap, which no other has.
func recoveryCipher(fileKey []byte, o *object) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, fileKey, o.header.Salt[:], recoveryWrapLabel, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive wrapping key: %w", err)
	}
	return gcm(key)
}

// Identity is a recovery key: it opens vaults whose key objects were made for
// its Recipient. However it is printed or logged, only the recipient shows.
type Identity struct {
	recipient *Recipient
	secret    func() *age.X25519Identity // a function, as with type secret
}

// NewIdentity makes a recovery key.
func NewIdentity() (*Identity, error) {
	made, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make recovery identity: %w", err)
	}
	return identityOf(made), nil
}

func identityOf(i *age.X25519Identity) *Identity {
	return &Identity{recipient: recipientOf(i.Recipient()), secret: func() *age.X25519Identity { return i }}
}

// Recipient returns the public half.
func (i *Identity) Recipient() *Recipient { return i.recipient }

// Export writes the identity in the form of age's files.
func (i *Identity) Export(w io.Writer) error {
	_, err := fmt.Fprintf(w, "# Holdfast recovery identity: whoever has it and a store whose keys were wrapped\n"+
		"# for its recipient can read all backups in it. Keep it offline.\n# public key: %s\n%s\n", i.recipient, i.secret())
	if err != nil {
		return fmt.Errorf("export recovery identity: %w", err)
	}
	return nil
}

// String returns the words "recovery identity of" and the recipient.
func (i *Identity) String() string { return "recovery identity of " + i.recipient.String() }

// Format writes String whatever the verb.
func (i *Identity) Format(f fmt.State, _ rune) { io.WriteString(f, i.String()) }

// LogValue returns String.
func (i *Identity) LogValue() slog.Value { return slog.StringValue(i.String()) }

func (i *Identity) addressee() (recipient, format.ID) { return i.recipient.addressee() }

func (i *Identity) unwrap(wrapped []byte, o *object) ([]byte, error) {
	if len(wrapped) != recoverySize(o.purpose) {
		return nil, fmt.Errorf("%w: a recovery wrap of %d bytes", ErrCorrupt, len(wrapped))
	}
	fileKey, err := i.secret().Unwrap([]*age.Stanza{{
		Type: stanzaType,
		Args: []string{base64.RawStdEncoding.EncodeToString(wrapped[:shareSize])},
		Body: bytes.Clone(wrapped[shareSize:stanzaSize]),
	}})
	if err != nil {
		return nil, i.wrong()
	}
	aead, err := recoveryCipher(fileKey, o)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), wrapped[stanzaSize:], o.bound())
	if err != nil {
		return nil, i.wrong()
	}
	return plain, nil
}

func (i *Identity) wrong() error {
	return fmt.Errorf("%w: wrapped for the %s, but does not open with it", ErrWrongKey, i)
}

// identityPrefix begins the line of an age identity.
const identityPrefix = "AGE-SECRET-KEY-1"

// parseIdentity reads an age identity file: comments, and exactly one line
// with a key. Its errors show nothing of the text.
func parseIdentity(text []byte) (*Identity, error) {
	line, err := onlyLine(text, identityPrefix)
	if err != nil {
		return nil, err
	}
	parsed, err := age.ParseX25519Identity(identityPrefix + string(line))
	if err != nil {
		return nil, errors.New("the age identity's checksum is wrong: a character was changed")
	}
	return identityOf(parsed), nil
}
