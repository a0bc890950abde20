package pipeline_test

import (
	"context"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
)

// A stream has the bound that the configuration gives it, status shows it, and there is an alarm before it lets go what somebody needs.
func TestStreamBounds(t *testing.T) {
	dir := newRoster().people(20)
	c := newCompany(t, dir)
	c.config.StreamBytes = map[string]int64{events.UsersStream: 1 << 20}
	c.start()
	c.applied("read 20, created 20")
	dir.set("p00001", "phone", "1")
	c.applied("read 20, unchanged 19, updated 1")
	c.settled()
	status := func() (limit uint64, alarms []string) {
		t.Helper()
		s, err := c.client.Status(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range s.Room.Streams {
			if use.Name == events.UsersStream {
				limit = use.Limit
			}
		}
		for _, a := range s.Alarms {
			alarms = append(alarms, a.About)
		}
		return limit, alarms
	}
	c.withBus(func(bus *events.Bus) {
		for name, subjects := range map[string][]string{"mail": nil, "updates": {"rollcall.users.updated.*", "rollcall.users.reset.*"}} { // the only update comes last
			_, err := bus.Consumer(t.Context(), events.UsersStream, jetstream.ConsumerConfig{Durable: name, FilterSubjects: subjects, AckPolicy: jetstream.AckExplicitPolicy})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if limit, alarms := status(); limit != 1<<20 || len(alarms) > 0 {
		t.Errorf("limit %d, alarms %q; want none yet", limit, alarms)
	}
	c.withBus(func(bus *events.Bus) {
		for _, name := range []string{events.UsersStream, events.LogStream} {
			s, err := bus.JetStream.Stream(t.Context(), name)
			if err == nil {
				err = s.Purge(t.Context(), jetstream.WithPurgeSequence(2))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if _, alarms := status(); !slices.Equal(alarms, []string{"reader subscriber mail", "reader a store without a snapshot"}) {
		t.Errorf("alarms %q, want one about the subscriber and one about the snapshot", alarms)
	}
	if _, err := c.client.TakeSnapshot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, alarms := status(); !slices.Equal(alarms, []string{"reader subscriber mail"}) {
		t.Errorf("alarms %q, want one about the subscriber", alarms)
	}
	c.stopUnchecked()
	c.config.StreamBytes = nil
	c.start()
	if limit, _ := status(); limit != 0 {
		t.Errorf("limit %d, want none any more", limit)
	}
	c.stopUnchecked()
}
