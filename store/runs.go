package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// keptRuns is how many runs of a source are kept.
const keptRuns = 200

// Run returns a run of a source, nil when there is none of that number.
func (tx *Tx) Run(source string, n uint64) (*Run, error) {
	var r Run
	found, err := tx.table(runsBucket, source).load(number(n), &r)
	if err != nil || !found {
		return nil, err
	}
	return &r, nil
}

// PutRun writes a run. Of a source the last 200 runs are kept, and older ones that are running or
// held, were applied last or have a plan.
func (tx *Tx) PutRun(r *Run) error {
	t, err := tx.room(runsBucket, r.Source)
	if err != nil {
		return fmt.Errorf("put run %d of %q: %w", r.Number, r.Source, err)
	}
	known := t.get(number(r.Number)) != nil
	if err := t.save(number(r.Number), r); err != nil || known {
		return err
	}
	return tx.pruneRuns(r.Source)
}

// Runs calls fn for the runs of a source, or of all sources for "", the newest first, beginning with
// the one before that number, 0 for the last. ErrStop ends it early; fn must not write runs.
func (tx *Tx) Runs(source string, before uint64, fn func(*Run) error) error {
	refs := tx.runRefs(source, before)
	slices.SortFunc(refs, func(a, b PlanRef) int {
		return cmp.Or(cmp.Compare(b.Run, a.Run), cmp.Compare(a.Source, b.Source))
	})
	for _, ref := range refs {
		r, err := tx.Run(ref.Source, ref.Run)
		if err == nil {
			err = fn(r)
		}
		if errors.Is(err, ErrStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) runRefs(source string, before uint64) (refs []PlanRef) {
	sources := []string{source}
	if source == "" {
		sources = tx.folders(runsBucket)
	}
	for _, s := range sources {
		_ = tx.keep(tx.table(runsBucket, s).each(nil, func(key, _ []byte) error {
			if n := parseNumber(key); before == 0 || n < before {
				refs = append(refs, PlanRef{Source: s, Run: n})
			}
			return nil
		}))
	}
	return refs
}

func (tx *Tx) pruneRuns(source string) error {
	refs := tx.runRefs(source, 0)
	if len(refs) <= keptRuns {
		return nil
	}
	s, err := tx.Source(source)
	if err != nil {
		return err
	}
	for _, ref := range refs[:len(refs)-keptRuns] {
		r, err := tx.Run(source, ref.Run)
		if err != nil {
			return err
		}
		planned := tx.table(planPath(source, ref.Run)...).bucket != nil
		if planned || r.State == Running || r.State == Held || r.Number == s.Applied {
			continue
		}
		if err := tx.table(runsBucket, source).delete(number(ref.Run)); err != nil {
			return err
		}
	}
	return nil
}

// folders returns the names of the buckets within a bucket, sorted.
func (tx *Tx) folders(path ...string) (names []string) {
	_ = tx.keep(tx.table(path...).each(nil, func(key, value []byte) error {
		if value == nil {
			names = append(names, string(key))
		}
		return nil
	}))
	return names
}
