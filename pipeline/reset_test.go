package pipeline_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/pipeline"
	"rollcall/store"
)

// An older store is put back while the log is whole: it catches up, and nothing is told twice.
func TestOlderStoreCatchesUp(t *testing.T) {
	c, dir, old := rolledBack(t)
	c.start()
	if got := c.user("p00001"); got.Revision <= old {
		t.Errorf("the first answer shows the user at revision %d, as in the old store", got.Revision)
	}
	c.settled()
	if got := c.events(0); len(got) != 6 {
		t.Errorf("%d events: %v, want the 6 that there were", len(got), got)
	}
	dir.set("p00002", "phone", "2")
	c.applied("read 5, unchanged 4, updated 1")
	c.settled()
}

// An older store is put back and the log behind it is lost: subscribers are told to begin anew, once, and what follows has
// numbers above all that they heard.
func TestReset(t *testing.T) {
	c, _, _ := rolledBack(t)
	c.forgetLog()
	c.start()
	c.settled()
	c.applied("read 5, unchanged 4, updated 1")
	c.settled()
	c.stop() // which checks that every revision was told once
	c.start()
	c.settled()
	got := c.events(6)
	if want := []string{"reset ", "updated p00001"}; !slices.Equal(got, want) {
		t.Errorf("events behind the sixth: %q, want %q", got, want)
	}
	var types []string
	c.withBus(func(bus *events.Bus) {
		err := events.ReadAvailable(context.Background(), bus.Conn, events.SubscribeOptions{Kinds: []string{"reset"}}, func(e events.UserChanged) error {
			types = append(types, e.Type+" "+e.Cause.Reason)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	if len(types) != 1 || !strings.HasPrefix(types[0], "rollcall.users.reset the store went back") {
		t.Errorf("resets: %q", types)
	}
}

// A store that has something else where its last event says, is found out by the chain.
func TestResetByChain(t *testing.T) {
	c, _, _ := rolledBack(t)
	c.forgetLog()
	db, err := store.Open(filepath.Join(c.config.DataDir, "store.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *store.Tx) error {
		head, chain := tx.Head()
		body := []byte(`{"revision":6,"kind":"updated"}`)
		return tx.AppendRevision(store.Revision{Number: head + 1, Subject: "users.updated.somebody", Chain: store.ChainOf(chain, body), Body: body})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.settled()
	if got := c.events(5); len(got) != 2 || got[1] != "reset " {
		t.Errorf("events behind the fifth: %q", got)
	}
	c.applied("read 5, unchanged 4, updated 1")
	c.settled()
}

// The streams lose what was written last, and the store knows it: what was told of it nobody can read any more, so subscribers are
// told to begin anew, whenever it happens.
func TestEventsLoseTheirEnd(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir).start()
	c.applied("read 5, created 5")
	c.settled()
	c.stop()
	streams := filepath.Join(c.config.DataDir, "nats")
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(streams)); err != nil {
		t.Fatal(err)
	}
	head := uint64(5)
	for _, phone := range []string{"1", "2"} {
		c.start()
		dir.set("p00001", "phone", phone)
		c.applied("read 5, unchanged 4, updated 1")
		c.settled()
		head = c.revision()
		c.stopUnchecked()
		if err := errors.Join(os.RemoveAll(streams), os.CopyFS(streams, os.DirFS(old))); err != nil {
			t.Fatal(err)
		}
		c.start()
		eventually(t, func() bool { return c.revision() > head })
		c.settled()
		if got, now := c.events(5), c.revision(); !slices.Equal(got, []string{"reset "}) || now != head+1 {
			t.Errorf("behind the lost revision %d come %q, up to %d; want a reset", head, got, now)
		}
		c.stopUnchecked()
		c.start() // which says no more
		c.settled()
		if now := c.revision(); now != head+1 {
			t.Errorf("another start makes revision %d, want %d", now, head+1)
		}
		c.stopUnchecked()
	}
}

// Events that aged away, all of them, are not lost.
func TestEventsAgeAway(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir).start()
	c.applied("read 5, created 5")
	c.settled()
	c.withBus(func(bus *events.Bus) {
		s, err := bus.JetStream.Stream(t.Context(), events.UsersStream)
		if err == nil {
			err = s.Purge(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	c.stopUnchecked()
	c.start()
	c.settled()
	if got, head := c.events(0), c.revision(); len(got) != 0 || head != 5 {
		t.Errorf("events %q up to %d", got, head)
	}
	c.stopUnchecked()
}

// An event with a number that no store can have given does not use up the numbers that are left.
func TestEventBeyondBelief(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir).start()
	c.applied("read 5, created 5")
	c.settled()
	c.stop()
	c.withBroker(func(bus *events.Bus) {
		forged := events.RevisionMessage("s", store.Revision{Number: 1 << 60, Subject: "users.updated.x", Body: []byte(`{"chain":"x"}`)})
		if _, err := bus.PublishMessage(t.Context(), forged, ""); err != nil {
			t.Fatal(err)
		}
	})
	c.start()
	dir.set("p00001", "phone", "1")
	c.applied("read 5, unchanged 4, updated 1")
	c.settled()
	if head := c.revision(); head != 6 {
		t.Errorf("the store goes on with revision %d, want 6", head)
	}
	c.stopUnchecked()
}

// stopUnchecked stops a pipeline whose events are not whole.
func (c *company) stopUnchecked() {
	c.t.Helper()
	if err := c.node.Stop(); err != nil {
		c.t.Error("stop: ", err)
	}
	c.node = nil
}

// rolledBack returns a stopped pipeline whose store is older than the last of its six events, and the last revision of that store.
func rolledBack(t *testing.T) (c *company, dir *roster, head uint64) {
	t.Helper()
	dir = newRoster().people(5)
	c = newCompany(t, dir).start()
	c.applied("read 5, created 5")
	c.settled()
	head = c.revision()
	c.stop()
	path := filepath.Join(c.config.DataDir, "store.db")
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir.set("p00001", "phone", "1")
	c.start()
	c.applied("read 5, unchanged 4, updated 1")
	c.settled()
	c.stop()
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	return c, dir, head
}

// forgetLog takes the log away, as losing its disk would.
func (c *company) forgetLog() {
	c.withBroker(func(bus *events.Bus) {
		if err := bus.JetStream.DeleteStream(context.Background(), events.LogStream); err != nil {
			c.t.Fatal(err)
		}
	})
}

// withBroker calls fn with a connection to a stopped pipeline's streams.
func (c *company) withBroker(fn func(*events.Bus)) {
	c.t.Helper()
	b, err := broker.Start(broker.Options{Dir: filepath.Join(c.config.DataDir, "nats"), Log: zerolog.Nop()})
	if err != nil {
		c.t.Fatal(err)
	}
	defer b.Stop()
	bus, err := events.Connect(b.URL(), func(err error) { c.t.Error(err) }, b.Options()...)
	if err != nil {
		c.t.Fatal(err)
	}
	defer bus.Close()
	fn(bus)
}

// All streams lose their tail under a store that is ahead, as if an older copy of their disk were put back: the next run heals what they
// said, its numbers are above all that the store knows, and subscribers are told once to begin anew.
func TestStreamsThatLostTheirTail(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir).start()
	c.applied("read 5, created 5")
	c.settled()
	c.stop()
	streams, old := filepath.Join(c.config.DataDir, "nats"), filepath.Join(t.TempDir(), "nats")
	if err := os.CopyFS(old, os.DirFS(streams)); err != nil {
		t.Fatal(err)
	}
	c.start()
	dir.set("p00001", "phone", "1")
	dir.person("new")
	dir.remove("p00004")
	known := c.applied("read 6, unchanged 3, created 1, updated 1, deletions 1, deactivated 1")
	c.settled()
	c.stop()
	if err := errors.Join(os.RemoveAll(streams), os.CopyFS(streams, os.DirFS(old))); err != nil {
		t.Fatal(err)
	}
	c.logged = io.Discard
	c.start()
	dir.set("p00002", "phone", "2")
	if run := c.applied("read 5, unchanged 4, updated 1"); run.Number <= known.Number {
		t.Errorf("run %d follows run %d", run.Number, known.Number)
	}
	c.settled()
	dir.set("p00001", "phone", "3")
	c.applied("read 5, unchanged 4, updated 1")
	c.settled()
	if got, want := c.events(8), []string{"reset ", "updated p00002", "updated p00001"}; !slices.Equal(got, want) {
		t.Errorf("events behind the eighth: %q, want %q", got, want)
	}
	if got, want := c.users(pipeline.UserQuery{}), undisturbed(t, dir); !maps.Equal(got, want) {
		t.Errorf("users %v, undisturbed %v", got, want)
	}
	if err := c.node.Stop(); err != nil {
		t.Error(err)
	}
	c.node = nil // every revision in the stream exactly once is what was lost here
}
