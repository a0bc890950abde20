package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// rebuild builds a store beside the running pipeline and returns what came of it, with the differences in words.
func (c *company) rebuild(path string) (done pipeline.Rebuilt, said []string, err error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.alive, 3*time.Minute)
	defer cancel()
	done, err = c.client.Rebuild(ctx, c.config, pipeline.RebuildOptions{Into: path, Log: zerolog.Nop(), Difference: func(d pipeline.Difference) error {
		said = append(said, fmt.Sprintf("%s %s %s: %s, %s", d.Kind, d.Name, d.Property, d.Live, d.Rebuilt))
		return nil
	}})
	return done, said, err
}

// equals fails the test unless a rebuild gives the live store, and writes to no stream.
func (c *company) equals() {
	c.t.Helper()
	c.settled()
	before, path := c.streams(), filepath.Join(c.t.TempDir(), "rebuilt.db")
	done, said, err := c.rebuild(path)
	if err != nil || !done.Equal || done.Revision != c.revision() {
		c.t.Errorf("rebuilt: %+v, %v %v", done, said, err)
		return
	}
	if after := c.streams(); fmt.Sprint(after) != fmt.Sprint(before) {
		c.t.Errorf("a rebuild left messages: %v, before %v", after, before)
	}
	db, err := store.Open(path, store.Options{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer db.Close()
	if err := db.Check(); err != nil {
		c.t.Error(err)
	}
}

// Whatever happened, in whatever order, the log gives the same store again.
func TestRebuildRandomHistories(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := newRoster().people(30)
			c := newCompany(t, dir, func(s *pipeline.Source) {
				s.Mapping.Properties["pins"] = mapping.Rule{From: []string{"pin"}}
				s.Mapping.Groups = []mapping.GroupRule{{By: "template", Value: "Units|%unit%", MakeDefault: true}}
				s.Options.PINs = policy.PINRules{MinimumLength: 4, Generate: true}
			})
			c.start()
			chance := rand.New(rand.NewPCG(seed, 5))
			for range 25 {
				c.anything(dir, chance)
			}
			c.equals()
		})
	}
}

// anything does what may happen to a company.
func (c *company) anything(dir *roster, chance *rand.Rand) {
	c.t.Helper()
	key := fmt.Sprintf("p%05d", chance.IntN(35))
	if dir.entries[key] == nil {
		dir.person(key)
	}
	edit := pipeline.Edit{User: key, Actor: "somebody", Reason: "because"}
	ctx := context.Background()
	var err error
	switch chance.IntN(12) {
	case 0:
		dir.set(key, "phone", fmt.Sprint(chance.IntN(9)))
	case 1:
		dir.remove(key)
	case 2:
		dir.set(key, "unit", fmt.Sprint(chance.IntN(4)))
	case 3:
		dir.set(key, "pin", fmt.Sprint(1000+chance.IntN(9000)))
	case 4:
		dir.set(key, "uid", fmt.Sprintf("p%05d", chance.IntN(35))) // which somebody else may have
	case 5:
		edit.Set = map[string]string{"phone": "by hand", "aliases": key + "-a"}
		_, err = c.client.SetUser(ctx, edit)
	case 6:
		_, err = c.client.DeactivateUser(ctx, edit)
	case 7:
		_, err = c.client.GeneratePIN(ctx, edit)
	case 8:
		_, err = c.client.AnonymizeUser(ctx, edit)
	case 9:
		c.replay(pipeline.ReplayOptions{Apply: true})
		return
	case 10:
		c.decideHeld(chance.IntN(2) == 0)
		return
	case 11:
		c.sync(pipeline.SyncOptions{DryRun: true})
		return
	}
	if err != nil && !errors.Is(err, pipeline.ErrNotFound) && !errors.Is(err, pipeline.ErrRefused) {
		c.t.Fatal(err)
	}
	c.sync()
}

// decideHeld has a run held, and approves or rejects it.
func (c *company) decideHeld(approve bool) {
	c.t.Helper()
	run := c.sync(pipeline.SyncOptions{RequireApproval: true})
	if run.State != store.Held {
		c.t.Fatalf("run is %s: %s", run.State, run.Reason)
	}
	decide := c.client.Reject
	if approve {
		decide = c.client.Approve
	}
	if _, err := decide(context.Background(), "people", run.Plan, "somebody"); err != nil {
		c.t.Fatal(err)
	}
}

// What somebody wrote into the store past the log comes out, property by property.
func TestRebuildDifferences(t *testing.T) {
	dir := newRoster().people(4)
	c := newCompany(t, dir).start()
	c.applied("read 4, created 4")
	id := c.user("p00002").ID
	c.settled()
	c.stop()
	db, err := store.Open(filepath.Join(c.config.DataDir, "store.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(db.Update(func(tx *store.Tx) error {
		u, err := tx.User(id)
		if err == nil {
			u.Text[store.Phone] = "999"
			err = tx.PutUser(u)
		}
		return err
	}), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	c.start()
	done, said, err := c.rebuild(filepath.Join(t.TempDir(), "rebuilt.db"))
	if err != nil || done.Equal || fmt.Sprint(said) != "[user p00002 phone: 999, ]" {
		t.Errorf("rebuilt: %+v, %q %v", done, said, err)
	}
}

// Of a log that lost its beginning the oldest snapshot is where a rebuild begins; without one, or without the changes, it is refused.
func TestRebuildTrimmed(t *testing.T) {
	ctx := context.Background()
	dir := newRoster().people(4)
	c := newCompany(t, dir).start()
	c.applied("read 4, created 4")
	snapshot, err := c.client.TakeSnapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir.set("p00001", "phone", "1")
	last := c.applied("read 4, unchanged 3, updated 1")
	c.trim(events.LogStream, jetstream.WithPurgeSequence(snapshot.LogEnd+1))
	path := filepath.Join(t.TempDir(), "rebuilt.db")
	done, said, err := c.rebuild(path)
	if err != nil || !done.Equal || done.From != snapshot.LogEnd {
		t.Errorf("behind the snapshot: %+v, %q %v", done, said, err)
	}
	if _, _, err := c.rebuild(path); !errors.Is(err, store.ErrExists) {
		t.Errorf("over a file that is there: %v", err)
	}
	c.trim(events.ChangesStream, jetstream.WithPurgeSubject(events.ChangesSubject("people", last.Number)))
	if _, _, err := c.rebuild(filepath.Join(t.TempDir(), "rebuilt.db")); !errors.Is(err, pipeline.ErrHistoryTrimmed) {
		t.Errorf("without changes: %v", err)
	}
	c.trim(events.LogStream, jetstream.WithPurgeSequence(last.Number+1))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c.withBus(func(bus *events.Bus) {
		if err := bus.JetStream.DeleteObjectStore(ctx, events.SnapshotsBucket); err != nil {
			t.Fatal(err)
		}
	})
	if _, _, err := c.rebuild(path); !errors.Is(err, pipeline.ErrHistoryTrimmed) {
		t.Errorf("without a snapshot: %v", err)
	}
}

// A run whose changes were lost when it was to be planned stays failed for whoever reads the log again, also when he has them.
func TestRebuildLostChanges(t *testing.T) {
	dir := newRoster().people(4)
	c := newCompany(t, dir).start()
	c.applied("read 4, created 4")
	c.withBus(func(bus *events.Bus) {
		body := `{"run":%d,"at":%d,"reason":"1 of its 1 changes are not in the stream any more"}`
		run := c.sync(pipeline.SyncOptions{DryRun: true, Full: true}).Number
		if _, err := bus.Publish(context.Background(), events.LogSubject("people", "failed"), "", fmt.Appendf(nil, body, run, run+1)); err != nil {
			t.Fatal(err)
		}
	})
	c.settled()
	done, said, err := c.rebuild(filepath.Join(t.TempDir(), "rebuilt.db"))
	if err != nil || done.Equal {
		t.Fatalf("rebuilt: %+v %v", done, err)
	}
	if !slices.Contains(said, "run  state: planned, failed") {
		t.Errorf("differences: %q", said)
	}
}

func (c *company) trim(stream string, o jetstream.StreamPurgeOpt) {
	c.t.Helper()
	c.withBus(func(bus *events.Bus) {
		s, err := bus.JetStream.Stream(context.Background(), stream)
		if err == nil {
			err = s.Purge(context.Background(), o)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	})
}
