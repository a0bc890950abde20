package store

import (
	bolt "go.etcd.io/bbolt"
)

// groupBuckets came with format 2.
var groupBuckets = []string{groupsBucket, groupPathsBucket, groupIDsBucket, membersBucket, regroupBucket, namedBucket, joinedBucket}

// bucketsOf returns the buckets that a store of a format has.
func bucketsOf(made int) []string {
	if made < 2 {
		return buckets[:len(buckets)-len(groupBuckets)]
	}
	return buckets
}

// upgrade brings a store of format 1 up to date: its users' groups are new, and told with the next revisions.
func upgrade(b *bolt.DB) error {
	var made int
	if err := b.View(func(btx *bolt.Tx) error { return newTx(btx).meta(metaFormat, &made) }); err != nil || made == format {
		return err
	}
	return b.Update(func(btx *bolt.Tx) error {
		tx := newTx(btx)
		for _, name := range groupBuckets {
			if _, err := btx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		users := tx.table(usersBucket)
		err := users.each(nil, func(key, value []byte) error {
			var u User
			if err := users.decode(key, value, &u); err != nil {
				return err
			}
			return tx.join(nil, &u, parseNumber(key))
		})
		if err != nil {
			return err
		}
		if err := tx.setMeta(metaFormat, format); err != nil {
			return err
		}
		return tx.finish()
	})
}
