package pipeline_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/connectors/connectorstest"
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

// shellNATS stands in for the nats command in the README's lines: it answers with what a pipeline said.
const shellNATS = `#!/bin/sh
case "$1 $2" in
"req rollcall.api.users.snapshot") ;;
"object get") cp snapshot.ndjson users.ndjson ;;
"sub --raw") cat events.ndjson ;;
*) echo "unknown: $*" >&2; exit 1 ;;
esac
`

// The README's shell lines keep a CSV file in step: with who came, changed, went and returned since the snapshot.
func TestShellSubscriber(t *testing.T) {
	for _, tool := range []string{"sh", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			connectorstest.Missing(t, err)
		}
	}
	people := newRoster().people(5)
	c := newCompany(t, people).start()
	c.applied("read 5, created 5")
	c.settled()
	dir := t.TempDir()
	c.writeSnapshot(filepath.Join(dir, "snapshot.ndjson"))
	for _, change := range []func(){
		func() { people.person("quote", "cn", `Per "Q", Novák`); people.set("p00001", "uid", "renamed") },
		func() { people.remove("p00002", "p00003") },
		func() { people.person("p00003") },
	} {
		change()
		c.sync()
	}
	c.settled()
	c.writeEvents(filepath.Join(dir, "events.ndjson"), 5)
	if err := os.WriteFile(filepath.Join(dir, "nats"), []byte(shellNATS), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", shellLines(t))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file, err := os.Open(filepath.Join(dir, "users.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var want [][]string
	err = c.client.Users(t.Context(), pipeline.UserQuery{}, func(u store.User) error {
		want = append(want, []string{u.ID, u.Text[store.UserName], u.Text[store.FullName], u.Text[store.Email]})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rows, slices.Compare)
	slices.SortFunc(want, slices.Compare)
	if len(want) != 5 || !slices.EqualFunc(rows, want, slices.Equal) {
		t.Errorf("the file has\n%q\nwant\n%q", rows, want)
	}
}

// shellLines are the README's lines that keep a file in step.
func shellLines(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "$ nats req rollcall.api.users.snapshot")
	block, _, found := strings.Cut("$ nats req rollcall.api.users.snapshot"+block, "```")
	if !found {
		t.Fatal("the README has no such lines")
	}
	var lines []string
	for line := range strings.Lines(block) {
		if command, is := strings.CutPrefix(line, "$ "); is || strings.HasPrefix(line, "  ") {
			lines = append(lines, command)
		}
	}
	return strings.Join(lines, "")
}

// writeSnapshot writes all users as a new subscriber gets them.
func (c *company) writeSnapshot(path string) {
	c.t.Helper()
	var lines []byte
	c.withBus(func(bus *events.Bus) {
		reply, err := bus.Conn.Request("rollcall.api.users.snapshot", nil, 10*time.Second)
		if err != nil {
			c.t.Fatal(err)
		}
		var offer struct{ Bucket, Object string }
		if err := json.Unmarshal(reply.Data, &offer); err != nil {
			c.t.Fatal(err)
		}
		objects, err := bus.ObjectStore(context.Background(), offer.Bucket)
		if err == nil {
			lines, err = objects.GetBytes(context.Background(), offer.Object)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	})
	if err := os.WriteFile(path, lines, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// writeEvents writes the bodies of the events behind a revision, a line each.
func (c *company) writeEvents(path string, after uint64) {
	c.t.Helper()
	var lines []byte
	c.withBus(func(bus *events.Bus) {
		err := bus.ReadAll(context.Background(), events.UsersStream, "rollcall.users.>", func(msg jetstream.Msg) error {
			if events.RevisionOf(msg.Headers()) > after {
				lines = append(append(lines, msg.Data()...), '\n')
			}
			return nil
		})
		if err != nil {
			c.t.Fatal(err)
		}
	})
	if err := os.WriteFile(path, lines, 0o600); err != nil {
		c.t.Fatal(err)
	}
}
