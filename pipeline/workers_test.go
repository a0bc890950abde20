package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/events/broker"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// workforce is a crew whose connector workers and normalizers are processes of their own.
type workforce struct {
	*crew
	dir  *roster
	file rosterFile
	// roles are the workers by directory.
	roles map[string]string
}

// startWorkforce starts a reconciler, two connector workers and two normalizers.
func startWorkforce(t *testing.T, reader *roster) *workforce {
	t.Helper()
	w := &workforce{crew: newCrew(t, startCluster(t)), dir: reader, file: rosterFile(filepath.Join(t.TempDir(), "roster.json")), roles: map[string]string{}}
	w.reconciler(t.TempDir())
	w.write()
	for _, role := range []string{pipeline.RoleConnector, pipeline.RoleConnector, pipeline.RoleNormalizer, pipeline.RoleNormalizer} {
		w.hire(role)
	}
	eventually(t, func() (there bool) {
		if w.client == nil {
			w.client, _ = pipeline.Dial(t.Context(), crewConfig(w.url(), "", w.key, w.file))
		}
		return w.client != nil && w.leader() != ""
	})
	t.Cleanup(w.client.Close)
	return w
}

func (w *workforce) hire(role string) {
	dir := w.t.TempDir()
	w.roles[dir] = role
	w.member(dir, role, w.file)
}

// lose kills a worker.
func (w *workforce) lose(dir string) {
	w.kill(dir)
	delete(w.roles, dir)
}

// in returns the workers in a role.
func (w *workforce) in(role string) (dirs []string) {
	for dir, r := range w.roles {
		if r == role {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return dirs
}

// write makes the roster as it is what connectors read.
func (w *workforce) write() {
	w.t.Helper()
	if err := w.file.write(w.dir); err != nil {
		w.t.Fatal(err)
	}
}

// begun waits for the next attempt behind a message of the log, and returns its number and the worker that makes it.
func (w *workforce) begun(after uint64) (number uint64, dir string) {
	w.t.Helper()
	bus := w.bus()
	err := bus.Follow(context.Background(), events.LogStream, events.FollowOptions{From: after + 1, Subjects: []string{events.LogSubject("people", "started")}}, func(msg jetstream.Msg) error {
		var started struct{ Worker string }
		if err := json.Unmarshal(msg.Data(), &started); err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		number, dir = meta.Sequence.Stream, w.named(started.Worker)
		return events.ErrStop
	})
	if err != nil || dir == "" {
		w.t.Fatalf("run %d is nobody's: %v", number, err)
	}
	return number, dir
}

// syncWhile runs the source to its end, and does something while a worker is in the middle of reading it.
func (w *workforce) syncWhile(disturb func(number uint64, dir string)) store.Run {
	w.t.Helper()
	s, err := w.status()
	if err != nil {
		w.t.Fatal(err)
	}
	var over sync.WaitGroup
	release := w.file.hold(w.t)
	over.Go(func() {
		defer release()
		disturb(w.begun(s.LogEnd))
	})
	run := w.sync(nil)
	over.Wait()
	if run.State != store.Applied {
		w.t.Fatalf("run is %s (%s): %s", run.State, run.Reason, counters(run))
	}
	return run
}

// Connector workers and normalizers are killed and stopped in the middle of runs: another one does the work, nobody is doubled and
// nobody lost, and what a worker says that slept through its successor's run changes nothing.
func TestWorkersLost(t *testing.T) {
	t.Parallel()
	dir := newRoster().people(300)
	w := startWorkforce(t, dir)
	w.settle()

	dir.set("p00001", "phone", "+420 1")
	w.write()
	begun := time.Now()
	var orphan uint64
	if run := w.syncWhile(func(number uint64, worker string) { orphan = number; w.lose(worker) }); run.Updated != 1 {
		t.Errorf("behind a worker's death: %s", counters(run))
	}
	if run, err := w.client.Run(t.Context(), "people", orphan); err != nil || run.State != store.Failed {
		t.Errorf("the dead worker's run is %s: %s (%v)", run.State, run.Reason, err)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("another worker was done after %s: was its request for jobs lost?", took)
	}
	w.hire(pipeline.RoleConnector)

	dir.set("p00002", "phone", "+420 2")
	w.write()
	var stalled uint64
	var sleeper string
	run := w.syncWhile(func(number uint64, worker string) {
		stalled, sleeper = number, worker
		w.signal(worker, syscall.SIGSTOP)
	})
	if run.Updated != 1 || run.Number == stalled {
		t.Errorf("beside a stalled worker: run %d, %s", run.Number, counters(run))
	}
	before, err := w.status()
	if err != nil {
		t.Fatal(err)
	}
	w.signal(sleeper, syscall.SIGCONT)
	dir.set("p00003", "phone", "+420 3")
	w.write()
	w.settle()
	if s, err := w.status(); err != nil || s.Revision != before.Revision+1 {
		t.Errorf("revision %d, want %d (%v)", s.Revision, before.Revision+1, err)
	}
	if run, err := w.client.Run(t.Context(), "people", stalled); err != nil || run.State != store.Failed {
		t.Errorf("the stalled run is %s: %s (%v)", run.State, run.Reason, err)
	}

	for _, one := range w.in(pipeline.RoleNormalizer) { // they sleep, so the records of the run are theirs when they die
		w.signal(one, syscall.SIGSTOP)
	}
	for i := range 100 {
		dir.set(fmt.Sprintf("p%05d", i), "phone", "+420 4")
	}
	w.write()
	run = w.syncWhile(func(number uint64, _ string) {
		time.Sleep(time.Second)
		for _, one := range w.in(pipeline.RoleNormalizer) {
			w.lose(one)
			w.hire(pipeline.RoleNormalizer)
		}
	})
	if run.Updated != 100 {
		t.Errorf("behind the normalizers' death: %s", counters(run))
	}
	w.finish(t)
}

// finish compares what there is with an undisturbed pipeline.
func (w *workforce) finish(t *testing.T) {
	w.t.Helper()
	eventually(w.t, func() bool { s, err := w.status(); return err == nil && s.Log == s.LogEnd && s.Relayed == s.Revision })
	if got, want := w.users(), undisturbed(t, w.dir); !containsAll(got, want) {
		w.t.Errorf("%d users, %d in an undisturbed pipeline", len(got), len(want))
	}
	_, head := w.end(w.leader())
	w.told(head)
}

// Ten workers on one job, and many who ask at once: one run.
func TestTenWorkers(t *testing.T) {
	dir, url := newRoster().people(100), startBroker(t)
	start := outside(t, url, dir)
	node := start(pipeline.RoleReconciler, pipeline.RoleNormalizer)
	for range 10 {
		start(pipeline.RoleConnector)
	}
	var asked sync.WaitGroup
	var mu sync.Mutex
	var jobs []string
	reading := make(chan struct{})
	dir.during = func(n int, _ string) error {
		if n == 50 {
			<-reading
		}
		return nil
	}
	for range 20 {
		asked.Go(func() {
			job, err := node.Client().Sync(t.Context(), "people", pipeline.SyncOptions{})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				jobs = append(jobs, job)
			} else if !errors.Is(err, pipeline.ErrBusy) {
				t.Error(err)
			}
		})
	}
	asked.Wait()
	time.Sleep(5 * time.Second) // longer than a job stays with a worker who does not ask for more time
	close(reading)
	if len(jobs) != 1 {
		t.Fatalf("%d jobs were taken on at once", len(jobs))
	}
	run, err := node.Client().Follow(t.Context(), "people", jobs[0], nil)
	if err != nil || run.State != store.Applied || run.Created != 100 {
		t.Errorf("run is %s, %s (%v)", run.State, counters(run), err)
	}
	if runs, err := node.Client().Runs(t.Context(), "people", 10); err != nil || len(runs) != 1 {
		t.Errorf("%d runs (%v)", len(runs), err)
	}
}

// A rolling deploy: workers with an old and a new mapping share the jobs, and so do normalizers. Every run follows its own worker's
// mapping from the first record to the last, and when the old ones are gone everybody is as the new one says.
func TestRollingDeploy(t *testing.T) {
	const people = 50
	dir, url := newRoster(), startBroker(t)
	for i := range people {
		dir.person(fmt.Sprintf("p%05d", i), "phone", "old", "mail", "new")
	}
	old := outside(t, url, dir)
	renewed := outside(t, url, dir, func(s *pipeline.Source) {
		s.Mapping.Properties = maps.Clone(s.Mapping.Properties)
		s.Mapping.Properties["phone"] = mapping.Rule{From: []string{"mail"}}
	})
	node := old(pipeline.RoleReconciler, pipeline.RoleNormalizer)
	leaving := old(pipeline.RoleConnector)
	renewed(pipeline.RoleNormalizer)
	renewed(pipeline.RoleConnector)
	mappings := map[string]string{} // by the rules that a run was read under
	for round := 0; round < 40 && (round < 6 || len(mappings) < 2); round++ {
		dir.set(fmt.Sprintf("p%05d", round%people), "cn", fmt.Sprint("Person ", round))
		run, phones := runPhones(t, node)
		if len(phones) != 1 {
			t.Fatalf("run %d has given phones %v", run.Number, phones)
		}
		if before := mappings[run.Config]; before != "" && before != phones[0] {
			t.Errorf("the same rules gave %s and %s", before, phones[0])
		}
		mappings[run.Config] = phones[0]
	}
	if len(mappings) != 2 {
		t.Fatalf("only one of the workers was given jobs: %v", mappings)
	}
	if err := leaving.Stop(); err != nil {
		t.Error(err)
	}
	if _, phones := runPhones(t, node); !slices.Equal(phones, []string{"new"}) {
		t.Errorf("behind the deploy phones are %v", phones)
	}
}

// runPhones runs the source and returns the different phones that its users have.
func runPhones(t *testing.T, node *pipeline.Node) (store.Run, []string) {
	t.Helper()
	c := &company{t: t, client: node.Client(), alive: t.Context()}
	run := c.sync()
	if run.State != store.Applied {
		t.Fatalf("run is %s: %s", run.State, run.Reason)
	}
	phones := map[string]bool{}
	err := c.client.Users(t.Context(), pipeline.UserQuery{}, func(u store.User) error { phones[u.Text[store.Phone]] = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return run, slices.Sorted(maps.Keys(phones))
}

// startBroker starts a NATS server that several processes may share, and returns its address with the credentials.
func startBroker(t *testing.T) string {
	t.Helper()
	b, url := openBroker(t, t.TempDir())
	t.Cleanup(b.Stop)
	return url
}

func openBroker(t *testing.T, dir string) (*broker.Broker, string) {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return b, strings.Replace(b.URL(), "nats://", "nats://"+b.Credentials().User+":"+b.Credentials().Password+"@", 1)
}

// outside returns what starts nodes on that server, which stop when the test ends.
func outside(t *testing.T, url string, reader *roster, change ...func(*pipeline.Source)) func(roles ...string) *pipeline.Node {
	key := writePINKey(t)
	return func(roles ...string) *pipeline.Node {
		t.Helper()
		c := crewConfig(url, t.TempDir(), key, reader, roles...)
		c.NATS.Replicas = 1
		for _, fn := range change {
			fn(&c.Sources[0])
		}
		node, err := pipeline.Start(context.Background(), c, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := node.Stop(); err != nil {
				t.Error(err)
			}
		})
		return node
	}
}
