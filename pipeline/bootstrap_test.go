package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

// mirror is a consumer that keeps its own copy of all users.
type mirror struct {
	mu        sync.Mutex
	users     map[string]string // id → name and phone
	members   map[string]int    // path → how many
	revision  uint64
	snapshots int
	events    int
	gate      chan struct{} // where it is set, every event waits for it
}

// start keeps the mirror in step until the returned function is called, which returns what ended it.
func (m *mirror) start(c *company, after uint64) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	bus := c.dialBus()
	go func() {
		defer bus.Close()
		done <- events.Bootstrap(ctx, bus.Conn, events.BootstrapOptions{After: after, Groups: m.group}, m.snapshot, m.event)
	}()
	return func() error { cancel(); return <-done }
}

func (m *mirror) snapshot(s *events.Snapshot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshots++
	m.users, m.members, m.revision = map[string]string{}, map[string]int{}, s.Revision
	return s.Each(func(line events.SnapshotLine) error {
		if line.User != nil {
			m.users[line.User.ID] = line.User.Text[store.UserName] + " " + line.User.Text[store.Phone]
		} else {
			m.members[line.Group.Path] = len(line.Members)
		}
		return nil
	})
}

func (m *mirror) event(e events.UserChanged) error {
	if m.gate != nil {
		<-m.gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.Revision <= m.revision {
		return fmt.Errorf("revision %d behind %d", e.Revision, m.revision)
	}
	m.users[e.User.ID] = e.User.Text[store.UserName] + " " + e.User.Text[store.Phone]
	m.revision, m.events = e.Revision, m.events+1
	return nil
}

func (m *mirror) group(e events.GroupChanged) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members[e.Group.Path] += len(e.Members.Added) - len(e.Members.Removed)
	m.revision = e.Revision
	return nil
}

// inStep waits until the mirror shows the store.
func (m *mirror) inStep(c *company) {
	c.t.Helper()
	want := map[string]string{}
	err := c.client.Users(context.Background(), pipeline.UserQuery{Inactive: true}, func(u store.User) error {
		want[u.ID] = u.Text[store.UserName] + " " + u.Text[store.Phone]
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.revision == c.revision() && maps.Equal(m.users, want)
	})
}

// A new consumer begins with all users as of a revision and goes on behind it; one that comes back needs no snapshot, unless events
// are missing or a reset tells it to begin anew.
func TestBootstrap(t *testing.T) {
	dir := newRoster().people(50)
	c := newCompany(t, dir).start()
	c.applied("read 50, created 50")
	c.settled()
	m := &mirror{}
	stop := m.start(c, 0)
	m.inStep(c)
	dir.set("p00007", "phone", "7")
	dir.person("new")
	c.applied("read 51, unchanged 49, created 1, updated 1")
	m.inStep(c)
	if m.snapshots != 1 || m.events != 2 {
		t.Errorf("%d snapshots and %d events, want 1 and 2", m.snapshots, m.events)
	}
	if err := stop(); err != context.Canceled {
		t.Error(err)
	}

	dir.set("p00008", "phone", "8")
	c.sync()
	c.settled()
	stop = m.start(c, m.revision)
	m.inStep(c)
	if m.snapshots != 1 || m.events != 3 {
		t.Errorf("back again: %d snapshots and %d events, want 1 and 3", m.snapshots, m.events)
	}
	_ = stop()

	dir.set("p00009", "phone", "9")
	c.sync()
	dir.set("p00010", "phone", "10")
	c.sync()
	c.settled()
	c.withBus(func(bus *events.Bus) { // the events that it missed are not kept any more, but the last one
		s, err := bus.JetStream.Stream(context.Background(), events.UsersStream)
		if err != nil {
			t.Fatal(err)
		}
		for n := s.CachedInfo().State.FirstSeq; n < s.CachedInfo().State.LastSeq; n++ {
			if err := s.DeleteMsg(context.Background(), n); err != nil {
				t.Fatal(err)
			}
		}
	})
	defer func() { c.trimmedEvents() }()
	stop = m.start(c, m.revision)
	m.inStep(c)
	if m.snapshots != 2 {
		t.Errorf("away too long: %d snapshots, want 2", m.snapshots)
	}
	_ = stop()
}

// trimmedEvents stops a pipeline whose events are not all in their stream, which is nothing to complain about.
func (c *company) trimmedEvents() {
	if err := c.node.Stop(); err != nil {
		c.t.Error(err)
	}
	c.node = nil
}

// A reset in the stream makes a consumer begin anew.
func TestBootstrapReset(t *testing.T) {
	dir := newRoster().people(5)
	c := newCompany(t, dir).start()
	c.applied("read 5, created 5")
	c.settled()
	m := &mirror{}
	stop := m.start(c, 0)
	m.inStep(c)
	c.withBus(func(bus *events.Bus) {
		message := events.RevisionMessage("another", store.Revision{Number: m.revision + 1, Subject: "users.reset.another", Body: []byte(`{"kind":"reset"}`)})
		if _, err := bus.PublishBatch(context.Background(), []events.Message{message}, nil); err != nil {
			t.Fatal(err)
		}
	})
	eventually(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.snapshots > 1 })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.trimmedEvents()
}

// A consumer that does not read holds nobody up, neither while it gets events nor while it reads a snapshot.
func TestBootstrapSlowConsumer(t *testing.T) {
	dir := newRoster().people(200)
	c := newCompany(t, dir).start()
	c.applied("read 200, created 200")
	c.settled()
	m := &mirror{gate: make(chan struct{})}
	stop := m.start(c, 0)
	eventually(t, func() bool { m.mu.Lock(); defer m.mu.Unlock(); return m.snapshots == 1 })
	for i := range 3 {
		for n := range 200 {
			dir.set(fmt.Sprintf("p%05d", n), "phone", fmt.Sprint(i))
		}
		begun := time.Now()
		c.applied("read 200, updated 200")
		c.settled()
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("a run took %s beside a consumer that does not read", took)
		}
	}
	close(m.gate)
	m.inStep(c)
	if m.events != 600 {
		t.Errorf("%d events, want 600", m.events)
	}
	_ = stop()
}
