package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// Records whose rules nobody has yet, because a newer version wrote them, wait; the records between them do not.
func TestRecordsWithoutRulesWait(t *testing.T) {
	bus := newReconciler(t).bus
	rules, err := openRuleBook(t.Context(), bus, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := Rules{Kind: "csv", Options: policy.Options{Source: "hr"}, Mapping: mapping.Config{Properties: map[string]mapping.Rule{"user_name": {From: []string{"uid"}}}}}
	later := known
	later.Scope = "of another version"
	hash, err := rules.publish(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	_, missing, err := later.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i, raw := range []rawRecord{{Run: 1, Number: 1, Config: missing}, {Run: 2, Number: 1, Config: hash}, {Run: 1, Number: 2, Config: missing}} {
		key := string(rune('a' + i))
		raw.Source, raw.Entry = "hr", "uid="+key
		if raw.Record, err = canonical(&connectors.Record{Key: key, Attributes: []connectors.Attribute{{Name: "uid", Values: []string{key}}}}); err != nil {
			t.Fatal(err)
		}
		data, err := encoding.Marshal(raw)
		if err == nil {
			_, err = bus.Publish(t.Context(), events.RawSubject("hr", store.KeyOf(key)), "", data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- newNormalizer(bus, rules, &Config{}, zerolog.Nop()).run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	mapped := func(run uint64, want int) {
		t.Helper()
		var seen numberSet
		for end := time.Now().Add(3 * time.Minute); time.Now().Before(end) && seen.count < want; time.Sleep(10 * time.Millisecond) {
			err := bus.ReadAll(t.Context(), events.ChangesStream, events.ChangesSubject("hr", run), func(msg jetstream.Msg) error {
				return splitChanges(msg.Data(), func(change []byte) error {
					var c mapping.Change
					if err := mapping.DecodeChange(change, &c); err != nil {
						return err
					}
					if c.Rejected != "" || c.Text[store.UserName] == "" {
						t.Errorf("run %d: %s is rejected: %q", run, c.Entry, c.Rejected)
					}
					seen.add(c.Number, c.Number)
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if seen.count != want {
			t.Fatalf("run %d has %d changes, want %d", run, seen.count, want)
		}
	}
	mapped(2, 1)
	if _, err := rules.publish(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	mapped(1, 2)
}
