package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// company is a pipeline over one data directory that a test starts, stops and looks into.
type company struct {
	t      *testing.T
	config pipeline.Config
	node   *pipeline.Node
	client *pipeline.Client
	alive  context.Context // done with the reason when a stage fails
	logged io.Writer       // where everything is logged, nil for the test's own log and what is worth a warning
}

// newCompany prepares a pipeline with a source named "people" that reads the given configuration.
func newCompany(t *testing.T, reader connectors.Config, change ...func(*pipeline.Source)) *company {
	t.Helper()
	source := pipeline.Source{Name: "people", Enabled: true, Reader: reader, Mapping: rosterMapping(), Options: rosterOptions("people")}
	for _, fn := range change {
		fn(&source)
	}
	c := &company{t: t, config: pipeline.Config{DataDir: t.TempDir(), EventsKeep: 24 * time.Hour, JobLease: 2 * time.Second, Sources: []pipeline.Source{source}}}
	t.Cleanup(c.stop)
	return c
}

func rosterMapping() mapping.Config {
	from := func(name string) mapping.Rule { return mapping.Rule{From: []string{name}} }
	return mapping.Config{Properties: map[string]mapping.Rule{
		"user_name": from("uid"), "full_name": from("cn"), "email": from("mail"), "phone": from("phone"),
		"cards": from("card"), "personal_number": from("number"),
	}}
}

func rosterOptions(source string) policy.Options {
	return policy.Options{Source: source, Label: source, AddNewUsers: true, DeactivateMissingUsers: true, AbsentFor: 1, Ownership: "take",
		PairByObjectID: true, AdoptLocalUsers: true, DisabledAccounts: "deactivate", MultipleCards: true, Guard: policy.DefaultGuard(), EventCards: "masked"}
}

// start starts the pipeline.
func (c *company) start() *company {
	c.t.Helper()
	log := zerolog.New(zerolog.NewTestWriter(c.t)).Level(zerolog.WarnLevel)
	if c.logged != nil {
		log = zerolog.New(c.logged)
	}
	node, err := pipeline.Start(context.Background(), c.config, log)
	if err != nil {
		c.t.Fatal(err)
	}
	c.node, c.client = node, node.Client()
	alive, die := context.WithCancelCause(context.Background())
	c.alive = alive
	go func() { die(node.Wait()) }()
	return c
}

// stop stops the pipeline, if it runs, and checks what it left behind: every invariant of the store, and every revision
// exactly one event.
func (c *company) stop() {
	if c.node == nil {
		return
	}
	if err := c.node.Stop(); err != nil {
		c.t.Error("stop: ", err)
	}
	c.node = nil
	c.check()
}

// sync runs the source and returns the result.
func (c *company) sync(o ...pipeline.SyncOptions) store.Run {
	c.t.Helper()
	o = append(o, pipeline.SyncOptions{})
	ctx, cancel := context.WithTimeout(c.alive, 3*time.Minute)
	defer cancel()
	job, err := c.client.Sync(ctx, "people", o[0])
	if err != nil {
		c.t.Fatal(err)
	}
	run, err := c.client.Follow(ctx, "people", job, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return run
}

// applied runs the source and fails the test unless the run was applied with these counters.
func (c *company) applied(want string) store.Run {
	c.t.Helper()
	run := c.sync()
	if got := counters(run); run.State != store.Applied || got != want {
		c.t.Fatalf("run is %s (%s): %s; want applied: %s\n%v", run.State, run.Reason, got, want, run.Messages)
	}
	return run
}

// counters is a run in one line, without what is zero.
func counters(r store.Run) string {
	text := fmt.Sprintf("read %d", r.Read)
	for _, c := range []struct {
		name string
		n    int
	}{{"unchanged", r.Unchanged}, {"created", r.Created}, {"updated", r.Updated}, {"reactivated", r.Reactivated}, {"merged", r.Merged},
		{"ignored", r.Ignored}, {"disabled", r.Disabled}, {"conflicts", r.Conflicts}, {"rejected", r.Rejected}, {"deletions", r.Deletions},
		{"deactivated", r.Deactivated}} {
		if c.n != 0 {
			text += fmt.Sprintf(", %s %d", c.name, c.n)
		}
	}
	return text
}

// user returns a user by name.
func (c *company) user(name string) store.User {
	c.t.Helper()
	u, err := c.client.User(context.Background(), name)
	if err != nil {
		c.t.Fatal(err)
	}
	return u
}

// users returns the public JSON of all users by user name, without ids and revisions.
func (c *company) users(q ...pipeline.UserQuery) map[string]string {
	c.t.Helper()
	return usersOf(c.t, c.client, append(q, pipeline.UserQuery{Inactive: true})[0])
}

func usersOf(t testing.TB, client *pipeline.Client, q pipeline.UserQuery) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := client.Users(context.Background(), q, func(u store.User) error {
		name := u.Text[store.UserName]
		u.ID, u.Revision = "", 0
		body, err := json.Marshal(u)
		all[name] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// events returns the events after a revision as "kind user_name".
func (c *company) events(after uint64) []string {
	c.t.Helper()
	var all []string
	err := c.client.Events(context.Background(), pipeline.EventOptions{After: after}, func(e events.UserChanged) error {
		all = append(all, e.Kind+" "+e.User.Text[store.UserName])
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// revision returns the store's last revision.
func (c *company) revision() uint64 {
	c.t.Helper()
	status, err := c.client.Status(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return status.Revision
}

// settled waits until all revisions are relayed.
func (c *company) settled() {
	c.t.Helper()
	eventually(c.t, func() bool {
		status, err := c.client.Status(context.Background())
		return err == nil && status.Log == status.LogEnd && status.Relayed == status.Revision
	})
}

// streams returns the last sequence of every stream.
func (c *company) streams() map[string]uint64 {
	c.t.Helper()
	last := map[string]uint64{}
	c.withBus(func(bus *events.Bus) {
		for _, name := range []string{events.RawStream, events.ChangesStream, events.UsersStream, events.DeadStream} {
			s, err := bus.JetStream.Stream(context.Background(), name)
			if err != nil {
				c.t.Fatal(err)
			}
			last[name] = s.CachedInfo().State.LastSeq
		}
	})
	return last
}

// withBus calls fn with a connection of its own to the running pipeline's broker.
func (c *company) withBus(fn func(*events.Bus)) {
	c.t.Helper()
	bus := c.dialBus()
	defer bus.Close()
	fn(bus)
}

func (c *company) dialBus() *events.Bus {
	c.t.Helper()
	b, err := broker.Dial(filepath.Join(c.config.DataDir, "nats"))
	if err != nil {
		c.t.Fatal(err)
	}
	bus, err := events.Connect(c.node.URL(), func(err error) { c.t.Error(err) }, b...)
	if err != nil {
		c.t.Fatal(err)
	}
	return bus
}

// check looks into a stopped pipeline's directory.
func (c *company) check() {
	c.t.Helper()
	db, err := store.Open(filepath.Join(c.config.DataDir, "store.db"), store.Options{})
	if err != nil {
		c.t.Error(err)
		return
	}
	defer db.Close()
	if err := db.Check(); err != nil {
		c.t.Error("store: ", err)
	}
	c.checkEvents(db)
}

// checkEvents compares the stream of events with the store: each revision once, in order, chained, and the last event of
// every user shows him as the store has him.
func (c *company) checkEvents(db *store.DB) {
	c.t.Helper()
	b, err := broker.Start(broker.Options{Dir: filepath.Join(c.config.DataDir, "nats"), Log: zerolog.Nop()})
	if err != nil {
		c.t.Error(err)
		return
	}
	defer b.Stop()
	bus, err := events.Connect(b.URL(), func(err error) { c.t.Error(err) }, b.Options()...)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer bus.Close()
	var published []uint64
	latest, groups := map[string]events.UserChanged{}, groupBook{}
	err = bus.ReadAll(context.Background(), events.UsersStream, ">", func(msg jetstream.Msg) error {
		if strings.HasPrefix(msg.Subject(), "rollcall.groups.") {
			e, err := events.ParseGroupChanged(msg.Headers(), msg.Data())
			published = append(published, e.Revision)
			groups.hear(c.t, e)
			return err
		}
		e, err := events.ParseUserChanged(msg.Headers(), msg.Data())
		published = append(published, e.Revision)
		latest[e.User.ID] = e
		return err
	})
	if err != nil {
		c.t.Error(err)
	}
	err = db.View(func(tx *store.Tx) error {
		head, _ := tx.Head()
		var waiting int
		if rest, err := tx.Revisions(0, 1<<20); err == nil {
			waiting = len(rest)
		}
		// A relay that was stopped may have published what it had not noted as published.
		last := min(max(uint64(len(published)), head-uint64(waiting)), head)
		want := make([]uint64, 0, head)
		for n := uint64(1); n <= last; n++ {
			want = append(want, n)
		}
		if !slices.Equal(published, want) {
			c.t.Errorf("events carry revisions %s, the store says 1 to %d, of which %d may be missing", abridged(published), head, waiting)
		}
		return tx.Users("", func(u *store.User) error {
			if e := latest[u.ID]; last == head && e.Revision != u.Revision {
				c.t.Errorf("user %s is at revision %d, his last event says %d", u.Text[store.UserName], u.Revision, e.Revision)
			}
			return nil
		})
	})
	if err != nil {
		c.t.Error(err)
	}
	groups.compare(c.t, db)
}

func abridged(numbers []uint64) string {
	if len(numbers) > 20 {
		return fmt.Sprintf("%v … (%d)", numbers[:20], len(numbers))
	}
	return fmt.Sprint(numbers)
}

// rebuilt fails the test unless the log, read into an empty store with the same id, gives the same store.
func (c *company) rebuilt() {
	c.t.Helper()
	c.settled()
	c.stop()
	path := filepath.Join(c.config.DataDir, "store.db")
	before, id := digestOf(c.t, path)
	if err := os.Rename(path, path+".before"); err != nil {
		c.t.Fatal(err)
	}
	db, err := store.Open(path, store.Options{ID: id})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.start()
	eventually(c.t, func() bool {
		status, err := c.client.Status(context.Background())
		return err == nil && status.Log == status.LogEnd
	})
	if err := c.node.Stop(); err != nil {
		c.t.Error(err)
	}
	c.node = nil
	if after, _ := digestOf(c.t, path); after != before {
		c.t.Errorf("the same log gave another store: digest %x, want %x", after, before)
	}
}

func digestOf(t *testing.T, path string) (store.Digest, string) {
	t.Helper()
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	digest, err := db.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest, db.ID()
}
