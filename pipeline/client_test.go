package pipeline

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/store"
)

// deafClient is a client of a service that does not answer the first questions about attempts of a job.
func deafClient(t *testing.T, deaf int, answer *store.Run) (*Client, <-chan struct{}) {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	bus, err := events.Connect(b.URL(), func(err error) { t.Error(err) }, b.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	if err := bus.EnsureStreams(t.Context(), events.StreamOptions{Replicas: 1, Keep: time.Hour}); err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 100)
	_, err = bus.Conn.Subscribe(apiPrefix+"store.attempts.*", func(msg *nats.Msg) {
		asked <- struct{}{}
		if deaf--; deaf >= 0 {
			return
		}
		data, err := json.Marshal(attempts{Count: 1, Last: answer})
		if err != nil {
			t.Error(err)
		}
		if err := msg.Respond(data); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Client{bus: bus}, asked
}

// An answer that got lost holds nobody up who waits for a run: neither when its result is published meanwhile, nor when it was
// published before.
func TestLostAnswers(t *testing.T) {
	run := store.Run{Source: "people", Number: 7, Job: "job", State: store.Applied}
	t.Run("result published", func(t *testing.T) {
		t.Parallel()
		client, asked := deafClient(t, 100, nil)
		go func() {
			<-asked
			data, _ := json.Marshal(run)
			_ = client.bus.Conn.Publish(events.RunSubject("applied", "people"), data)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), answerWait/2)
		defer cancel()
		got, err := client.Follow(ctx, "people", "job", nil)
		if err != nil || ctx.Err() != nil || got.Number != run.Number {
			t.Fatalf("run %d, %v; want run %d at once", got.Number, err, run.Number)
		}
	})
	t.Run("result asked for again", func(t *testing.T) {
		t.Parallel()
		client, _ := deafClient(t, 1, &run)
		ctx, cancel := context.WithTimeout(t.Context(), 3*answerWait)
		defer cancel()
		got, err := client.Follow(ctx, "people", "job", nil)
		if err != nil || got.Number != run.Number {
			t.Fatalf("run %d, %v; want run %d", got.Number, err, run.Number)
		}
	})
	t.Run("status", func(t *testing.T) {
		t.Parallel()
		client, _ := deafClient(t, 0, nil)
		deaf := 1
		_, err := client.bus.Conn.Subscribe(apiPrefix+"status", func(msg *nats.Msg) {
			if deaf--; deaf < 0 {
				_ = msg.Respond([]byte(`{"revision":7}`))
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := client.Status(t.Context()); err != nil || got.Revision != 7 {
			t.Fatalf("revision %d, %v; want 7", got.Revision, err)
		}
	})
	t.Run("question asked again", func(t *testing.T) {
		t.Parallel()
		client, _ := deafClient(t, 1, &run)
		ctx, cancel := context.WithTimeout(t.Context(), 3*answerWait)
		defer cancel()
		got, err := client.attemptsOf(ctx, "people", "job")
		if err != nil || got.count != 1 || !got.done {
			t.Fatalf("attempts %+v, %v; want one, done", got, err)
		}
	})
}
