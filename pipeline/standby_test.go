package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/pipeline"
	"rollcall/store"
)

func crewConfig(url, dir, key string, reader connectors.Config, roles ...string) pipeline.Config {
	c := killedConfig(dir, reader)
	c.NATS, c.PINKeyFile, c.Roles = pipeline.NATS{URL: url, Replicas: 3}, key, roles
	return c
}

// crew is a pipeline in roles on a cluster: a connector worker and two normalizers here, reconcilers in processes of their own.
type crew struct {
	*cluster
	key       string
	client    *pipeline.Client
	processes map[string]*exec.Cmd // by directory
	networks  map[string]string    // the network that the process on a directory is in, this one for none
}

// newCrew is one with nobody in it yet.
func newCrew(t testing.TB, servers *cluster) *crew {
	t.Helper()
	k := &crew{cluster: servers, key: writePINKey(t), processes: map[string]*exec.Cmd{}, networks: map[string]string{}}
	t.Cleanup(func() {
		for dir := range k.processes {
			k.kill(dir)
		}
	})
	return k
}

func startCrew(t testing.TB, reader *roster, reconcilers ...string) *crew {
	t.Helper()
	k := newCrew(t, startCluster(t))
	for _, dir := range reconcilers {
		k.reconciler(dir)
	}
	k.workHere(reader)
	return k
}

// workHere starts a connector worker and two normalizers in this process, and waits for a reconciler that leads.
func (k *crew) workHere(reader *roster) {
	t := k.t
	t.Helper()
	for _, role := range []string{pipeline.RoleConnector, pipeline.RoleNormalizer, pipeline.RoleNormalizer} {
		log := zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel)
		node, err := pipeline.Start(t.Context(), crewConfig(k.url(), t.TempDir(), k.key, reader, role), log)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := node.Stop(); err != nil {
				t.Error(err)
			}
		})
		if role == pipeline.RoleConnector {
			k.client = node.Client()
		}
	}
	eventually(t, func() bool { return k.leader() != "" })
}

// reconciler starts a reconciler on a directory.
func (k *crew) reconciler(dir string) { k.member(dir, pipeline.RoleReconciler, "") }

func (k *crew) signal(dir string, s os.Signal) {
	k.t.Helper()
	process := k.processes[dir].Process
	if err := process.Signal(s); err != nil {
		k.t.Error(err)
	}
	if s == syscall.SIGSTOP { // in effect before this returns
		if _, err := syscall.Wait4(process.Pid, nil, syscall.WUNTRACED, nil); err != nil {
			k.t.Error(err)
		}
	}
}

// kill kills a member.
func (k *crew) kill(dir string) {
	_ = k.processes[dir].Process.Kill()
	_ = k.processes[dir].Wait()
	delete(k.processes, dir)
}

// end stops a reconciler as Ctrl-C does, and returns its store's digest and head.
func (k *crew) end(dir string) (store.Digest, uint64) {
	k.t.Helper()
	k.signal(dir, os.Interrupt)
	if err := k.processes[dir].Wait(); err != nil {
		k.t.Errorf("%s: %v", dir, err)
	}
	delete(k.processes, dir)
	db, err := store.Open(filepath.Join(dir, "store.db"), store.Options{})
	if err != nil {
		k.t.Fatal(err)
	}
	defer db.Close()
	if err := db.Check(); err != nil {
		k.t.Errorf("%s: %v", dir, err)
	}
	s, err := db.Snapshot()
	if err != nil {
		k.t.Error(err)
	}
	return s.Digest, s.Revision
}

// status asks once.
func (k *crew) status() (pipeline.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return k.client.Status(ctx)
}

// leader returns the directory of the reconciler that answers, "" when none does.
func (k *crew) leader() string {
	s, err := k.status()
	if err != nil || len(s.Reconcilers) == 0 || !s.Reconcilers[0].Leads {
		return ""
	}
	return k.named(s.Reconcilers[0].Name)
}

// named returns the directory of the member that calls itself so ("host/process"), "" for none.
func (k *crew) named(name string) string {
	_, pid, _ := strings.Cut(name, "/")
	for dir, cmd := range k.processes {
		if strconv.Itoa(cmd.Process.Pid) == pid {
			return dir
		}
	}
	return ""
}

// standsBy waits until all reconcilers have handled the log and the leader has told everything.
func (k *crew) standsBy() {
	k.t.Helper()
	var s pipeline.Status
	var err error
	defer func() {
		if k.t.Failed() {
			k.t.Logf("%d reconcilers of %d, log %d of %d, relayed %d of %d (%v): %+v", len(s.Reconcilers), len(k.processes), s.Log, s.LogEnd, s.Relayed, s.Revision, err, s.Reconcilers)
		}
	}()
	eventually(k.t, func() bool {
		s, err = k.status()
		if err != nil || len(s.Reconcilers) != len(k.processes) || s.Log != s.LogEnd || s.Relayed != s.Revision {
			return false
		}
		for _, r := range s.Reconcilers {
			if r.Log != s.LogEnd || r.Revision != s.Revision {
				return false
			}
		}
		return true
	})
}

// sync runs the source to its end; at is called once when a stage of the run begins to be told.
func (k *crew) sync(at func(pipeline.Progress)) store.Run {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var job string
	eventually(k.t, func() (ok bool) {
		one, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		var err error
		job, err = k.client.Sync(one, "people", pipeline.SyncOptions{})
		return err == nil
	})
	run, err := k.client.Follow(ctx, "people", job, at)
	if err != nil {
		k.t.Fatal(err)
	}
	return run
}

// killedWhileApplying runs the source and kills the leader as soon as the run's first change was told. It returns how long it took from
// then until another one had applied the run. Who was killed comes back.
func (k *crew) killedWhileApplying() (run store.Run, took time.Duration) {
	k.t.Helper()
	bus, leader := k.bus(), k.leader()
	users, err := bus.Stream(context.Background(), events.UsersStream)
	if err != nil {
		k.t.Fatal(err)
	}
	killed := make(chan time.Time, 1)
	go func() {
		defer close(killed)
		err := bus.Follow(context.Background(), events.UsersStream, events.FollowOptions{From: users.CachedInfo().State.LastSeq + 1}, func(jetstream.Msg) error {
			killed <- time.Now()
			k.kill(leader)
			return events.ErrStop
		})
		if err != nil {
			k.t.Error(err)
		}
	}()
	run = k.sync(nil)
	if run.State != store.Applied {
		k.t.Fatalf("run is %s (%s): %s", run.State, run.Reason, counters(run))
	}
	took = time.Since(<-killed)
	k.reconciler(leader)
	return run, took
}

// users returns all users by name, without what differs from pipeline to pipeline.
func (k *crew) users() map[string]string {
	return usersOf(k.t, k.client, pipeline.UserQuery{Inactive: true})
}

// told fails the test unless USERS has every revision up to head exactly once and in order, and RUNS every result once.
func (k *crew) told(head uint64) {
	k.t.Helper()
	bus, next, runs := k.bus(), uint64(1), map[string]int{}
	err := bus.ReadAll(context.Background(), events.UsersStream, ">", func(msg jetstream.Msg) error {
		if n := events.RevisionOf(msg.Headers()); n != next {
			k.t.Errorf("revision %d was published where %d was to come", n, next)
		}
		next++
		return nil
	})
	if err != nil || next != head+1 {
		k.t.Errorf("events end at %d, the store at %d (%v)", next-1, head, err)
	}
	err = bus.ReadAll(context.Background(), events.RunsStream, ">", func(msg jetstream.Msg) error {
		runs[msg.Headers().Get("Rollcall-Result")]++
		return nil
	})
	for number, n := range runs {
		if n != 1 || number == "" {
			k.t.Errorf("result %s was published %d times", number, n)
		}
	}
	if err != nil || len(runs) == 0 {
		k.t.Errorf("%d results (%v)", len(runs), err)
	}
}

// undisturbed returns the users of a pipeline that read the roster in one quiet run.
func undisturbed(t *testing.T, reader *roster) map[string]string {
	t.Helper()
	c := &company{t: t, config: killedConfig(t.TempDir(), reader)}
	c.start()
	defer c.stop()
	if run := c.sync(); run.State != store.Applied {
		t.Fatalf("run is %s: %s", run.State, run.Reason)
	}
	return c.users()
}

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

// trimLog purges what LOG has before the message.
func (k *crew) trimLog(before uint64) {
	k.t.Helper()
	log, err := k.bus().JetStream.Stream(context.Background(), events.LogStream)
	if err == nil {
		err = log.Purge(context.Background(), jetstream.WithPurgeSequence(before))
	}
	if err != nil {
		k.t.Fatal(err)
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
				if _, err := bus.Conn.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 5*time.Second); err != nil {
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

// settle runs the source until a run is applied.
func (k *crew) settle() {
	k.t.Helper()
	for range 5 {
		run := k.sync(nil)
		if run.State == store.Applied {
			return
		}
		k.t.Logf("run %d is %s: %s", run.Number, run.State, run.Reason)
	}
	k.t.Fatal("no run was applied")
}

// The same at random for as long as ROLLCALL_SOAK says ("10m"): reconcilers killed, stopped and woken up, servers of the cluster lost,
// leaders of streams moved, while the directory changes from round to round.
func TestTakeoverSoak(t *testing.T) {
	end := soaking(t)
	if end.IsZero() {
		t.Skip("ROLLCALL_SOAK says for how long")
	}
	dir := directoryOfRound(0)
	dirs := []string{t.TempDir(), t.TempDir()}
	k := startCrew(t, dir, dirs...)
	k.settle()
	chance := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	round, faults := 0, [4]int{}
	for time.Now().Before(end) {
		round++
		next := directoryOfRound(round)
		dir.mu.Lock()
		dir.entries = next.entries
		dir.mu.Unlock()
		var over sync.WaitGroup
		kind, victim, after := chance.IntN(len(faults)), dirs[chance.IntN(2)], time.Duration(chance.Int64N(int64(3*time.Second)))
		over.Go(func() {
			time.Sleep(after)
			k.disturb(kind, victim, chance.IntN(3))
		})
		faults[kind]++
		k.settle()
		over.Wait()
		k.awaitAgreement()
	}
	k.settle()
	k.standsBy()
	if got, want := k.users(), undisturbed(t, dir); !containsAll(got, want) {
		t.Errorf("%d users, %d in an undisturbed pipeline", len(got), len(want))
	}
	one, head := k.end(dirs[0])
	if other, _ := k.end(dirs[1]); one != other {
		t.Errorf("the same log gave two stores: %x and %x", one, other)
	}
	k.told(head)
	t.Logf("%d rounds, %d kills, %d reconcilers stopped and woken up, %d servers lost, %d leaders moved", round, faults[0], faults[1], faults[2], faults[3])
}

// disturb kills a reconciler, stops it for a while, takes a server of the cluster away for a while, or moves the leader of a stream.
func (k *crew) disturb(kind int, dir string, server int) {
	switch kind {
	case 0:
		k.kill(dir)
		time.Sleep(time.Second)
		k.reconciler(dir)
	case 1:
		k.signal(dir, syscall.SIGSTOP)
		time.Sleep(6 * time.Second)
		k.signal(dir, syscall.SIGCONT)
	case 2:
		k.stopNode(server)
		time.Sleep(2 * time.Second)
		k.startNode(server)
	case 3:
		stream := []string{events.LogStream, events.RawStream, events.UsersStream}[server]
		_, _ = k.bus().Conn.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 5*time.Second) // none to move is as good
	}
}

// containsAll reports whether got has all of want; who came and went between stays as an inactive user.
func containsAll(got, want map[string]string) bool {
	for name, body := range want {
		if got[name] != body {
			return false
		}
	}
	return true
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
