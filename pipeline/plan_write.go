package pipeline

import (
	"encoding/binary"

	"rollcall/pipeline/policy"
	"rollcall/store"
)

// planWriter encodes the verdicts of a batch and adds up their content, beside whoever decides.
type planWriter struct {
	verdicts chan *policy.Verdict
	done     chan struct{}

	rows []planRow
	sum  contentSum
	err  error
}

// planRow is one entry of a plan's bucket.
type planRow struct{ key, value []byte }

func newPlanWriter(sum contentSum) *planWriter {
	w := &planWriter{verdicts: make(chan *policy.Verdict, 64), done: make(chan struct{}), sum: sum}
	go w.loop()
	return w
}

// write takes a verdict over.
func (w *planWriter) write(v *policy.Verdict) { w.verdicts <- v }

// close returns the batch's rows and the sum, its verdicts included.
func (w *planWriter) close() ([]planRow, contentSum, error) {
	close(w.verdicts)
	<-w.done
	return w.rows, w.sum, w.err
}

func (w *planWriter) loop() {
	defer close(w.done)
	for v := range w.verdicts {
		if w.err == nil {
			w.err = w.add(v)
		}
	}
}

func (w *planWriter) add(v *policy.Verdict) error {
	if err := w.sum.add(v); err != nil {
		return err
	}
	data, err := policy.EncodeVerdict(v)
	if err != nil {
		return err
	}
	w.rows = append(w.rows, planRow{planKey(planVerdict, v), data})
	forget := v.Forget
	if v.Origin != nil && v.Origin.Gone {
		forget = max(forget, v.Origin.RawSequence)
	}
	if forget > 0 {
		w.rows = append(w.rows, planRow{planKey(planGone, v), binary.BigEndian.AppendUint64(nil, forget)})
	}
	if len(v.Releases) == 0 || v.User == nil {
		return nil
	}
	if data, err = encoding.Marshal(release{User: v.User.ID, Claims: v.Releases}); err != nil {
		return err
	}
	w.rows = append(w.rows, planRow{planKey(planRelease, v), data})
	return nil
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
