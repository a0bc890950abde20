package pipeline_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/events"
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
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
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

// containsAll reports whether got has all of want; who came and went between stays as an inactive user.
func containsAll(got, want map[string]string) bool {
	for name, body := range want {
		if got[name] != body {
			return false
		}
	}
	return true
}
