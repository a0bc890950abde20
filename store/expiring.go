package store

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// NextExpiry returns when the next temporary card or PIN ends, the zero time when there is none (K6, P7).
func (tx *Tx) NextExpiry() (next time.Time, err error) {
	err = tx.table(expiringBucket).each(nil, func(key, _ []byte) error {
		next = time.Unix(0, int64(binary.BigEndian.Uint64(key))).UTC()
		return ErrStop
	})
	return next, err
}

// Expired returns the ids of up to limit users with a temporary card or PIN that has ended by now, the longest ago first.
func (tx *Tx) Expired(now time.Time, limit int) (ids []string, err error) {
	err = tx.table(expiringBucket).each(nil, func(key, _ []byte) error {
		if binary.BigEndian.Uint64(key) > expiryOf(now) || len(ids) == limit {
			return ErrStop
		}
		if id := string(key[8:]); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// expire brings the index from a user's old state, nil for none, to the new one.
func (tx *Tx) expire(old, u *User) error {
	before, after := expiries(old), expiries(u)
	if len(before) == 0 && len(after) == 0 {
		return nil
	}
	t := tx.table(expiringBucket)
	var errs []error
	for _, at := range before {
		if !slices.Contains(after, at) {
			errs = append(errs, t.delete(expiryKey(at, u.ID)))
		}
	}
	for _, at := range after {
		errs = append(errs, t.put(expiryKey(at, u.ID), []byte{}))
	}
	return errors.Join(errs...)
}

// expiries are the moments when something of the user ends, each once.
func expiries(u *User) (all []uint64) {
	if u == nil {
		return nil
	}
	for _, p := range [...]Property{Cards, PINs} {
		for _, v := range u.List[p.List()] {
			if at := expiryOf(v.Expires); !v.Expires.IsZero() && !slices.Contains(all, at) {
				all = append(all, at)
			}
		}
	}
	return all
}

// expiryOf is a moment as keys count it, in nanoseconds since 1970 and not beyond what 63 bits hold.
func expiryOf(t time.Time) uint64 {
	switch {
	case t.Unix() < 0:
		return 0
	case t.Unix() >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return uint64(t.UnixNano())
}

func expiryKey(at uint64, id string) []byte {
	return append(binary.BigEndian.AppendUint64(nil, at), id...)
}

// userExpiry verifies that the index knows when something of the user ends.
func (c *checker) userExpiry(u *User) {
	for _, at := range expiries(u) {
		c.expiries++
		if c.tx.table(expiringBucket).get(expiryKey(at, u.ID)) == nil {
			c.violated("user %s: has a temporary card or PIN that the index does not know", u.ID)
		}
	}
}

// expiring verifies that the index knows nothing else.
func (c *checker) expiring() {
	n := 0
	c.failed(c.tx.table(expiringBucket).each(nil, func([]byte, []byte) error { n++; return nil }))
	if n != c.expiries {
		c.violated("%d temporary cards and PINs are indexed, users have %d", n, c.expiries)
	}
}
