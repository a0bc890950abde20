package store

import (
	"bytes"
	"errors"
	"fmt"
)

// An origin rests as one byte of flags, its digest and its encoding: counters, the baseline and the
// waiting index need no more than the first 17 bytes.
const (
	flagGone = 1 << iota
	flagWaiting
	flagHolds
	flagLinks

	originHead = 1 + len(Digest{})
)

var errShortOrigin = errors.New("too short for an origin")

// BaselineEntry is what is known of an entry that was taken over: the hash of its key and the digest
// of its raw record.
type BaselineEntry struct {
	Key    Key
	Digest Digest
}

// Origin returns what is known of a source's entry, nil when it was never seen.
func (tx *Tx) Origin(source string, k Key) (*Origin, error) {
	t := tx.table(originsBucket, source)
	value := t.get(k[:])
	if value == nil {
		return nil, nil
	}
	return decodeOrigin(t, k[:], value)
}

// PutOrigin writes what is known of an entry, under the hash of its key, and brings the source's
// counters and the index of waiting origins into line.
func (tx *Tx) PutOrigin(source string, o *Origin) error {
	origins, err := tx.room(originsBucket, source)
	if err != nil {
		return fmt.Errorf("put origin of %q: %w", source, err)
	}
	value, err := encodeOrigin(o)
	if err != nil {
		return fmt.Errorf("put origin %q of %s: %w", o.Key, source, err)
	}
	k := o.Hash()
	if err := tx.indexOrigin(source, k, origins.get(k[:]), value); err != nil {
		return err
	}
	if err := tx.followEntry(source, k, origins.get(k[:]), o); err != nil {
		return err
	}
	origins.bucket.FillPercent = fillAppended
	return origins.put(k[:], value)
}

// DeleteOrigin forgets an entry. An entry that is not known is none the less forgotten.
func (tx *Tx) DeleteOrigin(source string, k Key) error {
	t := tx.table(originsBucket, source)
	if err := tx.indexOrigin(source, k, t.get(k[:]), nil); err != nil {
		return err
	}
	if err := tx.followEntry(source, k, t.get(k[:]), &Origin{}); err != nil {
		return err
	}
	return t.delete(k[:])
}

// followEntry brings groups and links from an origin's old value to the new origin.
func (tx *Tx) followEntry(source string, k Key, old []byte, o *Origin) error {
	if len(old) > 0 && old[0]&(flagHolds|flagLinks) == 0 || len(old) == 0 {
		old = nil
		if o.Holds == "" && len(o.Names)+len(o.Members) == 0 {
			return nil
		}
	}
	return errors.Join(tx.holdByEntry(source, old, o.Holds), tx.linkOrigin(source, k, old, o))
}

// Origins calls fn for every origin of a source whose key is behind after (the zero Key: for all),
// in the order of keys. ErrStop ends it early; fn must not write origins.
func (tx *Tx) Origins(source string, after Key, fn func(Key, *Origin) error) error {
	t := tx.table(originsBucket, source)
	return t.each(behind(after), func(key, value []byte) error {
		o, err := decodeOrigin(t, key, value)
		if err != nil {
			return err
		}
		return fn(Key(key), o)
	})
}

// Waiting calls fn for every origin of a source that waits, in the order of keys. ErrStop ends it
// early; fn must not write origins.
func (tx *Tx) Waiting(source string, fn func(Key, *Origin) error) error {
	t := tx.table(waitingBucket, source)
	return t.each(nil, func(key, _ []byte) error {
		if len(key) != len(Key{}) {
			return t.bad(key, errors.New("is not under a key"))
		}
		o, err := tx.Origin(source, Key(key))
		if err != nil {
			return err
		}
		if o == nil {
			return t.bad(key, errors.New("the origin is missing"))
		}
		return fn(Key(key), o)
	})
}

// Baseline returns a page of at most limit of a source's origins behind after (the zero Key: from
// the beginning), those of entries that are gone included, and whether there are more.
func (tx *Tx) Baseline(source string, after Key, limit int) (page []BaselineEntry, more bool, err error) {
	t := tx.table(originsBucket, source)
	err = t.each(behind(after), func(key, value []byte) error {
		if len(page) >= limit {
			more = true
			return ErrStop
		}
		if len(value) < originHead || len(key) != len(Key{}) {
			return t.bad(key, errShortOrigin)
		}
		page = append(page, BaselineEntry{Key(key), Digest(value[1:originHead])})
		return nil
	})
	return page, more, err
}

// indexOrigin moves counters and index from an origin's old value to the new one; nil is none.
func (tx *Tx) indexOrigin(source string, k Key, old, value []byte) error {
	if n := entries(value) - entries(old); n != 0 {
		counts, err := tx.tally(source)
		if err != nil {
			return err
		}
		counts.All += n
	}
	switch was, is := waits(old), waits(value); {
	case is && !was:
		t, err := tx.room(waitingBucket, source)
		if err != nil {
			return err
		}
		return t.put(k[:], []byte{})
	case was && !is:
		return tx.table(waitingBucket, source).delete(k[:])
	}
	return nil
}

func entries(value []byte) int {
	if len(value) == 0 || value[0]&flagGone != 0 {
		return 0
	}
	return 1
}

func waits(value []byte) bool { return len(value) > 0 && value[0]&flagWaiting != 0 }

func encodeOrigin(o *Origin) ([]byte, error) {
	value := bytes.NewBuffer(make([]byte, 0, originHead+160+len(o.Key)+len(o.Entry)+len(o.Change)))
	value.WriteByte(flagsOf(o))
	value.Write(o.Digest[:])
	err := encoding.NewEncoder(value).Encode(o)
	return value.Bytes(), err
}

func flagsOf(o *Origin) (flags byte) {
	if o.Gone {
		flags |= flagGone
	}
	if o.Waiting {
		flags |= flagWaiting
	}
	if o.Holds != "" {
		flags |= flagHolds
	}
	if len(o.Names)+len(o.Members) > 0 {
		flags |= flagLinks
	}
	return flags
}

func decodeOrigin(t *table, key, value []byte) (*Origin, error) {
	if len(value) < originHead || len(key) != len(Key{}) {
		return nil, t.bad(key, errShortOrigin)
	}
	var o Origin
	if err := t.decode(key, value[originHead:], &o); err != nil {
		return nil, err
	}
	return &o, nil
}

// behind returns after as the key to begin behind, nil for the zero key.
func behind(after Key) []byte {
	if after == (Key{}) {
		return nil
	}
	return after[:]
}
