package pipeline_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"rollcall/events"
	"rollcall/store"
)

// What the log says of a run is what becomes of it, also where its changes are there again: a run that failed once fails whenever
// the log is read.
func TestFailedStaysFailed(t *testing.T) {
	c := newCompany(t, newRoster().people(3)).start()
	run := c.applied("read 3, created 3")
	c.settled()
	c.stop()
	c.withBroker(func(bus *events.Bus) {
		body := fmt.Appendf(nil, `{"run":%d,"at":%d,"reason":"changes were missing"}`, run.Number, run.Number+1)
		if _, err := bus.Publish(context.Background(), events.LogSubject("people", "failed"), "", body); err != nil {
			t.Fatal(err)
		}
		if err := bus.JetStream.DeleteStream(context.Background(), events.UsersStream); err != nil { // the events of a run that there was not
			t.Fatal(err)
		}
	})
	if err := os.Remove(filepath.Join(c.config.DataDir, "store.db")); err != nil {
		t.Fatal(err)
	}
	c.start()
	again, err := c.client.Run(context.Background(), "people", run.Number)
	if err != nil || again.State != store.Failed || again.Reason != "changes were missing" {
		t.Errorf("the run is %s: %s (%v)", again.State, again.Reason, err)
	}
	if users := c.users(); len(users) != 0 {
		t.Errorf("%d users came of it", len(users))
	}
}
