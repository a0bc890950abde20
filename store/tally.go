package store

import (
	"errors"
	"maps"
	"slices"
)

// everyone is the tally over all users. No source is called so: source names are not empty.
const everyone = ""

// administrators is the tally whose active ones are the active administrators (U19). No source is called so
// either.
const administrators = "*"

// linkedTo names the tally whose active ones are the active users whom an entry of a source leads to, or led to while it
// was there. No source is called so either.
func linkedTo(source string) string { return "+" + source }

// tally counts users or, of a source, origins that are not gone, and the active users among them.
type tally struct {
	_           struct{} `cbor:",toarray"`
	All, Active int
}

// tally returns the counters of a source or of everyone. Changes to them are written when the
// transaction ends.
func (tx *Tx) tally(source string) (*tally, error) {
	if t := tx.tallies[source]; t != nil {
		return t, nil
	}
	t := &tally{}
	if _, err := tx.table(talliesBucket).load(tallyKey(source), t); err != nil {
		return nil, err
	}
	tx.tallies[source] = t
	return t, nil
}

// putTallies writes the counters that were asked for, in an order of their own so that equal
// transactions write equal files.
func (tx *Tx) putTallies() error {
	var errs []error
	for _, source := range slices.Sorted(maps.Keys(tx.tallies)) {
		errs = append(errs, tx.table(talliesBucket).save(tallyKey(source), tx.tallies[source]))
	}
	return errors.Join(errs...)
}

// tallyKey puts a dot before the source's name because bbolt has no empty keys.
func tallyKey(source string) []byte { return []byte("." + source) }
