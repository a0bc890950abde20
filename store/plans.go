package store

import (
	"errors"
	"fmt"
)

// A plan's bucket holds the verdicts in the order in which they came, in chunks that are dropped one by
// one, and an index of their keys.
const (
	planIndex = "index"
	planBlock = "block"
	planChunk = 4096
)

var errNoVerdict = errors.New("the index knows a verdict that is not there")

// PlanRef names a run's plan.
type PlanRef struct {
	Source string
	Run    uint64
}

// PlanPut writes a verdict of a run's plan under its key, in the encoding of whoever decided it.
// Nothing else of the store shows it. Keys may come in any order.
func (tx *Tx) PlanPut(source string, run uint64, key, value []byte) error {
	plan, err := tx.room(planPath(source, run)...)
	if err != nil {
		return fmt.Errorf("put plan of run %d of %q: %w", run, source, err)
	}
	n, err := plan.bucket.NextSequence()
	if err != nil {
		return plan.named(key, err)
	}
	chunk, err := tx.room(planPath(source, run, chunkName(n))...)
	if err != nil {
		return err
	}
	chunk.bucket.FillPercent = fillAppended
	if err := chunk.put(number(n), append([]byte{}, value...)); err != nil {
		return err
	}
	index, err := tx.planIndex(source, run)
	if err != nil {
		return err
	}
	index.put(key, n)
	return nil
}

// Plan calls fn for the verdicts of a plan whose key is behind after (nil: for all), in the order of
// keys. ErrStop ends it early. What fn is given is good until the transaction ends.
func (tx *Tx) Plan(source string, run uint64, after []byte, fn func(key, value []byte) error) error {
	if tx.table(planPath(source, run, planIndex)...).bucket == nil {
		return nil
	}
	index, err := tx.planIndex(source, run)
	if err != nil {
		return err
	}
	return index.each(after, func(key []byte, n uint64) error {
		chunk := tx.table(planPath(source, run, chunkName(n))...)
		value := chunk.get(number(n))
		if value == nil {
			return chunk.bad(number(n), errNoVerdict)
		}
		return fn(key, value)
	})
}

// PlanDrop deletes a plan in steps, of about limit verdicts each, and reports whether there is more to
// do. From the first step on the plan is empty.
func (tx *Tx) PlanDrop(source string, run uint64, limit int) (more bool, err error) {
	path := planPath(source, run)
	if tx.table(path...).bucket == nil {
		return false, nil
	}
	chunks := 0
	for _, part := range tx.folders(path...) {
		if chunks*planChunk >= limit {
			return true, nil
		}
		if err := tx.removeRoom(planPath(source, run, part)...); err != nil {
			return false, fmt.Errorf("drop plan of run %d of %q: %w", run, source, err)
		}
		if part != planIndex && part != planBlock {
			chunks++
		}
	}
	return false, tx.removeRoom(path...)
}

// Plans returns which plans there are, by source and run.
func (tx *Tx) Plans() (refs []PlanRef, err error) {
	for _, source := range tx.folders(plansBucket) {
		for _, run := range tx.folders(plansBucket, source) {
			refs = append(refs, PlanRef{Source: source, Run: parseNumber([]byte(run))})
		}
	}
	return refs, tx.err
}

// planIndex returns the index of a plan, and makes its buckets in an Update.
func (tx *Tx) planIndex(source string, run uint64) (*index, error) {
	bucket, err := tx.room(planPath(source, run, planIndex)...)
	if err != nil {
		return nil, err
	}
	front, err := tx.room(planPath(source, run, planBlock)...)
	if err != nil {
		return nil, err
	}
	return tx.index(bucket, front)
}

func planPath(source string, run uint64, part ...string) []string {
	return append([]string{plansBucket, source, string(number(run))}, part...)
}

// chunkName sorts behind the names of index and block: dropping begins with those.
func chunkName(n uint64) string { return "verdicts" + string(number(n/planChunk)) }
