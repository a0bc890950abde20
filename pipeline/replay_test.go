package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// replay runs a replay under the company's own rules, changed by fn.
func (c *company) replay(o pipeline.ReplayOptions, fn ...func(*pipeline.Source)) store.Run {
	c.t.Helper()
	config := c.config
	config.Sources = append([]pipeline.Source{}, c.config.Sources...)
	for _, change := range fn {
		change(&config.Sources[0])
	}
	var err error
	if o.Rules, err = config.Rules("people"); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.alive, 3*time.Minute)
	defer cancel()
	job, err := c.client.Replay(ctx, "people", o)
	if err != nil {
		c.t.Fatal(err)
	}
	run, err := c.client.Follow(ctx, "people", job, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return run
}

// byNumber maps the department from the personal number.
func byNumber(s *pipeline.Source) {
	s.Mapping = rosterMapping()
	s.Mapping.Properties["department"] = mapping.Rule{From: []string{"number"}}
}

// A replay asks no directory, costs RAW no record, and calls nobody absent; applied, the next run has nothing to do.
func TestReplay(t *testing.T) {
	dir := newRoster().people(20)
	dir.person("p00003", "number", "17")
	c := newCompany(t, dir).start()
	c.applied("read 20, created 20")
	dir.remove("p00009")
	first := c.applied("read 20, unchanged 19, deletions 1, deactivated 1")
	before, users, reads := c.streams(), c.users(), dir.reads
	for range 9 { // more often than RAW keeps records
		if run := c.replay(pipeline.ReplayOptions{}, byNumber); run.State != store.Planned || run.Updated != 1 || run.Deactivated != 0 || run.Kind != "replay" {
			t.Fatalf("replayed: %s, %s %s", run.State, counters(run), run.Reason)
		}
	}
	if after := c.streams(); after[events.RawStream] != before[events.RawStream] || after[events.UsersStream] != before[events.UsersStream] || dir.reads != reads {
		t.Errorf("a replay left records or events, or read the source: %v, was %v", after, before)
	}
	if got := c.users(); fmt.Sprint(got) != fmt.Sprint(users) {
		t.Error("a replay that was not applied changed users")
	}
	if run := c.replay(pipeline.ReplayOptions{Apply: true}, byNumber); run.State != store.Failed || !strings.Contains(run.Reason, "another configuration") {
		t.Errorf("applied under rules that the server does not have: %s %s", run.State, run.Reason)
	}
	c.stop()
	byNumber(&c.config.Sources[0])
	c.start()
	if run := c.replay(pipeline.ReplayOptions{Apply: true}); run.State != store.Applied || run.Updated != 1 || run.From != first.Number {
		t.Fatalf("applied: %s %s, %s", run.State, run.Reason, counters(run))
	}
	if u := c.user("p00003"); u.Text[store.Department] != "17" {
		t.Errorf("department %q", u.Text[store.Department])
	}
	c.applied("read 19, unchanged 19")
	c.rebuilt()
}

// An older run is proposed with the records that it read: who came later or is gone now stays, and the next run brings everybody back.
func TestReplayOlderRun(t *testing.T) {
	dir := newRoster().people(5)
	dir.set("p00001", "phone", "one")
	c := newCompany(t, dir).start()
	old := c.applied("read 5, created 5")
	dir.set("p00001", "phone", "two")
	dir.person("later")
	dir.remove("p00002")
	c.applied("read 6, unchanged 3, created 1, updated 1, deletions 1, deactivated 1")
	dir.set("p00001", "phone", "three") // recorded by a run that is never applied
	if run := c.sync(pipeline.SyncOptions{RequireApproval: true}); run.State != store.Held {
		t.Fatal(run.State)
	}
	run := c.replay(pipeline.ReplayOptions{Run: old.Number, Apply: true})
	if run.State != store.Applied || run.Updated != 1 || run.Revisions != 1 {
		t.Fatalf("%s %s: %s", run.State, run.Reason, counters(run))
	}
	if phone := c.user("p00001").Text[store.Phone]; phone != "one" {
		t.Errorf("phone %q", phone)
	}
	if len(run.Messages) != 1 || !strings.Contains(run.Messages[0], "2 entries") {
		t.Errorf("messages: %q", run.Messages)
	}
	c.applied("read 5, unchanged 4, updated 1")
	if phone := c.user("p00001").Text[store.Phone]; phone != "three" {
		t.Errorf("phone %q after the next run", phone)
	}
	if _, err := c.client.Replay(context.Background(), "people", pipeline.ReplayOptions{Run: run.Number - 1}); !errors.Is(err, pipeline.ErrNotFound) {
		t.Errorf("a run that is none: %v", err)
	}
	c.rebuilt()
}

// What RAW has lost is refused, and nobody is called absent for it.
func TestReplayTrimmed(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir).start()
	old := c.applied("read 5, created 5")
	for i := range 8 {
		dir.set("p00001", "phone", fmt.Sprint(i))
		c.applied("read 5, unchanged 4, updated 1")
	}
	run := c.replay(pipeline.ReplayOptions{Run: old.Number})
	if run.State != store.Failed || !strings.Contains(run.Reason, "1 of 5 entries, for example uid=p00001") {
		t.Errorf("more changes than are kept: %s %s", run.State, run.Reason)
	}
	if run := c.replay(pipeline.ReplayOptions{}); run.State != store.Planned {
		t.Errorf("the last run is still whole: %s %s", run.State, run.Reason)
	}
	c.withBus(func(bus *events.Bus) {
		stream, err := bus.JetStream.Stream(context.Background(), events.RawStream)
		if err == nil {
			err = stream.Purge(context.Background(), jetstream.WithPurgeSubject(events.RawSubject("people", store.KeyOf("p00004"))))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if run := c.replay(pipeline.ReplayOptions{Apply: true}); run.State != store.Failed || !strings.Contains(run.Reason, "for example uid=p00004") || run.Try == "" {
		t.Errorf("a record is lost: %s %s", run.State, run.Reason)
	}
	c.applied("read 5, unchanged 5")
}

// A PIN stays sealed whatever today's mapping makes of its attribute, and one that is recorded in clear text is sealed.
func TestReplaySealed(t *testing.T) {
	dir := newRoster().people(3)
	dir.person("p00001", "number", "4711")
	c := newCompany(t, dir)
	pins := func(s *pipeline.Source) {
		s.Mapping = rosterMapping()
		delete(s.Mapping.Properties, "personal_number")
		s.Mapping.Properties["pins"] = mapping.Rule{From: []string{"number"}}
		s.Options.PINs.MinimumLength = 4
	}
	plain := c.config.Sources[0]
	c.start()
	c.applied("read 3, created 3")
	c.stop()
	pins(&c.config.Sources[0])
	c.start()
	if run := c.replay(pipeline.ReplayOptions{Apply: true}); run.State != store.Applied || run.Updated != 1 || run.Warnings != 0 {
		t.Fatalf("pins: %s %s, %s %q", run.State, run.Reason, counters(run), run.Messages)
	}
	c.applied("read 3, unchanged 3")
	c.sync(pipeline.SyncOptions{Full: true})
	dir.set("p00001", "number", "8264")
	c.applied("read 3, unchanged 2, updated 1")
	c.stop()
	c.config.Sources[0] = plain
	c.start()
	run := c.replay(pipeline.ReplayOptions{})
	if text := fmt.Sprintf("%+v", run); run.State != store.Planned || strings.Contains(text, "8264") || strings.Contains(text, "rollcall-sealed") || len(run.Messages) == 0 {
		t.Errorf("sealed: %s %s", run.State, text)
	}
	_, err := c.client.Plan(context.Background(), "people", run.Number, func(e pipeline.PlanEntry) error {
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "8264") || strings.Contains(text, "rollcall-sealed") {
			t.Error("the plan shows a secret: ", text)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
