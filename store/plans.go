package store

import (
	"bytes"
	"fmt"
)

// PlanRef names a run's plan.
type PlanRef struct {
	Source string
	Run    uint64
}

// PlanPut writes a verdict of a run's plan under its key, in the encoding of whoever decided it.
// Nothing else of the store shows it. Keys given in order make the smaller and faster plan.
func (tx *Tx) PlanPut(source string, run uint64, key, value []byte) error {
	t, err := tx.room(planPath(source, run)...)
	if err != nil {
		return fmt.Errorf("put plan of run %d of %q: %w", run, source, err)
	}
	t.bucket.FillPercent = fillAppended
	return t.put(key, bytes.Clone(value))
}

// Plan calls fn for the verdicts of a plan whose key is behind after (nil: for all), in the order of
// keys. ErrStop ends it early. What fn is given is good until it returns, or until the transaction's
// next write.
func (tx *Tx) Plan(source string, run uint64, after []byte, fn func(key, value []byte) error) error {
	return tx.table(planPath(source, run)...).each(after, fn)
}

// PlanDrop deletes at most limit verdicts of a plan and reports whether there are more; with the
// last one the plan is gone.
func (tx *Tx) PlanDrop(source string, run uint64, limit int) (more bool, err error) {
	path := planPath(source, run)
	t := tx.table(path...)
	if t.bucket == nil {
		return false, nil
	}
	keys, err := t.first(limit, func([]byte) bool { return true })
	if err == nil {
		err = t.deleteAll(keys)
	}
	if err != nil {
		return false, err
	}
	if key, _ := t.bucket.Cursor().First(); key != nil {
		return true, nil
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

func planPath(source string, run uint64) []string {
	return []string{plansBucket, source, string(number(run))}
}
