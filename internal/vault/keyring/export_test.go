package keyring

// Reencode parses a key object and returns what it encodes to.
func Reencode(b []byte) ([]byte, error) {
	o, err := parseObject(b)
	if err != nil {
		return nil, err
	}
	return o.encode(), nil
}
