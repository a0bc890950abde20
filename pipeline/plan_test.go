package pipeline

import (
	"testing"

	"rollcall/pipeline/mapping"
)

// A change that is there twice counts once: it does not stand for one that is missing.
func TestDoubledChangesCountOnce(t *testing.T) {
	var twice changeBatch
	for _, number := range []uint64{1, 2, 2, 1} {
		change, err := mapping.EncodeChange(&mapping.Change{Number: number})
		if err != nil {
			t.Fatal(err)
		}
		twice.add(number, change)
	}
	reader := &changeReader{free: make(chan []mapping.Change, 1)}
	reader.free <- make([]mapping.Change, 0, planBatch)
	if err := reader.message(t.Context(), twice.data); err != nil || reader.seen.count != 2 {
		t.Errorf("%d changes: %v; want 2", reader.seen.count, err)
	}
}
