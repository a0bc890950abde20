package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// format is the version of the buckets below. A store of a higher one is refused.
const format = 4

// The buckets. Those with a folder behind them hold a bucket per source.
const (
	metaBucket      = "meta"      // name → small values
	usersBucket     = "users"     // number in the order of creation → User
	claimsBucket    = "claims"    // space, value → the user's number
	blockBucket     = "block"     // of claims
	releasedBucket  = "released"  // user id, 0, space, value: claims given up ahead of a PutUser
	originsBucket   = "origins"   // source / key → flags, digest, Origin
	waitingBucket   = "waiting"   // source / key
	sourcesBucket   = "sources"   // source → Source
	talliesBucket   = "tallies"   // source, or a dot for everyone → tally
	runsBucket      = "runs"      // source / number → Run
	plansBucket     = "plans"     // source / run / … see plans.go
	revisionsBucket = "revisions" // number → Revision
	resultsBucket   = "results"   // number → Result

	groupsBucket     = "groups"      // number in the order of creation → Group
	groupPathsBucket = "group-paths" // path → the group's number
	groupIDsBucket   = "group-ids"   // id → the group's number
	membersBucket    = "members"     // group's number, user's number
	namedBucket      = "named"       // source / hash of a name, entry's key
	joinedBucket     = "joined"      // source / hash of a member's name, group's key
	expiringBucket   = "expiring"    // when, user id: temporary cards and PINs
	lettersBucket    = "letters"     // user id → Letter
	regroupBucket    = "regroup"     // what happened to groups and was not told yet, see regroup.go
)

var buckets = []string{
	metaBucket, usersBucket, claimsBucket, blockBucket, releasedBucket, originsBucket, waitingBucket, sourcesBucket,
	talliesBucket, runsBucket, plansBucket, revisionsBucket, resultsBucket,
	groupsBucket, groupPathsBucket, groupIDsBucket, membersBucket, regroupBucket, namedBucket, joinedBucket, // since format 2
	expiringBucket, lettersBucket, // since format 3
}

// The store's own names in the bucket meta; those of [Tx.SetMeta] lie behind ownMeta.
const (
	metaFormat   = "format"
	metaID       = "id"
	metaHead     = "head"
	metaDropped  = "dropped"
	metaResult   = "result"
	metaLog      = "log"
	metaRelay    = "relay"
	metaApplying = "applying"
	ownMeta      = "own/"
)

// Tx is a transaction: one consistent state of the store and, inside an Update, the changes to it.
// It belongs to one goroutine. Everything that it returns is a copy.
type Tx struct {
	bolt    *bolt.Tx
	tables  map[string]*table
	indexes map[string]*index
	tallies map[string]*tally
	// groups are those that were looked at, noted those whose state before is kept.
	groups map[uint64]*groupState
	noted  map[uint64]bool
	// head is the last revision once it was asked for, and whether there is a new one.
	head    *chainEnd
	newHead bool
	// nothingReleased is true once the list of released claims was seen to be empty.
	nothingReleased bool
	// err is what a method without an error result came upon; it fails the transaction.
	err error
}

// Meta returns the small value of that name, nil for none.
func (tx *Tx) Meta(key string) []byte {
	return bytes.Clone(tx.table(metaBucket).get([]byte(ownMeta + key)))
}

// SetMeta keeps a small value under a name, nil removes it. Names that begin with "state/" are
// part of the store's digest.
func (tx *Tx) SetMeta(key string, value []byte) error {
	if value == nil {
		return tx.keep(tx.table(metaBucket).delete([]byte(ownMeta + key)))
	}
	return tx.keep(tx.table(metaBucket).put([]byte(ownMeta+key), bytes.Clone(value)))
}

func newTx(b *bolt.Tx) *Tx {
	return &Tx{bolt: b, tables: make(map[string]*table, 16), indexes: map[string]*index{}, tallies: map[string]*tally{},
		groups: map[uint64]*groupState{}, noted: map[uint64]bool{}}
}

// finish writes what the transaction has kept back.
func (tx *Tx) finish() error {
	return errors.Join(tx.err, tx.putTallies(), tx.putGroups(), tx.putHead(), tx.putIndexes())
}

// keep remembers err, so that a caller who overlooks it does not commit.
func (tx *Tx) keep(err error) error {
	if tx.err == nil {
		tx.err = err
	}
	return err
}

// meta decodes one of the store's own small values into v, which stays as it is when there is none.
func (tx *Tx) meta(name string, v any) error {
	_, err := tx.table(metaBucket).load([]byte(name), v)
	return tx.keep(err)
}

func (tx *Tx) setMeta(name string, v any) error {
	return tx.keep(tx.table(metaBucket).save([]byte(name), v))
}

// table returns the bucket at a path; it is empty where there is none.
func (tx *Tx) table(path ...string) *table {
	name := path[0]
	if len(path) > 1 {
		name = strings.Join(path, "/")
	}
	if t := tx.tables[name]; t != nil {
		return t
	}
	t := &table{name: name, bucket: tx.bolt.Bucket([]byte(path[0]))}
	for _, p := range path[1:] {
		if t.bucket != nil {
			t.bucket = t.bucket.Bucket([]byte(p))
		}
	}
	if t.bucket != nil {
		tx.tables[name] = t
	}
	return t
}

// room returns the bucket at a path and makes it where there is none.
func (tx *Tx) room(path ...string) (*table, error) {
	t := tx.table(path...)
	if t.bucket != nil {
		return t, nil
	}
	b := tx.bolt.Bucket([]byte(path[0]))
	for _, p := range path[1:] {
		var err error
		if b, err = b.CreateBucketIfNotExists([]byte(p)); err != nil {
			return nil, fmt.Errorf("bucket %s: %w", t.name, err)
		}
	}
	t.bucket = b
	tx.tables[t.name] = t
	return t, nil
}

// index returns the index in a bucket with its block in another. It writes when the transaction ends.
func (tx *Tx) index(bucket, front *table) (*index, error) {
	if x := tx.indexes[bucket.name]; x != nil {
		return x, nil
	}
	x, err := newIndex(bucket, front)
	if err != nil {
		return nil, err
	}
	tx.indexes[bucket.name] = x
	return x, nil
}

func (tx *Tx) putIndexes() error {
	for _, name := range slices.Sorted(maps.Keys(tx.indexes)) {
		if err := tx.indexes[name].flush(); err != nil {
			return err
		}
	}
	return nil
}

// removeRoom deletes the bucket at a path of at least two.
func (tx *Tx) removeRoom(path ...string) error {
	last, name := len(path)-1, strings.Join(path, "/")
	delete(tx.tables, name)
	delete(tx.indexes, name)
	return tx.table(path[:last]...).bucket.DeleteBucket([]byte(path[last]))
}
