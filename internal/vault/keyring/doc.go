// Package keyring holds the keys of vaults. The master key, a file on the
// operator's side, wraps key objects and nothing else. Key objects lie in the
// store beside the data and hold each vault's naming secret, which is never
// rotated, and its vault keys, which have versions.
//
// A key object is a header (package format, kind 7) and a body, all numbers
// little endian:
//
//	0    160  header: vault, key version (0 for the naming secret), salt, identity (the key set)
//	160    2  purpose: 1 naming, 2 vault
//	162    2  zero
//	164    2  how many wraps follow
//	166    2  zero
//	then each wrap:
//	0      2  type of its recipient: 1 a master key, 2 a recovery recipient
//	2      2  zero
//	4      4  length of the wrapped bytes
//	8     16  id of the recipient
//	24        the wrapped bytes
//
// What is wrapped is 32 bytes, a key, or for purpose naming 64: the naming
// secret and the seed of the first vault key. A master key wraps with
// AES-256-GCM under HKDF-SHA256(master key, salt of the header, "holdfast/1
// wrap"), which is fresh for each object, so the nonce is zero; the object's
// first 164 bytes are associated data.
//
// For a recovery recipient, an X25519 key of age's, the wrapped bytes are
//
//	0     32  age's ephemeral share
//	32    32  age's sealed file key, of 16 random bytes
//	64        AES-256-GCM under HKDF-SHA256(file key, salt of the header,
//	          "holdfast/1 recovery wrap"), nonce and associated data as above
//
// Objects are named vaults/VAULT/keys/PURPOSE-VERSION-SET-COPY. A set is one
// naming secret with its vault keys. Copies of a key hold the same bytes
// wrapped anew, as when the master key or the recipients change: an object is
// never rewritten, and goes only after another copy is durable.
package keyring

import "errors"

// ErrWrongKey is wrapped where a vault's keys do not open with the master key
// or recovery identity: they were wrapped for another one, or changed since.
var ErrWrongKey = errors.New("wrong key")

// ErrMissing is wrapped where the store does not have a vault's keys, or not
// all of them.
var ErrMissing = errors.New("vault keys are missing")

// ErrCorrupt is wrapped where a key object is damaged.
var ErrCorrupt = errors.New("key object is damaged")
