package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

// Records and changes come twice, in the reverse order and when nobody remembers their ids any more, in the middle of their run and long
// after it: the store is that of an undisturbed run, and nothing is told twice.
func TestRedelivered(t *testing.T) {
	dir := newRoster().people(2500)
	c := newCompany(t, dir).start()
	dir.after = func() error {
		c.awaitMessages(events.RawStream, 1000)
		c.awaitMessages(events.ChangesStream, 1)
		records := c.redeliver(events.RawStream)
		c.awaitMessages(events.ChangesStream, 2)
		if changes := c.redeliver(events.ChangesStream); records < 1000 || changes < 2 {
			t.Errorf("%d records and %d changes came twice: too little is disturbed", records, changes)
		}
		return nil
	}
	c.applied("read 2500, created 2500")

	dir.after = nil
	dir.set("p00001", "phone", "+420 1")
	dir.remove("p00002")
	c.applied("read 2500, unchanged 2498, updated 1, deletions 1, deactivated 1")
	c.redeliver(events.RawStream)
	c.redeliver(events.ChangesStream)
	c.applied("read 2499, unchanged 2499")
	dir.set("p00001", "phone", "+420 2")
	c.applied("read 2499, unchanged 2498, updated 1")
	c.settled()
	if got := c.revision(); got != 2503 {
		t.Errorf("revision %d, want 2503", got)
	}
	if got, want := c.users(pipeline.UserQuery{}), undisturbed(t, dir); !maps.Equal(got, want) {
		t.Errorf("%d users, %d in an undisturbed pipeline", len(got), len(want))
	}
	c.rebuilt()
}

// The clock of the server that writes the log jumps by hours, to and fro, from message to message: whoever reads it has the same users,
// owners and revisions as one whose clock is right.
func TestClockJumps(t *testing.T) {
	dir := newRoster().people(50)
	c := newCompany(t, dir).start()
	c.applied("read 50, created 50")
	byHand := func(user, property string) {
		if _, err := c.client.SetUser(t.Context(), pipeline.Edit{User: user, Set: map[string]string{property: "by hand"}}); err != nil {
			t.Fatal(err)
		}
	}
	byHand("p00001", "custom_1")
	dir.remove("p00002")
	dir.set("p00001", "uid", "renamed")
	c.applied("read 50, unchanged 48, updated 1, deletions 1, deactivated 1")
	byHand("renamed", "custom_2")
	dir.person("p00002")
	c.applied("read 50, unchanged 49, reactivated 1")
	c.settled()
	status, err := c.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(filepath.Join(t.TempDir(), "jumped.db"), store.Options{ID: status.Store})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	chance := rand.New(rand.NewPCG(1, 1))
	err = c.client.ReadLogAt(t.Context(), c.config, db, func(at time.Time) time.Time { return at.Add(time.Duration(chance.IntN(96)-48) * time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	want, got := c.users(), map[string]string{}
	err = db.View(func(tx *store.Tx) error {
		if head, _ := tx.Head(); head != status.Revision {
			t.Errorf("revision %d, want %d", head, status.Revision)
		}
		return tx.Users("", func(u *store.User) error {
			one := *u
			one.ID, one.Revision = "", 0
			body, err := json.Marshal(one)
			got[one.Text[store.UserName]] = string(body)
			return err
		})
	})
	if err := errors.Join(err, db.Check()); err != nil {
		t.Error(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d users by a clock that jumps, %d by one that does not", len(got), len(want))
	}
}

// awaitMessages waits until a stream has at least so many.
func (c *company) awaitMessages(stream string, n uint64) {
	c.t.Helper()
	eventually(c.t, func() bool { return c.streams()[stream] >= n })
}

// redeliver publishes all that a stream has once more, the last message first and without the ids that the server would know, and returns
// how many these were.
func (c *company) redeliver(stream string) int {
	c.t.Helper()
	ctx := context.Background()
	var again []*nats.Msg
	c.withBus(func(bus *events.Bus) {
		err := bus.ReadAll(ctx, stream, ">", func(msg jetstream.Msg) error {
			header := nats.Header{}
			for _, name := range []string{events.SubjectHeader, "Rollcall-Numbers"} {
				if value := msg.Headers().Get(name); value != "" {
					header.Set(name, value)
				}
			}
			again = append(again, &nats.Msg{Subject: msg.Subject(), Header: header, Data: slices.Clone(msg.Data())})
			return nil
		})
		if err != nil {
			c.t.Error(err)
		}
		for _, msg := range slices.Backward(again) {
			if _, err := bus.JetStream.PublishMsgAsync(msg, jetstream.WithStallWait(10*time.Second)); err != nil {
				c.t.Error(err)
			}
		}
		<-bus.JetStream.PublishAsyncComplete()
	})
	return len(again)
}
