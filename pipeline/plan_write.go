package pipeline

import (
	"encoding/binary"
	"fmt"

	"rollcall/pipeline/policy"
	"rollcall/store"
)

// planWriter encodes verdicts, adds up their content and writes them into the plan, beside whoever decides. A plan is
// nobody's until it is whole, so its writer may be behind.
type planWriter struct {
	db  *store.DB
	run *store.Run

	work  chan []planItem
	ended chan struct{}

	sum    contentSum
	err    error
	failed chan struct{} // closed when err is set
}

// planItem is a verdict for the plan, or one to put aside until its user's PIN can be drawn.
type planItem struct {
	verdict *policy.Verdict
	aside   bool
}

// planRow is one entry of a plan's bucket.
type planRow struct{ key, value []byte }

func newPlanWriter(db *store.DB, run *store.Run) *planWriter {
	w := &planWriter{db: db, run: run, work: make(chan []planItem), ended: make(chan struct{}), failed: make(chan struct{})}
	go w.loop()
	return w
}

// write takes items over, and fails when some before them could not be written. It must not be called inside a transaction,
// which the writer's own may wait for.
func (w *planWriter) write(items []planItem) error {
	select {
	case w.work <- items:
		return nil
	case <-w.failed:
		return w.err
	}
}

// flush returns when all that was taken over is written: only then does the writer take more.
func (w *planWriter) flush() error { return w.write(nil) }

// close returns when everything is written, and ends the writer.
func (w *planWriter) close() error {
	close(w.work)
	<-w.ended
	return w.err
}

func (w *planWriter) loop() {
	defer close(w.ended)
	for items := range w.work {
		if err := w.put(items); err != nil {
			w.err = fmt.Errorf("write the plan of run %d of %s: %w", w.run.Number, w.run.Source, err)
			close(w.failed)
			return
		}
	}
}

// put writes items in one transaction.
func (w *planWriter) put(items []planItem) error {
	var rows []planRow
	for i, item := range items {
		var err error
		if rows, err = w.add(rows, item); err != nil {
			return err
		}
		items[i].verdict = nil // so that it need not live until all are written
	}
	if len(rows) == 0 {
		return nil
	}
	return w.db.Update(func(tx *store.Tx) error {
		for _, row := range rows {
			if err := tx.PlanPut(w.run.Source, w.run.Number, row.key, row.value); err != nil {
				return err
			}
		}
		return nil
	})
}

// add appends what an item puts into the plan.
func (w *planWriter) add(rows []planRow, item planItem) ([]planRow, error) {
	v := item.verdict
	data, err := policy.EncodeVerdict(v)
	if err != nil {
		return nil, err
	}
	if item.aside {
		return append(rows, planRow{append([]byte{planPIN}, v.User.ID...), data}), nil
	}
	if err := w.sum.add(v); err != nil {
		return nil, err
	}
	rows = append(rows, planRow{planKey(planVerdict, v), data})
	forget := v.Forget
	if v.Origin != nil && v.Origin.Gone {
		forget = max(forget, v.Origin.RawSequence)
	}
	if forget > 0 {
		rows = append(rows, planRow{planKey(planGone, v), binary.BigEndian.AppendUint64(nil, forget)})
	}
	if len(v.Releases) == 0 || v.User == nil {
		return rows, nil
	}
	if data, err = encoding.Marshal(release{User: v.User.ID, Claims: v.Releases}); err != nil {
		return nil, err
	}
	return append(rows, planRow{planKey(planRelease, v), data}), nil
}

// release is what a user loses before anybody gains it.
type release struct {
	_      struct{} `cbor:",toarray"`
	User   string
	Claims []store.Claim
}

// planKey orders a plan by entry, users concerned beside after the entries.
func planKey(part byte, v *policy.Verdict) []byte {
	key := []byte{part, 0}
	if v.Key == "" {
		return append(append(key[:1], 1), v.User.ID...)
	}
	k := store.KeyOf(v.Key)
	return append(key, k[:]...)
}
