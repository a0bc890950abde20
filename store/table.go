package store

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// table is a bucket of bbolt with the name that errors call it by. A bucket that does not exist is
// empty. What get and each hand out is good until the transaction ends.
type table struct {
	name   string
	bucket *bolt.Bucket
	// search is for get, which would make a new cursor every time.
	search *bolt.Cursor
}

func (t *table) get(key []byte) []byte {
	if t.bucket == nil {
		return nil
	}
	if t.search == nil {
		t.search = t.bucket.Cursor()
	}
	if k, value := t.search.Seek(key); string(k) == string(key) {
		return value
	}
	return nil
}

// put keeps value itself until the transaction ends, and a copy of key.
func (t *table) put(key, value []byte) error { return t.named(key, t.bucket.Put(key, value)) }

func (t *table) delete(key []byte) error {
	if t.bucket == nil {
		return nil
	}
	return t.named(key, t.bucket.Delete(key))
}

// load decodes the value of key into v and reports whether there is one.
func (t *table) load(key []byte, v any) (bool, error) {
	value := t.get(key)
	if value == nil {
		return false, nil
	}
	return true, t.decode(key, value, v)
}

func (t *table) save(key []byte, v any) error {
	value, err := encoding.Marshal(v)
	if err != nil {
		return t.named(key, err)
	}
	return t.put(key, value)
}

// decode decodes a value that was found under key.
func (t *table) decode(key, value []byte, v any) error {
	if err := decoding.Unmarshal(value, v); err != nil {
		return t.bad(key, err)
	}
	return nil
}

func (t *table) bad(key []byte, err error) error {
	return fmt.Errorf("bucket %s, key %s: stored value: %w", t.name, keyText(key), err)
}

// each calls fn for every key behind after, in order, until fn returns an error. ErrStop is none. fn
// must not write to the table.
func (t *table) each(after []byte, fn func(key, value []byte) error) error {
	if err := t.scan(after, fn); !errors.Is(err, ErrStop) {
		return err
	}
	return nil
}

// scan is each, and returns ErrStop too.
func (t *table) scan(after []byte, fn func(key, value []byte) error) error {
	if t.bucket == nil {
		return nil
	}
	c := t.bucket.Cursor()
	k, v := c.Seek(after)
	if after != nil && k != nil && string(k) == string(after) {
		k, v = c.Next()
	}
	for ; k != nil; k, v = c.Next() {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

// first returns copies of the first keys for which while is true, at most limit.
func (t *table) first(limit int, while func(key []byte) bool) (keys [][]byte, err error) {
	err = t.each(nil, func(k, _ []byte) error {
		if len(keys) >= limit || !while(k) {
			return ErrStop
		}
		keys = append(keys, bytes.Clone(k))
		return nil
	})
	return keys, err
}

// deleteAll deletes keys that were gathered before: a cursor does not survive a deletion.
func (t *table) deleteAll(keys [][]byte) error {
	for _, k := range keys {
		if err := t.delete(k); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) named(key []byte, err error) error {
	if err != nil {
		return fmt.Errorf("bucket %s, key %s: %w", t.name, keyText(key), err)
	}
	return nil
}

func keyText(key []byte) string {
	for _, c := range key {
		if c < ' ' || c > '~' {
			return hex.EncodeToString(key)
		}
	}
	return strconv.Quote(string(key))
}
