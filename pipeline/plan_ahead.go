package pipeline

import (
	"bytes"
	"fmt"

	"rollcall/pipeline/policy"
	"rollcall/store"
)

// verdictReader reads and decodes a plan's verdicts ahead of whoever applies them. Nobody writes to a plan that is
// being applied, so it may read in transactions of its own.
type verdictReader struct {
	batches chan verdictBatch
	stopped chan struct{}
	batch   []plannedVerdict
}

// plannedVerdict is a verdict with its place in the plan.
type plannedVerdict struct {
	key     []byte
	verdict *policy.Verdict
}

type verdictBatch struct {
	verdicts []plannedVerdict
	err      error
}

// aheadBatch is how many verdicts are read in one go.
const aheadBatch = 500

func newVerdictReader(db *store.DB, run *store.Run, after []byte) *verdictReader {
	r := &verdictReader{batches: make(chan verdictBatch, 1), stopped: make(chan struct{})}
	go r.loop(db, run, bytes.Clone(after))
	return r
}

// next returns the next verdict, nil behind the last one.
func (r *verdictReader) next() (*plannedVerdict, error) {
	if len(r.batch) == 0 {
		b, open := <-r.batches
		if !open || b.err != nil {
			return nil, b.err
		}
		r.batch = b.verdicts
	}
	v := &r.batch[0]
	r.batch = r.batch[1:]
	return v, nil
}

func (r *verdictReader) stop() {
	if r != nil {
		close(r.stopped)
	}
}

func (r *verdictReader) loop(db *store.DB, run *store.Run, after []byte) {
	defer close(r.batches)
	for {
		var b verdictBatch
		b.verdicts, b.err = readVerdicts(db, run, after)
		if b.err == nil && len(b.verdicts) == 0 {
			return
		}
		select {
		case r.batches <- b:
		case <-r.stopped:
			return
		}
		if b.err != nil {
			return
		}
		after = b.verdicts[len(b.verdicts)-1].key
	}
}

func readVerdicts(db *store.DB, run *store.Run, after []byte) (batch []plannedVerdict, err error) {
	err = db.View(func(tx *store.Tx) error {
		rows, err := planRows(tx, run, planVerdict, after, aheadBatch)
		if err != nil {
			return err
		}
		batch = make([]plannedVerdict, len(rows))
		for i, row := range rows {
			if batch[i].verdict, err = policy.DecodeVerdict(row.value); err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			batch[i].key = bytes.Clone(row.key)
		}
		return nil
	})
	return batch, err
}

// planRows returns up to limit rows of one part of a plan, behind the key given or, for nil, from its first one on. They
// are good until the transaction ends.
func planRows(tx *store.Tx, run *store.Run, part byte, after []byte, limit int) (rows []planRow, err error) {
	if after == nil {
		after = []byte{part}
	}
	err = tx.Plan(run.Source, run.Number, after, func(key, value []byte) error {
		if key[0] != part || len(rows) == limit {
			return store.ErrStop
		}
		rows = append(rows, planRow{key, value})
		return nil
	})
	return rows, err
}
