package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// A retirement and a renaming that are interrupted between two transactions go on when the command is read again, and leave
// the store of one that was not.
func TestInterruptedSourceCommandsGoOn(t *testing.T) {
	retired := policy.Retirement{Source: "hr", Deactivate: true}
	for name, c := range map[string]struct {
		run  func(*reconciler, context.Context, logMessage) error
		body func(hash string) any
	}{
		"retire": {(*reconciler).retire, func(hash string) any { return retirement{Retirement: retired, Plan: hash} }},
		"rename": {(*reconciler).rename, func(string) any { return renaming{From: "hr", To: "staff"} }},
	} {
		t.Run(name, func(t *testing.T) {
			whole, cut := newReconciler(t), newReconciler(t)
			var plan RetirePlan
			err := whole.db.View(func(tx *store.Tx) (err error) { plan, err = planRetirement(tx, time.Time{}, retired); return err })
			if err != nil {
				t.Fatal(err)
			}
			m := commandMessage(t, c.body(plan.Plan))
			if err := c.run(whole, t.Context(), m); err != nil {
				t.Fatal(err)
			}
			for steps := range 2 { // before the first batch, then after it
				if err := c.run(cut, &steppedContext{t.Context(), steps}, m); !errors.Is(err, context.Canceled) {
					t.Fatalf("interrupted after %d steps: %v", steps, err)
				}
			}
			if err := c.run(cut, t.Context(), m); err != nil {
				t.Fatal(err)
			}
			compareStores(t, whole.db, cut.db)
		})
	}
}

// steppedContext is done after it was asked so many times.
type steppedContext struct {
	context.Context
	left int
}

func (c *steppedContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// commandMessage is a command as it would be read from LOG.
func commandMessage(t *testing.T, body any) logMessage {
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return logMessage{sequence: 7, time: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), data: data, position: store.Position{Sequence: 7}}
}

// newReconciler is one over a store with 2,500 users of the source hr, an administrator among them.
func newReconciler(t *testing.T) *reconciler {
	dir := t.TempDir()
	b, err := broker.Start(broker.Options{Dir: filepath.Join(dir, "nats"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	bus, err := events.Connect(b.URL(), func(err error) { t.Error(err) }, b.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	if err := bus.EnsureStreams(t.Context(), events.StreamOptions{Replicas: 1, Keep: time.Hour}); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(filepath.Join(dir, "store.db"), store.Options{NoSync: true, ID: "5f6f5b7e-0f4f-4c2e-9a52-3f0e0a1d2c3b"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(db.Check(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	r := &reconciler{bus: bus, db: db, config: &Config{}, log: zerolog.Nop(), traces: &traceBook{}, leads: func() bool { return true }, committed: func() {}}
	if err := db.Update(fillWithHR); err != nil {
		t.Fatal(err)
	}
	return r
}

func fillWithHR(tx *store.Tx) error {
	for i := range 2500 {
		key := fmt.Sprintf("key-%d", i)
		u := &store.User{ID: fmt.Sprintf("id-%04d", i), Active: true, Owner: "hr", Label: "hr", Administrator: i == 77,
			Origins: []store.OriginRef{{Source: "hr", Key: store.KeyOf(key)}}}
		u.Text[store.UserName] = fmt.Sprintf("user%d", i)
		u.List[store.Cards.List()] = []store.Value{{V: fmt.Sprintf("%08d", i), Origins: []string{"hr"}}}
		if err := tx.PutUser(u); err != nil {
			return err
		}
		if err := tx.PutOrigin("hr", &store.Origin{Key: key, Entry: "uid=" + key, User: u.ID, Verdict: "created"}); err != nil {
			return err
		}
	}
	return tx.PutSource(&store.Source{Name: "hr", Applied: 3})
}

func compareStores(t *testing.T, a, b *store.DB) {
	t.Helper()
	one, err := a.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if other, err := b.Digest(); err != nil || one != other {
		t.Errorf("the stores differ: %x and %x (%v)", one, other, err)
	}
}

// Two schedulers ask for the same due time, the second one when the first one's run is over: one run. The next time is another one.
func TestOneRunPerDueTime(t *testing.T) {
	r := newReconciler(t)
	due := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for i, wanted := range []struct {
		due  time.Time
		jobs uint64
	}{{due, 1}, {due, 0}, {due.Add(time.Minute), 1}} {
		(&scheduler{bus: r.bus, db: r.db, config: r.config, log: zerolog.Nop()}).ask(t.Context(), "hr", wanted.due)
		stream, err := r.bus.Stream(t.Context(), events.JobsStream)
		if err != nil {
			t.Fatal(err)
		}
		if got := stream.CachedInfo().State.Msgs; got != wanted.jobs {
			t.Errorf("%d: %d jobs, want %d", i, got, wanted.jobs)
		}
		if err := stream.Purge(t.Context()); err != nil { // a worker took it and is done
			t.Fatal(err)
		}
	}
}

// A message that is gone from the middle of the log is no reason for a standby to go on without it, and is one to say so for a leader.
func TestGapInTheLog(t *testing.T) {
	r := newReconciler(t)
	var leads atomic.Bool
	r.leads = leads.Load
	r.committed = func() {}
	for i := range 3 {
		if _, err := appendLog(t.Context(), r.bus, events.LogSubject("hr", logAborted), fmt.Sprint(i), aborted{Run: 1}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := r.bus.JetStream.Stream(t.Context(), events.LogStream)
	if err == nil {
		err = stream.DeleteMsg(t.Context(), 2)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	awaitPosition(t, r.db, 1)
	time.Sleep(100 * time.Millisecond)
	awaitPosition(t, r.db, 1)
	leads.Store(true)
	awaitPosition(t, r.db, 3)
}

// The end of the log is not moved over messages that came after it was asked where it is.
func TestEndIsNotMovedOverNews(t *testing.T) {
	r := newReconciler(t)
	say := func(id string) {
		t.Helper()
		if _, err := appendLog(t.Context(), r.bus, events.LogSubject("hr", logAborted), id, aborted{Run: 1}); err != nil {
			t.Fatal(err)
		}
	}
	say("1")
	stream, err := r.bus.Stream(t.Context(), events.LogStream)
	if err != nil {
		t.Fatal(err)
	}
	old := stream.CachedInfo()
	state := func() jetstream.StreamState {
		t.Helper()
		s, err := r.bus.Stream(t.Context(), events.LogStream)
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State
	}
	say("2")
	beyond := store.Position{Sequence: 5, Created: old.Created}
	if err := r.reanchor(t.Context(), stream, old, beyond, "it seems to end at 1"); !errors.Is(err, events.ErrMoved) {
		t.Errorf("the end was moved: %v, want ErrMoved", err)
	}
	if s := state(); s.FirstSeq != 1 || s.LastSeq != 2 {
		t.Errorf("the log has %d to %d, want 1 to 2", s.FirstSeq, s.LastSeq)
	}
	if err := r.anchor(t.Context()); err != nil { // the store has heard nothing of it
		t.Error(err)
	}
	if err := r.moveEnd(t.Context(), stream, 2, 5); err != nil {
		t.Error(err)
	}
	if s := state(); s.FirstSeq != 6 || s.LastSeq != 5 {
		t.Errorf("the log has %d to %d, want none and the next one to be 6", s.FirstSeq, s.LastSeq)
	}
}

func awaitPosition(t *testing.T, db *store.DB, want uint64) {
	t.Helper()
	var got uint64
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err := db.View(func(tx *store.Tx) error { got = tx.LogPosition().Sequence; return nil }); err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
	}
	t.Fatalf("the store is at message %d of the log, want %d", got, want)
}
