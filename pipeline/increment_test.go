package pipeline_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

var full = pipeline.SyncOptions{Full: true}

// wants runs the source and fails the test unless a run of that kind was applied with these counters.
func (c *company) wants(kind, counted string, o ...pipeline.SyncOptions) store.Run {
	c.t.Helper()
	run := c.sync(o...)
	if got := counters(run); run.State != store.Applied || run.Kind != kind || got != counted {
		c.t.Fatalf("run is %s %s (%s): %s; want %s applied: %s\n%q", run.Kind, run.State, run.Reason, got, kind, counted, run.Messages)
	}
	return run
}

// An incremental run tells three ways of an attribute, merges onto what was applied, and costs what changed.
func TestAnIncrementalRunTakesOverWhatChanged(t *testing.T) {
	j := newJournal(1000)
	j.person("alice", "phone", "+420 1", "number", "7")
	c := newCompany(t, j).start()
	c.wants("full", "read 1001, created 1001")

	j.tell("alice", "mail", "new@example.com")
	c.wants("incremental", "read 1, updated 1")
	if u := c.user("alice"); u.Text[store.Email] != "new@example.com" || u.Text[store.Phone] != "+420 1" || u.Text[store.PersonalNumber] != "7" {
		t.Errorf("a value that was not mentioned changed: %v", u.Text)
	}
	j.tell("alice", "phone", "")
	c.wants("incremental", "read 1, updated 1")
	if u := c.user("alice"); u.Text[store.Phone] != "" || u.Text[store.Email] != "new@example.com" {
		t.Errorf("phone was cleared: %v", u.Text)
	}
	j.tellWhole("bob")
	j.tellGone("p00003")
	c.wants("incremental", "read 2, created 1, deletions 1, deactivated 1")
	if got := c.user("p00003"); got.Active {
		t.Error("p00003 is active")
	}
	if run := c.wants("full", "read 1001, unchanged 1001", full); run.Records != 0 {
		t.Errorf("the records in RAW are not the whole ones: a full run published %d", run.Records)
	}
	if want := []string{"full", "0", "1", "2", "full"}; !slices.Equal(j.passes, want) {
		t.Errorf("reads began at %q, want %q", j.passes, want)
	}
}

// Promise 3: an incremental run that finds nothing new leaves its line and its checkpoint, and nothing else.
func TestAnIncrementalRunThatFindsNothingNewLeavesNothing(t *testing.T) {
	j := newJournal(10)
	c := newCompany(t, j).start()
	c.wants("full", "read 10, created 10")
	before, revision := c.streams(), c.revision()
	c.wants("incremental", "read 0")
	if after := c.streams(); !maps.Equal(before, after) {
		t.Errorf("streams were %v and are %v", before, after)
	}
	j.tell("p00001", "mail", "p00001@example.com") // as it is
	j.tell("p00002")
	j.tellWhole("p00003")
	j.write(connectors.Record{Key: "stranger", Kind: connectors.User, Name: "deleted", Deleted: true})
	j.write(connectors.Sighting("p00004", connectors.User))
	run := c.wants("incremental", "read 3, unchanged 3")
	if after := c.streams(); !maps.Equal(before, after) || c.revision() != revision {
		t.Errorf("streams were %v and are %v, revision %d is %d", before, after, revision, c.revision())
	}
	if run.Until == "" || run.Since == run.Until {
		t.Errorf("checkpoint %q to %q", run.Since, run.Until)
	}
}

// Of several records of one entry in one run the last counts, and a partial one is laid over the one before it.
func TestRepeatsWithinAnIncrementalRun(t *testing.T) {
	j := newJournal(10)
	c := newCompany(t, j).start()
	c.wants("full", "read 10, created 10")
	revision := c.revision()

	j.tell("p00001", "phone", "1")
	j.tell("p00001", "mail", "a@example.com") // over the one before
	j.tell("p00002", "phone", "2")
	j.tell("p00002", "phone", "") // as it was
	j.tellWhole("bob", "phone", "3")
	j.tell("bob", "card", "0A0B")
	j.tellGone("p00003")
	j.tellWhole("p00003") // it came back
	j.tellWhole("carol")
	j.tellGone("carol")
	c.wants("incremental", "read 5, unchanged 2, created 1, updated 1, deletions 1") // carol came and went
	if u := c.user("p00001"); u.Text[store.Phone] != "1" || u.Text[store.Email] != "a@example.com" {
		t.Errorf("p00001 is %v", u.Text)
	}
	if got, want := c.events(revision), []string{"created bob", "updated p00001"}; !slices.Equal(sorted(got), want) {
		t.Errorf("events %q, want %q", got, want)
	}
	c.wants("full", "read 11, unchanged 11", full)
}

func sorted(list []string) []string { slices.Sort(list); return list }

// A source that forgot where the reader was is read whole in the same job, and who left meanwhile is found.
func TestAnExpiredCheckpointIsFollowedByAFullRun(t *testing.T) {
	j := newJournal(20)
	c := newCompany(t, j).start()
	c.wants("full", "read 20, created 20")
	j.tell("p00001", "phone", "1")
	j.remove("p00002") // and nobody tells
	j.expired = true
	c.wants("full", "read 20, unchanged 18, updated 1, deletions 1, deactivated 1")
	runs, err := c.client.Runs(t.Context(), "people", 2)
	if err != nil || runs[1].State != store.Failed || !runs[1].Again || !strings.Contains(runs[1].Reason, "checkpoint expired") || runs[1].Kind != "incremental" {
		t.Errorf("the attempt before is %+v, %v", runs[1], err)
	}
	j.expired = false
	c.wants("incremental", "read 0")
}

// A source whose checkpoints never hold is read whole every time; nobody goes in circles.
func TestCheckpointsThatNeverHoldDoNotLoop(t *testing.T) {
	j := newJournal(5)
	c := newCompany(t, j).start()
	c.wants("full", "read 5, created 5")
	j.expired = true
	c.wants("full", "read 5, unchanged 5")
	c.wants("full", "read 5, unchanged 5")
	if len(j.passes) != 5 {
		t.Errorf("reads began at %q", j.passes)
	}
}

// A part of an entry whose last record is gone from RAW makes the run a full one.
func TestAPartOfAnEntryWhoseRecordIsGone(t *testing.T) {
	for name, spoil := range map[string]func(*company){
		"gone": func(c *company) {
			c.withBus(func(bus *events.Bus) {
				s, err := bus.JetStream.Stream(t.Context(), events.RawStream)
				if err == nil {
					err = s.Purge(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
			})
		},
		"another key": func(c *company) { // the stream was made anew and its sequences are others'
			c.withBus(func(bus *events.Bus) {
				ctx := t.Context()
				s, err := bus.JetStream.Stream(ctx, events.RawStream)
				if err != nil {
					t.Fatal(err)
				}
				config := s.CachedInfo().Config
				first, err := s.GetMsg(ctx, 1)
				if err != nil {
					t.Fatal(err)
				}
				if err := bus.JetStream.DeleteStream(ctx, events.RawStream); err != nil {
					t.Fatal(err)
				}
				if _, err := bus.JetStream.CreateStream(ctx, config); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if _, err := bus.Publish(ctx, first.Subject, "", first.Data); err != nil {
						t.Fatal(err)
					}
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(3)
			c := newCompany(t, j).start()
			c.wants("full", "read 3, created 3")
			if name == "another key" {
				c.stop()
				c.config.Roles = []string{pipeline.RoleConnector, pipeline.RoleReconciler}
				c.start()
			}
			spoil(c)
			c.node.Stop()
			c.config.Roles = nil
			c.start()
			for _, key := range j.keys() {
				j.tell(key, "phone", "1")
			}
			c.wants("full", "read 3, updated 3")
			if u := c.user("p00001"); u.Text[store.Email] != "p00001@example.com" {
				t.Errorf("mail is %q", u.Text[store.Email])
			}
			for _, key := range j.keys() {
				j.tell(key, "phone", "2")
			}
			c.wants("incremental", "read 3, updated 3")
		})
	}
}

// A read from a checkpoint that turns out to be a whole one (RFC 4533's present phase) is proven like any whole read: who was
// neither told of nor sighted is looked up again, and the guard sees who goes.
func TestAnIncrementalReadThatIsWholeAfterAll(t *testing.T) {
	sight := func(j *journal, but ...string) {
		for _, key := range j.keys() {
			if !slices.Contains(but, key) {
				j.write(connectors.Sighting(key, connectors.User))
			}
		}
	}
	j := newJournal(20)
	c := newCompany(t, j).start()
	c.wants("full", "read 20, created 20")
	j.whole = true
	j.tell("p00001", "phone", "1")
	j.tellWhole("bob")
	j.remove("p00002")
	sight(j, "bob", "p00001")
	run := c.wants("incremental", "read 21, unchanged 18, created 1, updated 1, deletions 1, deactivated 1")
	if !run.Whole {
		t.Error("the run does not say that it was whole")
	}

	sight(j, "p00005") // there, and not said to be
	c.wants("full", "read 20, unchanged 20")

	j.remove(j.keys()[:15]...)
	sight(j)
	if run := c.sync(); run.State != store.Held || run.Kind != "incremental" {
		t.Fatalf("run is %s %s: %s", run.Kind, run.State, run.Reason)
	}
	j.whole = false
}

// An entry that is sighted and was never told of is no unchanged one.
func TestAStrangerIsSighted(t *testing.T) {
	j := newJournal(3)
	c := newCompany(t, j).start()
	c.wants("full", "read 3, created 3")
	j.whole = true
	j.person("bob")
	for _, key := range j.keys() {
		j.write(connectors.Sighting(key, connectors.User))
	}
	c.wants("full", "read 4, unchanged 3, created 1")
}

// Promise 2: a held run loses nothing, because its checkpoint is not the source's: the next run begins where the last applied one ended.
func TestAHeldIncrementalRunKeepsItsCheckpoint(t *testing.T) {
	j := newJournal(40)
	c := newCompany(t, j).start()
	c.wants("full", "read 40, created 40")
	for _, key := range j.keys()[:15] {
		j.tellGone(key)
	}
	held := c.sync()
	if held.State != store.Held || held.Kind != "incremental" {
		t.Fatalf("run is %s %s: %s", held.Kind, held.State, held.Reason)
	}
	j.tell("p00039", "phone", "1")
	again := c.sync()
	if again.State != store.Held || again.Updated != 1 || again.Deletions != 15 {
		t.Fatalf("run is %s %s: %s", again.Kind, again.State, counters(again))
	}
	run, err := c.client.Approve(t.Context(), "people", again.Plan, "tester")
	if err != nil || run.State != store.Applied {
		t.Fatalf("approve: %s, %v", run.State, err)
	}
	j.tell("p00038", "phone", "1")
	c.wants("incremental", "read 1, updated 1")
	c.wants("full", "read 25, unchanged 25", full)
}

// A dry run moves no checkpoint.
func TestADryIncrementalRun(t *testing.T) {
	j := newJournal(4)
	c := newCompany(t, j).start()
	c.wants("full", "read 4, created 4")
	j.tell("p00001", "phone", "1")
	if run := c.sync(pipeline.SyncOptions{DryRun: true}); run.State != store.Planned || run.Kind != "incremental" || run.Updated != 1 {
		t.Fatalf("dry run is %s %s: %s", run.Kind, run.State, counters(run))
	}
	c.wants("incremental", "read 1, updated 1")
}

// A run is a full one when it was asked for, when what decides for the source changed, when it is due, and when the last one had to
// leave absences to a second run.
func TestWhenARunIsFull(t *testing.T) {
	t.Run("the mapping changed", func(t *testing.T) {
		j := newJournal(4)
		c := newCompany(t, j).start()
		c.wants("full", "read 4, created 4")
		c.wants("incremental", "read 0")
		c.stop()
		c.config.Sources[0].Options.KeepOldNameAsAlias = true
		c.start()
		c.wants("full", "read 4, unchanged 4")
		c.wants("incremental", "read 0")
	})
	t.Run("due", func(t *testing.T) {
		j := newJournal(4)
		c := newCompany(t, j, func(s *pipeline.Source) { s.ReconcileEvery = time.Hour }).start()
		config := c.wants("full", "read 4, created 4").Config
		c.wants("incremental", "read 0")
		j.remove("p00001") // and nobody tells
		c.wants("incremental", "read 0")
		c.stop()
		c.config.Sources[0].ReconcileEvery = time.Millisecond
		c.start()
		if run := c.wants("full", "read 4, unchanged 3, deletions 1, deactivated 1"); run.Config != config {
			t.Error("the run is not full because it was due")
		}
	})
	t.Run("absences wait", func(t *testing.T) {
		j := newJournal(4)
		c := newCompany(t, j).start()
		c.wants("full", "read 4, created 4")
		j.remove("p00001")
		j.server = "another"
		c.wants("full", "read 3, unchanged 3", full)
		c.wants("full", "read 4, unchanged 3, deletions 1, deactivated 1")
		c.wants("incremental", "read 0")
	})
}

// A worker that dies in the middle of an incremental run loses nothing.
func TestAnIncrementalReadThatFailsIsReadAgain(t *testing.T) {
	j := newJournal(4)
	c := newCompany(t, j).start()
	c.wants("full", "read 4, created 4")
	j.tell("p00001", "phone", "1")
	j.tell("p00002", "phone", "2")
	broken := &cutAfter{journal: j, n: 1}
	c.stop()
	c.config.Sources[0].Reader = broken
	c.start()
	before := c.revision()
	if run := c.sync(); run.State != store.Failed || c.revision() != before {
		t.Fatalf("run is %s; revisions %d to %d", run.State, before, c.revision())
	}
	broken.n = 1000
	c.wants("incremental", "read 2, updated 2")
}

// cutAfter breaks incremental reads off after n records.
type cutAfter struct {
	*journal
	n int
}

func (b *cutAfter) Open(connectors.Env) (connectors.Connector, error) { return b, nil }

func (b *cutAfter) Read(ctx context.Context, since connectors.Checkpoint, emit func(connectors.Record) error) (connectors.Outcome, error) {
	n := 0
	o, err := b.journal.Read(ctx, since, func(r connectors.Record) error {
		if n++; since != nil && n > b.n {
			return errCut
		}
		return emit(r)
	})
	return o, err
}
