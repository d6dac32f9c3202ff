package keyring

// Reencode parses a key object and returns what it encodes to.
func Reencode(b []byte) ([]byte, error) {
	o, err := parseObject(b)
	if err != nil {
		return nil, err
	}
	return o.encode(), nil
}

// ProtectCheaply does what Protect does, with hardly any work.
func ProtectCheaply(text []byte, passphrase string) ([]byte, error) {
	return protect(text, passphrase, 1)
}

// OpenCheaply reads the text of a key file as LoadAny does, but accepts hardly
// any work for a passphrase.
func OpenCheaply(text []byte, passphrase string) (Opener, error) {
	plain, err := unprotect(text, passphrase, 4)
	if err != nil {
		return nil, err
	}
	return parseKey(plain)
}

// Forge returns a key object like another one that keeps something else, for a
// recipient alone.
func Forge(like, plain []byte, to *Recipient) ([]byte, error) {
	o, err := parseObject(like)
	if err != nil {
		return nil, err
	}
	return seal([]wrapper{to}, o.header, o.purpose, plain)
}

// OpenObject returns what a key object keeps.
func OpenObject(b []byte, key Opener) ([]byte, error) {
	o, err := parseObject(b)
	if err != nil {
		return nil, err
	}
	return o.open(key)
}
