package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/store"
)

// answerSnapshots answers as the service does, with the names of those who are users as of a revision.
func answerSnapshots(t *testing.T, bus *events.Bus, revision uint64, names ...string) (stop func()) {
	t.Helper()
	bucket, err := bus.JetStream.CreateOrUpdateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "test"})
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, name := range names {
		fmt.Fprintf(&lines, `{"user":{"id":"%s","revision":1,"user_name":"%s","active":true}}`+"\n", name, name)
	}
	s := events.Snapshot{Bucket: "test", Object: fmt.Sprintf("users-%d", revision), Revision: revision, Sequence: 1, Users: len(names)}
	if _, err := bucket.PutString(t.Context(), s.Object, lines.String()); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := bus.Conn.Subscribe(events.SnapshotRequest, func(msg *nats.Msg) { _ = msg.Respond(data) })
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = sub.Unsubscribe() }
}

func publishUser(t *testing.T, bus *events.Bus, revision uint64, name string, active bool) {
	t.Helper()
	body := fmt.Appendf(nil, `{"revision":%d,"kind":"updated","user":{"id":"%s","revision":%d,"user_name":"%s","active":%t}}`, revision, name, revision, name, active)
	message := events.RevisionMessage("store", store.Revision{Number: revision, Subject: "users.updated." + name, Body: body})
	if _, err := bus.PublishBatch(t.Context(), []events.Message{message}, nil); err != nil {
		t.Fatal(err)
	}
}

// The example keeps its file in step: with the snapshot, with every event behind it, and with a new snapshot when one is missing.
func TestExampleKeepsCSV(t *testing.T) {
	bus := openBus(t)
	publishUser(t, bus, 1, "old", false) // the snapshot knows it already
	publishUser(t, bus, 2, "alice", true)
	stop := answerSnapshots(t, bus, 2, "alice", "bob")
	path := filepath.Join(t.TempDir(), "users.csv")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- keepCSV(ctx, bus.Conn, path) }()
	shows := func(want string) {
		t.Helper()
		var got []byte
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if got, _ = os.ReadFile(path); string(got) == want {
				return
			}
		}
		t.Fatalf("the file shows %q, want %q", got, want)
	}
	shows("alice,,\nbob,,\n")
	publishUser(t, bus, 3, "carol", true)
	publishUser(t, bus, 4, "bob", false)
	shows("alice,,\ncarol,,\n")
	stop()
	defer answerSnapshots(t, bus, 9, "zoe")()
	publishUser(t, bus, 8, "nobody", true) // 5 to 7 are missing
	shows("zoe,,\n")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A snapshot that breaks off is none.
func TestSnapshotIsWhole(t *testing.T) {
	bus := openBus(t)
	defer answerSnapshots(t, bus, 2, "alice", "bob")()
	bucket, err := bus.JetStream.ObjectStore(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.PutString(t.Context(), "users-2", `{"user":{"id":"alice","revision":1,"user_name":"alice","active":true}}`+"\n"); err != nil {
		t.Fatal(err)
	}
	err = events.Bootstrap(t.Context(), bus.Conn, events.BootstrapOptions{}, func(s *events.Snapshot) error {
		return s.Each(func(events.SnapshotLine) error { return nil })
	}, func(events.UserChanged) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "1 lines, not 2") {
		t.Errorf("a snapshot of one line in place of two: %v", err)
	}
}
