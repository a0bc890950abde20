package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
)

// fillAppended is how full bbolt leaves the pages of a bucket that only grows at its end.
const fillAppended = 0.9

// chainEnd is the number and the chain of a revision.
type chainEnd struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Chain  string
}

// ChainOf returns the chain of a revision with that body which follows the revision whose chain is
// prev: the first 16 hexadecimal digits of the SHA-256 of both. The first revision follows "".
func ChainOf(prev string, body []byte) string {
	h := sha256.New()
	h.Write([]byte(prev))
	h.Write(body)
	var sum [sha256.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0])[:8])
}

// Head returns the number and the chain of the last revision, 0 and "" before the first.
func (tx *Tx) Head() (number uint64, chain string) {
	if tx.head == nil {
		tx.head = &chainEnd{}
		_ = tx.meta(metaHead, tx.head)
	}
	return tx.head.Number, tx.head.Chain
}

// AppendRevision puts a revision at the end of those that wait to be relayed. Its number must follow
// the head's and its chain must be [ChainOf] the head's and its body.
func (tx *Tx) AppendRevision(r Revision) error {
	n, chain := tx.Head()
	if r.Number != n+1 {
		return fmt.Errorf("append revision %d: the last one is %d", r.Number, n)
	}
	if want := ChainOf(chain, r.Body); r.Chain != want {
		return fmt.Errorf("append revision %d: its chain is %q, want %q", r.Number, r.Chain, want)
	}
	t := tx.table(revisionsBucket)
	t.bucket.FillPercent = fillAppended
	if err := t.save(number(r.Number), &r); err != nil {
		return err
	}
	tx.head, tx.newHead = &chainEnd{Number: r.Number, Chain: r.Chain}, true
	return nil
}

// Revisions returns the revisions behind a number that wait, in order and at most limit.
func (tx *Tx) Revisions(after uint64, limit int) (page []Revision, err error) {
	t := tx.table(revisionsBucket)
	err = t.each(number(after), func(key, value []byte) error {
		if len(page) >= limit {
			return ErrStop
		}
		var r Revision
		if err := t.decode(key, value, &r); err != nil {
			return err
		}
		page = append(page, r)
		return nil
	})
	return page, err
}

// DropRevisions forgets at most limit of the revisions up to a number, the oldest first: they have
// been relayed.
func (tx *Tx) DropRevisions(upTo uint64, limit int) error {
	t := tx.table(revisionsBucket)
	var last Revision
	keys, err := t.first(limit, func(key []byte) bool { return parseNumber(key) <= upTo })
	if err != nil || len(keys) == 0 {
		return err
	}
	if _, err := t.load(keys[len(keys)-1], &last); err != nil {
		return err
	}
	if err := t.deleteAll(keys); err != nil {
		return err
	}
	return tx.setMeta(metaDropped, chainEnd{Number: last.Number, Chain: last.Chain})
}

// SkipRevisions forgets all revisions that wait and lets the next one have a number above after, and above their own: what was
// published up to there is not what this store did.
func (tx *Tx) SkipRevisions(after uint64) error {
	head, chain := tx.Head()
	t := tx.table(revisionsBucket)
	keys, err := t.first(math.MaxInt, func([]byte) bool { return true })
	if err != nil {
		return err
	}
	if err := t.deleteAll(keys); err != nil {
		return err
	}
	tx.head, tx.newHead = &chainEnd{Number: max(head, after), Chain: chain}, true
	return tx.setMeta(metaDropped, tx.head)
}

// putHead writes the head when the transaction ends.
func (tx *Tx) putHead() error {
	if !tx.newHead {
		return nil
	}
	return tx.setMeta(metaHead, tx.head)
}
