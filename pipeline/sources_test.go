package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

// withSource adds a second source that contributes to the users of the first.
func (c *company) withSource(name string, reader connectors.Config, change ...func(*pipeline.Source)) *company {
	o := rosterOptions(name)
	o.IgnoreSynchronizationSource = true
	source := pipeline.Source{Name: name, Enabled: true, Reader: reader, Mapping: rosterMapping(), Options: o}
	for _, fn := range change {
		fn(&source)
	}
	c.config.Sources = append(c.config.Sources, source)
	return c
}

// runs runs a source and wants these counters.
func (c *company) runs(source, want string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.alive, 3*time.Minute)
	defer cancel()
	job, err := c.client.Sync(ctx, source, pipeline.SyncOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	run, err := c.client.Follow(ctx, source, job, nil)
	if got := counters(run); err != nil || run.State != store.Applied || got != want {
		c.t.Fatalf("%s: run is %s (%s): %s; want applied: %s (%v)\n%v", source, run.State, run.Reason, got, want, err, run.Messages)
	}
}

// S6: a renamed source takes its entries, users and checkpoint along; nobody is created, deactivated or told, and its records of
// the old name leave RAW. The same log gives the same store.
func TestRenamedSource(t *testing.T) {
	hr, people := newRoster(), newRoster().people(3)
	for _, key := range []string{"p00001", "carol", "dave"} {
		hr.person(key, "card", "C-"+key)
	}
	c := newCompany(t, people).withSource("hr", hr).start()
	c.applied("read 3, created 3")
	c.runs("hr", "read 3, created 2, merged 1")
	hr.remove("dave")
	c.runs("hr", "read 3, unchanged 2, deletions 1, deactivated 1")
	if _, err := c.client.SetUser(t.Context(), pipeline.Edit{User: "carol", Set: map[string]string{"phone": "5"}}); err != nil {
		t.Fatal(err)
	}
	revision := c.revision()
	c.settled()
	c.stop()
	s := &c.config.Sources[1]
	s.Name, s.Options.Source, s.Formerly = "staff", "staff", []string{"hr"}
	c.start()
	c.settled()
	if got := c.revision(); got != revision {
		t.Errorf("renaming left revision %d, before %d", got, revision)
	}
	if raw := c.messages(events.RawStream); strings.Contains(raw, "rollcall.raw.hr.") {
		t.Error("records of the old name are left in RAW")
	}
	c.runs("staff", "read 3, unchanged 1, updated 1, deletions 1") // the phone comes back
	hr.person("dave", "card", "C-dave")
	c.runs("staff", "read 3, unchanged 2, reactivated 1")
	c.runs("staff", "read 3, unchanged 3")
	if cards := c.user("p00001").List[store.Cards.List()]; len(cards) != 1 || !slices.Equal(cards[0].Origins, []string{"staff"}) {
		t.Errorf("cards %+v", cards)
	}
	c.rebuilt()
}

// S6: a source that is retired leaves its users as its plan said, in one event each; a restart in between changes nothing about that. The
// same log gives the same store.
func TestRetiredSource(t *testing.T) {
	hr, people := newRoster().people(2), newRoster().people(1)
	hr.person("alone", "card", "77")
	hr.person("boss")
	c := newCompany(t, people).withSource("hr", hr).start()
	c.runs("hr", "read 4, created 4")
	c.runs("people", "read 1, conflicts 1")
	c.config.Sources[0].Options.IgnoreSynchronizationSource = true
	c.stop()
	c.start()
	c.runs("people", "read 1, merged 1")
	if _, err := c.client.SetUser(t.Context(), pipeline.Edit{User: "boss", Set: map[string]string{"administrator": "true"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.PlanRetirement(t.Context(), pipeline.Retire{Source: "hr"}); !errors.Is(err, pipeline.ErrRefused) {
		t.Errorf("an enabled source: %v", err)
	}
	c.settled()
	c.stop()
	c.config.Sources = c.config.Sources[:1]
	c.start()
	plan, err := c.client.PlanRetirement(t.Context(), pipeline.Retire{Source: "hr", Deactivate: true})
	if err != nil || plan.Entries != 4 || plan.Inherited != 1 || plan.Deactivated != 2 || plan.Local != 1 {
		t.Fatalf("plan %+v, %v", plan, err)
	}
	revision := c.revision()
	if _, err := c.client.RetireSource(t.Context(), pipeline.Retire{Source: "hr", Deactivate: true, Plan: plan.Plan[:8]}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.RetireSource(t.Context(), pipeline.Retire{Source: "hr", Deactivate: true, Plan: plan.Plan[:8]}); !errors.Is(err, pipeline.ErrNotFound) {
		t.Errorf("retired again: %v", err)
	}
	c.settled()
	want := []string{"deactivated alone", "deactivated p00001", "updated boss", "updated p00000"}
	got := c.events(revision)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if u := c.user("p00000"); !u.Active || u.Label != "people" {
		t.Errorf("p00000 is %t, of %q", u.Active, u.Label)
	}
	c.runs("people", "read 1, unchanged 1")
	c.rebuilt()
}

// S6: two sources with one label do not deactivate each other's users, and neither takes the other's.
func TestTwoSourcesWithOneLabel(t *testing.T) {
	hr, people := newRoster(), newRoster()
	people.person("alice")
	hr.person("bob")
	same := func(s *pipeline.Source) { s.Options.Label = "company" }
	c := newCompany(t, people, same).withSource("hr", hr, same).start()
	c.applied("read 1, created 1")
	c.runs("hr", "read 1, created 1")
	for range 2 {
		c.applied("read 1, unchanged 1")
		c.runs("hr", "read 1, unchanged 1")
	}
	people.remove("alice")
	people.person("carol")
	c.applied("read 2, created 1, deletions 1, deactivated 1")
	if u := c.user("bob"); !u.Active || u.Label != "company" {
		t.Errorf("bob is %t, of %q", u.Active, u.Label)
	}
}
