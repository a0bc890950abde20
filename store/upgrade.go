package store

import (
	"slices"

	bolt "go.etcd.io/bbolt"
)

// groupBuckets came with format 2.
var groupBuckets = []string{groupsBucket, groupPathsBucket, groupIDsBucket, membersBucket, regroupBucket, namedBucket, joinedBucket}

// bucketsOf returns the buckets that a store of a format has.
func bucketsOf(made int) []string {
	switch made {
	case 1:
		return buckets[:len(buckets)-len(groupBuckets)-2]
	case 2:
		return buckets[:len(buckets)-2]
	}
	return buckets
}

// upgrade brings an older store up to date. Of format 1, the users' groups are new, and told with the next revisions; of
// format 2, what expires is; of format 3, how many users each source leads to.
func upgrade(b *bolt.DB) error {
	var made int
	if err := b.View(func(btx *bolt.Tx) error { return newTx(btx).meta(metaFormat, &made) }); err != nil || made == format {
		return err
	}
	return b.Update(func(btx *bolt.Tx) error {
		tx := newTx(btx)
		for _, name := range append(slices.Clone(groupBuckets), expiringBucket, lettersBucket) {
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
			if u.Active {
				if err := tx.countLinked(&u, 1); err != nil {
					return err
				}
			}
			if err := tx.expire(nil, &u); err != nil || made > 1 {
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
