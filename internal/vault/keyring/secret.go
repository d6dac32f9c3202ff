package keyring

// keySize is the length of every key and secret in bytes.
const keySize = 32

// secret returns a key. A function keeps it from package fmt, which follows
// pointers and prints unexported fields without asking their methods.
type secret func() [keySize]byte

func hide(key [keySize]byte) secret {
	return func() [keySize]byte { return key }
}
