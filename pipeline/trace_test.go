package pipeline_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

// Every message of a run bears the run's trace, from the job to the event: the one that it was asked for in, or one of its own. None
// of it reaches the store: the same log gives the same one.
func TestTraceOfARun(t *testing.T) {
	dir := newRoster().people(30)
	c := newCompany(t, dir).start()
	asked := trace.TraceID{0: 0xab, 15: 0xcd}
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: asked, SpanID: trace.SpanID{7: 1}}))
	job, err := c.client.Sync(ctx, "people", pipeline.SyncOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if run, err := c.client.Follow(ctx, "people", job, nil); err != nil || run.State != store.Applied {
		t.Fatalf("run is %s: %v", run.State, err)
	}
	c.settled()
	streams := []string{events.RawStream, events.ChangesStream, events.LogStream, events.UsersStream}
	before := c.streams()
	for _, stream := range streams {
		for id, n := range c.traces(stream, 0) {
			if id != asked.String() {
				t.Errorf("%d messages of %s are in trace %q, want %s", n, stream, id, asked)
			}
		}
	}
	dir.person("alice")
	c.applied("read 31, unchanged 30, created 1")
	c.settled()
	own := ""
	for _, stream := range []string{events.RawStream, events.ChangesStream, events.UsersStream} {
		found := c.traces(stream, before[stream])
		if len(found) != 1 {
			t.Errorf("messages of the second run in %s are in traces %v, want one", stream, found)
		}
		for id := range found {
			if own == "" {
				own = id
			}
			if id == "" || id == asked.String() || id != own {
				t.Errorf("%s: the second run is in trace %q, want one of its own (%q)", stream, id, own)
			}
		}
	}
	c.rebuilt()
}

// traces counts the messages of a stream behind a sequence by their trace.
func (c *company) traces(stream string, after uint64) map[string]int {
	c.t.Helper()
	found := map[string]int{}
	c.withBus(func(bus *events.Bus) {
		err := bus.ReadAll(context.Background(), stream, ">", func(msg jetstream.Msg) error {
			meta, err := msg.Metadata()
			if err == nil && meta.Sequence.Stream > after {
				span := trace.SpanContextFromContext(events.TraceOf(context.Background(), nats.Header(msg.Headers())))
				id := ""
				if span.IsValid() {
					id = span.TraceID().String()
				}
				found[id]++
			}
			return err
		})
		if err != nil {
			c.t.Fatal(err)
		}
	})
	if len(found) == 0 {
		c.t.Errorf("%s has no messages behind %d", stream, after)
	}
	return found
}
