package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

// U22: a user who was made anonymous leaves the store, RAW and the dead letters; the entry, still in the directory, stays unread
// whatever it says; the event is a tombstone. The same log gives the same store.
func TestAnonymize(t *testing.T) {
	dir := newRoster().people(2)
	dir.person("secret-key", "uid", "mallory", "cn", "Mallory Archer", "phone", "+420 777888", "card", "CAFE0001", "number", "471147")
	c := newCompany(t, dir).start()
	c.applied("read 3, created 3")
	id := c.user("mallory").ID
	dir.set("secret-key", "problem", "line 3: Mallory Archer is unreadable")
	c.applied("read 3, unchanged 2, rejected 1")
	delete(dir.entries["secret-key"], "problem")
	if _, err := c.client.AnonymizeUser(t.Context(), pipeline.Edit{User: "mallory"}); !errors.Is(err, pipeline.ErrRefused) || !strings.Contains(err.Error(), "[U22]") {
		t.Errorf("an active user: %v", err)
	}
	if _, err := c.client.DeactivateUser(t.Context(), pipeline.Edit{User: "mallory"}); err != nil {
		t.Fatal(err)
	}
	answer, err := c.client.AnonymizeUser(t.Context(), pipeline.Edit{User: "mallory"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c.applied("read 3, unchanged 3")
	}
	dir.set("secret-key", "phone", "+420 778999")
	c.applied("read 3, unchanged 3")
	dir.remove("secret-key")
	c.applied("read 2, unchanged 2")

	for name, text := range map[string]string{"store": c.everything(), "event": c.event(answer.Revision), "RAW and DEAD": c.messages(events.RawStream, events.DeadStream)} {
		for _, word := range []string{"mallory", "Mallory", "Archer", "777888", "778999", "CAFE0001", "471147", "secret-key"} {
			if strings.Contains(text, word) {
				t.Errorf("%s still says %q: %s", name, word, text)
			}
		}
	}
	if u := c.user(id); !u.Anonymized || u.Active || u.Text[store.UserName] != "anonymous-"+id {
		t.Errorf("the tombstone is %+v", u)
	}
	if _, err := c.client.ReactivateUser(t.Context(), pipeline.Edit{User: id}); !errors.Is(err, pipeline.ErrRefused) {
		t.Errorf("reactivated: %v", err)
	}
	dir.person("another-key", "uid", "mallory") // another person may be called so
	c.applied("read 3, unchanged 2, created 1")
	c.rebuilt()
}

// everything is all users and runs as JSON.
func (c *company) everything() string {
	c.t.Helper()
	runs, err := c.client.Runs(context.Background(), "people", 100)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := json.Marshal(runs)
	if err != nil {
		c.t.Fatal(err)
	}
	all := string(text)
	for _, u := range c.users() {
		all += u
	}
	return all
}

// event is the body of a revision's event.
func (c *company) event(revision uint64) (body string) {
	c.t.Helper()
	err := c.client.Events(context.Background(), pipeline.EventOptions{After: revision - 1}, func(e events.UserChanged) error {
		if e.Revision == revision {
			body = e.Kind + " " + string(e.Raw)
		}
		return nil
	})
	if err != nil || !strings.HasPrefix(body, "anonymized ") {
		c.t.Errorf("event %q, %v", body, err)
	}
	return body
}

// messages is all there is in streams.
func (c *company) messages(streams ...string) (all string) {
	c.t.Helper()
	c.withBus(func(bus *events.Bus) {
		for _, stream := range streams {
			if err := bus.ReadAll(context.Background(), stream, ">", func(msg jetstream.Msg) error { all += msg.Subject() + " " + string(msg.Data()); return nil }); err != nil {
				c.t.Fatal(err)
			}
		}
	})
	return all
}
