package keyring

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The text form of a master key: comment lines, and one line of prefix and
// eight groups of base32 digits, which are the key and a checksum.
const (
	textPrefix   = "HOLDFAST-MASTER-KEY-1:"
	textGroup    = 8
	textDigits   = (keySize + checksumSize) * 8 / 5
	checksumSize = 8
	maxText      = 16 << 10
	maxFile      = 2 * maxText // a protected one is longer
)

const textComment = `# Holdfast %s.
# Without this key no backup can be read, and nobody can make it again: keep a
# copy in another place than the backups, where only you can get at it.
# Whoever has both the key and the backups can read them.
`

// Export writes the key in the form of its file.
func (m Master) Export(w io.Writer) error {
	key := m.key()
	sum := checksum(key)
	digits := base32.StdEncoding.EncodeToString(append(key[:], sum[:]...))
	var b strings.Builder
	fmt.Fprintf(&b, textComment, m)
	b.WriteString(textPrefix)
	for i := 0; i < len(digits); i += textGroup {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(digits[i : i+textGroup])
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("export master key: %w", err)
	}
	return nil
}

// ParseMaster reads the text form of a master key: lines that are empty or
// begin with #, and exactly one with the key. Its errors show nothing of the
// text.
func ParseMaster(text []byte) (*Master, error) {
	digits, err := onlyLine(text, textPrefix)
	if err != nil {
		return nil, err
	}
	key, err := parseDigits(string(digits))
	if err != nil {
		return nil, err
	}
	return masterOf(key)
}

// onlyLine returns what follows a prefix in the one line that is neither empty
// nor a comment.
func onlyLine(text []byte, prefix string) ([]byte, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%d bytes are too many for a key", len(text))
	}
	var found []byte
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		rest, ok := bytes.CutPrefix(line, []byte(prefix))
		switch {
		case !ok && (len(line) == 0 || line[0] == '#'):
			continue
		case !ok:
			return nil, fmt.Errorf("line %d is neither a comment nor a key that begins with %s", number, prefix)
		case found != nil:
			return nil, fmt.Errorf("line %d holds a second key", number)
		}
		found = append([]byte{}, rest...)
	}
	if found == nil {
		return nil, errors.New("there is no line with a key")
	}
	return found, nil
}

// parseKey reads the text of a key file that is not protected: a master key,
// or an age identity.
func parseKey(text []byte) (Opener, error) {
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(identityPrefix)) {
			return parseIdentity(text)
		}
	}
	return ParseMaster(text)
}

func parseDigits(s string) (key [keySize]byte, err error) {
	groups := strings.Split(s, "-")
	if len(groups) != textDigits/textGroup {
		return key, fmt.Errorf("the key has %d groups of digits instead of %d", len(groups), textDigits/textGroup)
	}
	for i, group := range groups {
		if len(group) != textGroup {
			return key, fmt.Errorf("group %d of the key has %d digits instead of %d", i+1, len(group), textGroup)
		}
		if strings.Trim(group, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
			return key, fmt.Errorf("group %d of the key has other characters than A-Z and 2-7", i+1)
		}
	}
	b, err := base32.StdEncoding.DecodeString(strings.Join(groups, ""))
	if err != nil {
		return key, errors.New("the key has other characters than A-Z and 2-7")
	}
	key = [keySize]byte(b)
	if sum := checksum(key); subtle.ConstantTimeCompare(sum[:], b[keySize:]) != 1 {
		return key, errors.New("the key's checksum is wrong: a character was changed")
	}
	return key, nil
}

func checksum(key [keySize]byte) [checksumSize]byte {
	h := sha256.New()
	io.WriteString(h, "holdfast/1 master key checksum")
	h.Write(key[:])
	return [checksumSize]byte(h.Sum(nil)[:checksumSize])
}
