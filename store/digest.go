package store

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// digested are the buckets that are a function of the log and of nothing else in the store: indexes
// and counters follow from them.
var digested = []string{groupsBucket, originsBucket, runsBucket, sourcesBucket, usersBucket}

// Digest returns a hash over everything that is a function of the log: equal logs give equal
// digests. Outboxes, plans, positions and the store's id are not part of it.
func (db *DB) Digest() (d Digest, err error) {
	err = db.bolt.View(func(b *bolt.Tx) error { d = digestState(b); return nil })
	return d, err
}

func digestState(b *bolt.Tx) Digest {
	h := sha256.New()
	for _, name := range digested {
		digestBucket(h, name, b.Bucket([]byte(name)))
	}
	digestMeta(h, b.Bucket([]byte(metaBucket)))
	return Digest(h.Sum(nil)[:len(Digest{})])
}

// digestBucket leaves empty buckets within a bucket out: they are left behind by what is gone.
func digestBucket(h hash.Hash, name string, b *bolt.Bucket) {
	if k, _ := b.Cursor().First(); k == nil {
		return
	}
	digestPair(h, []byte(name), nil)
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if v == nil {
			digestBucket(h, string(k), b.Bucket(k))
			continue
		}
		digestPair(h, k, v)
	}
}

func digestMeta(h hash.Hash, b *bolt.Bucket) {
	digestPair(h, []byte(metaHead), b.Get([]byte(metaHead)))
	c := b.Cursor()
	prefix := ownMeta + "state/"
	for k, v := c.Seek([]byte(prefix)); strings.HasPrefix(string(k), prefix); k, v = c.Next() {
		digestPair(h, k, v)
	}
}

// digestPair writes lengths first, so that no two sequences of pairs are the same bytes.
func digestPair(h hash.Hash, key, value []byte) {
	var lengths [16]byte
	binary.BigEndian.PutUint64(lengths[:8], uint64(len(key)))
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(value)))
	h.Write(lengths[:])
	h.Write(key)
	h.Write(value)
}
