package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Key is the 128-bit hash of an entry's stable id: what stands for it in subjects and buckets.
type Key [16]byte

// KeyOf returns the hash of an entry's stable id.
func KeyOf(id string) Key {
	sum := sha256.Sum256([]byte(id))
	return Key(sum[:16])
}

// String returns the key in 32 hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey reads what [Key.String] wrote.
func ParseKey(s string) (Key, error) {
	var k Key
	if hex.DecodedLen(len(s)) != len(k) {
		return k, fmt.Errorf("key %q: want 32 hexadecimal digits", s)
	}
	_, err := hex.Decode(k[:], []byte(s))
	return k, err
}

// Digest is 128 bits over a record's canonical bytes; the zero digest matches nothing.
type Digest [16]byte

// DigestOf returns the digest of canonical bytes under a configuration's hash.
func DigestOf(config string, canonical []byte) Digest {
	h := sha256.New()
	h.Write([]byte(config))
	h.Write([]byte{0})
	h.Write(canonical)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return Digest(sum[:16])
}

// TombstoneDigest returns the digest of an entry whose user was made anonymous: no record has it, and a reader
// who finds it takes no record of the entry over.
func TombstoneDigest() Digest { return DigestOf("", []byte("tombstone")) }
