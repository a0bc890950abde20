package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/pipeline"
	"rollcall/store"
)

// takeoverLimit is how long a takeover may take where other tests want the processor too. Ten seconds are promised, and measured by
// BenchmarkTakeover on a machine at rest.
const takeoverLimit = 30 * time.Second

// The leader is killed while it applies a run: a standby takes over and finishes the run, no event is lost or
// told twice, and the one that was killed comes back as a standby with the same store. Then the leader is stopped
// without a word and wakes up again: it answers nobody and writes nothing.
func TestTakeover(t *testing.T) {
	const people = 5000
	dir := newRoster().people(people)
	a, b := t.TempDir(), t.TempDir()
	k := startCrew(t, dir, a, b)
	run, took := k.killedWhileApplying()
	if run.Created != people {
		t.Fatalf("run is %s (%s), %s", run.State, run.Reason, counters(run))
	}
	t.Logf("the run was applied %s after the leader's death", took.Round(time.Millisecond))
	if took > takeoverLimit {
		t.Errorf("the standby took over and finished after %s, want %s", took, takeoverLimit)
	}
	k.standsBy()
	if got, want := k.users(), undisturbed(t, dir); !maps.Equal(got, want) {
		t.Errorf("%d users, %d in an undisturbed pipeline", len(got), len(want))
	}

	paused := k.leader()
	k.signal(paused, syscall.SIGSTOP)
	stopped := time.Now()
	dir.set("p00001", "phone", "+420 1")
	eventually(t, func() bool { l := k.leader(); return l != "" && l != paused })
	if took := time.Since(stopped); took > takeoverLimit {
		t.Errorf("the standby took over after %s, want %s", took, takeoverLimit)
	}
	if run := k.sync(nil); run.State != store.Applied || run.Updated != 1 {
		t.Errorf("run is %s (%s), %s", run.State, run.Reason, counters(run))
	}
	s, err := k.status()
	if err != nil {
		t.Fatal(err)
	}
	k.signal(paused, syscall.SIGCONT)
	for range 50 {
		now, err := k.status()
		if err != nil || now.Revision < s.Revision || now.Log < s.Log {
			t.Errorf("behind the wake-up the answer is revision %d, log %d (%v), want %d, %d", now.Revision, now.Log, err, s.Revision, s.Log)
		}
	}
	dir.set("p00002", "phone", "+420 2")
	if run := k.sync(nil); run.State != store.Applied || run.Updated != 1 {
		t.Errorf("run is %s (%s), %s", run.State, run.Reason, counters(run))
	}
	k.standsBy()
	if k.leader() == paused {
		t.Error("the one that was stopped leads again")
	}
	one, head := k.end(a)
	if other, _ := k.end(b); one != other {
		t.Errorf("the same log gave two stores: %x and %x", one, other)
	}
	k.told(head)
}

// A standby that was away until the log had been trimmed behind its store does not go on with what it finds there: it waits, begins
// from the first snapshot that leads on, and ends with the leader's store.
func TestStandbyBehindTheLog(t *testing.T) {
	dir := newRoster().people(20)
	a, b := t.TempDir(), t.TempDir()
	k := startCrew(t, dir, a, b)
	k.settle()
	k.standsBy()
	away := b
	if k.leader() == b {
		away = a
	}
	k.kill(away)
	eventually(t, func() bool { s, err := k.status(); return err == nil && len(s.Reconcilers) == 1 })
	before, err := k.status()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		dir.set("p00001", "phone", fmt.Sprintf("+420 %d", i))
		k.settle()
	}
	k.standsBy()
	now, err := k.status()
	if err != nil {
		t.Fatal(err)
	}
	k.trimLog(now.LogEnd)
	bucket, err := k.bus().EnsureSnapshots(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.PutString(t.Context(), "notes", "no snapshot of a store"); err != nil {
		t.Fatal(err)
	}
	k.reconciler(away)
	eventually(t, func() bool { s, err := k.status(); return err == nil && len(s.Reconcilers) == 2 })
	time.Sleep(time.Second)
	s, err := k.status()
	if err != nil || len(s.Reconcilers) != 2 || s.Reconcilers[1].Log != before.Log || s.Reconcilers[1].Revision != before.Revision {
		t.Fatalf("with no snapshot the reconcilers are %+v (%v), want the standby at message %d and revision %d", s.Reconcilers, err, before.Log, before.Revision)
	}
	if _, err := k.client.TakeSnapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir.set("p00002", "phone", "+420 2")
	k.settle()
	k.standsBy()
	one, _ := k.end(away)
	k.standsBy()
	if other, _ := k.end(k.leader()); one != other {
		t.Errorf("the standby's store is %x, the leader's %x", one, other)
	}
	if kept, err := filepath.Glob(filepath.Join(away, "store.db.*")); err != nil || len(kept) != 1 || filepath.Base(kept[0]) != "store.db.behind" {
		t.Errorf("beside the standby's store lie %q (%v), want the one that was behind, under a name that the next one takes", kept, err)
	}
}

// A server of the cluster is lost in the middle of a run and comes back, leaders of streams move in the middle of others: what is
// applied in the end is what the directory says. Then a reconciler without a store begins from a snapshot and the log
// behind it, and leads when all others are gone.
func TestClusterFaults(t *testing.T) {
	dir := newRoster().people(400)
	a, b, fresh := t.TempDir(), t.TempDir(), t.TempDir()
	k := startCrew(t, dir, a, b)
	k.settle()

	lost := k.leaderOf(events.LogStream)
	var back sync.WaitGroup
	dir.set("p00001", "phone", "+420 1")
	dir.during = func(n int, _ string) error {
		if n == 200 {
			dir.during = nil
			k.stopNode(lost)
			back.Go(func() { time.Sleep(2 * time.Second); k.startNode(lost) })
		}
		return nil
	}
	k.settle()
	back.Wait()
	k.awaitAgreement()

	bus := k.bus()
	for i, stream := range []string{events.LogStream, events.RawStream, events.ChangesStream, events.UsersStream} {
		dir.set("p00001", "phone", fmt.Sprintf("+420 1%d", i))
		dir.during = func(n int, _ string) error {
			if n == 200 {
				dir.during = nil
				if _, err := bus.Conn.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 20*time.Second); err != nil {
					t.Error(err)
				}
			}
			return nil
		}
		k.settle()
	}

	snapshot, err := k.client.TakeSnapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir.set("p00002", "phone", "+420 2")
	k.settle()
	k.standsBy() // one that is behind would begin from the snapshot as well
	k.trimLog(snapshot.LogEnd + 1)
	k.reconciler(fresh)
	k.standsBy()
	want := k.users()
	if calm := undisturbed(t, dir); !maps.Equal(want, calm) {
		t.Errorf("%d users, %d in an undisturbed pipeline", len(want), len(calm))
	}
	for _, gone := range []string{a, b} {
		k.kill(gone)
	}
	eventually(t, func() bool { return k.leader() == fresh })
	if got := k.users(); !maps.Equal(got, want) {
		t.Errorf("%d users after the snapshot and the log behind it, want %d", len(got), len(want))
	}
	dir.set("p00003", "phone", "+420 3")
	k.settle()
	k.standsBy()
	_, head := k.end(fresh)
	k.told(head)
}

// A reconciler that could only go another way than the others is refused: one with another key of the PINs, or with the store of
// another pipeline. One with the right key and no store gets the first one's id.
func TestStandbyRefused(t *testing.T) {
	url := startBroker(t)
	start := func(dir, key string) (*pipeline.Node, error) {
		c := crewConfig(url, dir, key, newRoster(), pipeline.RoleReconciler)
		c.NATS.Replicas = 1
		return pipeline.Start(t.Context(), c, zerolog.Nop())
	}
	key, first := writePINKey(t), t.TempDir()
	leader, err := start(first, key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := leader.Stop(); err != nil {
			t.Error(err)
		}
	}()
	status, err := leader.Client().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if _, err := start(t.TempDir(), ""); !errors.Is(err, pipeline.ErrPINKey) {
		t.Errorf("with a key of its own: %v", err)
	}
	foreign := t.TempDir()
	db, err := store.Open(filepath.Join(foreign, "store.db"), store.Options{})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := start(foreign, key); err == nil || !strings.Contains(err.Error(), "belongs to store "+status.Store) {
		t.Errorf("with another pipeline's store: %v", err)
	}
	standby, err := start(t.TempDir(), key)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		status, err = leader.Client().Status(t.Context())
		return err == nil && len(status.Reconcilers) == 2
	})
	if !status.Reconcilers[0].Leads || status.Reconcilers[1].Leads {
		t.Errorf("reconcilers: %+v", status.Reconcilers)
	}
	if err := standby.Stop(); err != nil {
		t.Error(err)
	}
	eventually(t, func() bool {
		status, err = leader.Client().Status(t.Context())
		return err == nil && len(status.Reconcilers) == 1
	})
}

// The streams of an external server lose what was written last: a reconciler whose store knows more than the log keeps it, also where a
// snapshot is kept that the log leads on from.
func TestStoreAheadOfTheLog(t *testing.T) {
	dir, streams, data, key := newRoster().people(5), t.TempDir(), t.TempDir(), writePINKey(t)
	open := func() (*pipeline.Node, func()) {
		t.Helper()
		b, url := openBroker(t, streams)
		c := crewConfig(url, data, key, dir, pipeline.RoleReconciler, pipeline.RoleNormalizer, pipeline.RoleConnector)
		c.NATS.Replicas = 1
		node, err := pipeline.Start(context.Background(), c, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel))
		if err != nil {
			t.Fatal(err)
		}
		return node, func() {
			t.Helper()
			if err := node.Stop(); err != nil {
				t.Error(err)
			}
			b.Stop()
		}
	}
	node, end := open()
	if run, _ := runPhones(t, node); run.Created != 5 {
		t.Fatalf("run is %s", counters(run))
	}
	if _, err := node.Client().TakeSnapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
	old := filepath.Join(t.TempDir(), "old")
	if err := os.CopyFS(old, os.DirFS(streams)); err != nil {
		t.Fatal(err)
	}
	node, end = open()
	eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := node.Client().SetUser(ctx, pipeline.Edit{User: "p00001", Set: map[string]string{"custom_1": "by hand"}})
		return err == nil
	})
	end()
	if err := errors.Join(os.RemoveAll(streams), os.CopyFS(streams, os.DirFS(old))); err != nil {
		t.Fatal(err)
	}
	node, end = open()
	defer end()
	eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s, err := node.Client().Status(ctx)
		return err == nil && s.Log == s.LogEnd
	})
	if u, err := node.Client().User(t.Context(), "p00001"); err != nil || u.Text[store.Custom1] != "by hand" {
		t.Errorf("what a person had set is %q: %v", u.Text[store.Custom1], err)
	}
}

// The streams of an external server lose what was written last while reconcilers follow them: they notice, the leader goes on above what it knows, the
// standby follows it to the same store, and what is asked for then is carried out.
func TestLogThatGoesBack(t *testing.T) {
	t.Parallel()
	dir, streams, one, two, key := newRoster().people(5), t.TempDir(), t.TempDir(), t.TempDir(), writePINKey(t)
	b, url := openBroker(t, streams)
	listen := strings.TrimPrefix(b.URL(), "nats://")
	start := func(data string, roles ...string) *pipeline.Node {
		c := crewConfig(url, data, key, dir, roles...)
		c.NATS.Replicas = 1
		node, err := pipeline.Start(context.Background(), c, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return node
	}
	lead := start(one, pipeline.RoleReconciler, pipeline.RoleNormalizer, pipeline.RoleConnector)
	standby := start(two, pipeline.RoleReconciler)
	client := lead.Client()
	restart := func(meanwhile func() error) {
		t.Helper()
		b.Stop()
		if err := meanwhile(); err != nil {
			t.Fatal(err)
		}
		var err error
		if b, err = broker.Start(broker.Options{Dir: streams, Listen: listen, Log: zerolog.Nop()}); err != nil {
			t.Fatal(err)
		}
	}
	status := func() (pipeline.Status, error) { // a question that comes while nobody leads may get lost
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		return client.Status(ctx)
	}
	inStep := func() {
		t.Helper()
		eventually(t, func() bool {
			s, err := status()
			return err == nil && s.Log == s.LogEnd && len(s.Reconcilers) == 2 && s.Reconcilers[1].Log == s.LogEnd && s.Reconcilers[1].Revision == s.Revision
		})
	}
	set := func(property, value string) {
		t.Helper()
		eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := client.SetUser(ctx, pipeline.Edit{User: "p00001", Set: map[string]string{property: value}})
			return err == nil
		})
	}
	runPhones(t, lead)
	inStep()
	old := filepath.Join(t.TempDir(), "old")
	restart(func() error { return os.CopyFS(old, os.DirFS(streams)) })
	for _, text := range []string{"one", "two", "three"} {
		set("custom_1", text)
	}
	inStep()
	before, err := status()
	if err != nil {
		t.Fatal(err)
	}
	restart(func() error { return errors.Join(os.RemoveAll(streams), os.CopyFS(streams, os.DirFS(old))) })
	eventually(t, func() bool {
		s, err := status()
		return err == nil && s.Log >= before.Log && s.Log == s.LogEnd
	})
	set("custom_2", "after")
	if u, err := client.User(t.Context(), "p00001"); err != nil || u.Text[store.Custom1] != "three" || u.Text[store.Custom2] != "after" {
		t.Errorf("the user has %q and %q: %v", u.Text[store.Custom1], u.Text[store.Custom2], err)
	}
	dir.set("p00002", "phone", "+420 2")
	if run, _ := runPhones(t, lead); run.Updated != 1 {
		t.Errorf("run is %s", counters(run))
	}
	inStep()
	if err := errors.Join(standby.Stop(), lead.Stop()); err != nil {
		t.Error(err)
	}
	b.Stop()
	own, _ := digestOf(t, filepath.Join(one, "store.db"))
	if other, _ := digestOf(t, filepath.Join(two, "store.db")); own != other {
		t.Errorf("the same log gave two stores: %x and %x", own, other)
	}
}
