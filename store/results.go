package store

import "bytes"

// Result is the result of a run, waiting to be relayed.
type Result struct {
	Number uint64 `cbor:"1,keyasint"`
	// Kind is applied, held or failed.
	Kind   string `cbor:"2,keyasint"`
	Source string `cbor:"3,keyasint"`
	// Body is the run's JSON.
	Body []byte `cbor:"4,keyasint"`
}

// AppendResult puts the result of a run at the end of those that wait to be relayed, under the next
// number.
func (tx *Tx) AppendResult(kind, source string, body []byte) error {
	var n uint64
	if err := tx.meta(metaResult, &n); err != nil {
		return err
	}
	n++
	r := &Result{Number: n, Kind: kind, Source: source, Body: bytes.Clone(body)}
	if err := tx.table(resultsBucket).save(number(n), r); err != nil {
		return err
	}
	return tx.setMeta(metaResult, n)
}

// Results returns the results behind a number that wait, in order and at most limit.
func (tx *Tx) Results(after uint64, limit int) (page []Result, err error) {
	t := tx.table(resultsBucket)
	err = t.each(number(after), func(key, value []byte) error {
		if len(page) >= limit {
			return ErrStop
		}
		var r Result
		if err := t.decode(key, value, &r); err != nil {
			return err
		}
		page = append(page, r)
		return nil
	})
	return page, err
}

// DropResult forgets the result of that number: it has been relayed.
func (tx *Tx) DropResult(n uint64) error { return tx.table(resultsBucket).delete(number(n)) }
