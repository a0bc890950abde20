package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

// The pipeline in roles, each a process with its own user on a cluster of three servers: it works with exactly these rights, and
// whoever has a role's password can do no more than the role does.
func TestLeastPrivilege(t *testing.T) {
	g := startGuardedCluster(t)
	corp, people := newRoster().people(50), newRoster()
	corp.server = "corp"
	people.person("zoe")
	denied := &denials{}
	config := pipeline.Config{DataDir: t.TempDir(), EventsKeep: time.Hour, JobLease: 2 * time.Second, PINKeyFile: "", Sources: []pipeline.Source{
		{Name: "corp", Enabled: true, Reader: corp, Export: filepath.Join(t.TempDir(), "corp.csv"), Mapping: rosterMapping(), Options: rosterOptions("corp")},
		{Name: "people", Enabled: true, Reader: people, Mapping: rosterMapping(), Options: rosterOptions("people")},
	}}
	start := func(user, role string, serves ...string) *pipeline.Node {
		t.Helper()
		c := config
		c.NATS, c.Roles, c.Serves = g.nats(user), []string{role}, serves
		if role != pipeline.RoleReconciler {
			c.DataDir = t.TempDir()
		}
		node, err := pipeline.Start(context.Background(), c, zerolog.New(denied))
		if err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		t.Cleanup(func() {
			if err := node.Stop(); err != nil {
				t.Errorf("%s: %v", user, err)
			}
		})
		return node
	}
	start("reconciler", pipeline.RoleReconciler)
	start("normalizer", pipeline.RoleNormalizer)
	start("connector-corp", pipeline.RoleConnector, "corp")
	start("connector-people", pipeline.RoleConnector, "people")
	console := start("console", pipeline.RoleConsole).Client()

	c := config
	c.NATS = g.nats("operator")
	operator, err := pipeline.Dial(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer operator.Close()
	wantApplied(t, operator, "corp", "read 50, created 50")
	corp.remove("p00007")
	corp.person("carol")
	wantApplied(t, operator, "corp", "read 51, unchanged 49, created 1, deletions 1, deactivated 1")
	wantApplied(t, operator, "people", "read 1, created 1")
	if _, err := operator.SetUser(t.Context(), pipeline.Edit{ID: "1", User: "zoe", Set: map[string]string{"custom_1": "x"}}); err != nil {
		t.Error(err)
	}
	eventually(t, func() bool {
		exported, err := os.ReadFile(config.Sources[0].Export)
		return err == nil && bytes.Contains(exported, []byte("carol"))
	})
	seen := 0
	if err := operator.Events(t.Context(), pipeline.EventOptions{}, func(events.UserChanged) error { seen++; return nil }); err != nil || seen != 54 {
		t.Errorf("the operator sees %d events: %v; want 54", seen, err)
	}
	if err := operator.Dead(t.Context(), func(pipeline.DeadLetter) error { return nil }); err != nil {
		t.Error(err)
	}
	testConsoleRights(t, console)
	rules, err := config.Rules("corp")
	if err != nil {
		t.Fatal(err)
	}
	job, err := operator.Replay(t.Context(), "corp", pipeline.ReplayOptions{Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	if run, err := operator.Follow(t.Context(), "corp", job, nil); err != nil || run.State != store.Planned {
		t.Errorf("replay is %s (%s): %v", run.State, run.Reason, err)
	}
	var roles []string
	eventually(t, func() bool {
		roles = nil
		status, err := operator.Status(t.Context())
		for _, p := range status.Processes {
			roles = append(roles, strings.Join(append(p.Roles, p.Sources...), " "))
		}
		return err == nil && slices.Equal(roles, []string{"connector corp", "connector people", "console", "normalizer", "reconciler"})
	})
	testOperator(t, operator, config)
	testHeard(t, g)
	for _, line := range denied.lines() {
		t.Error("the pipeline was refused something that it needs: ", line)
	}

	before := g.sequences(t)
	t.Run("refused", func(t *testing.T) { testRefused(t, g) })
	if now := g.sequences(t); now[events.UsersStream] != before[events.UsersStream] || now[events.LogStream] != before[events.LogStream] {
		t.Errorf("%v, then %v, although all was refused", before, now)
	}
	t.Run("roundabout", func(t *testing.T) { testRoundabout(t, g, operator) })
	before = g.sequences(t)
	t.Run("forged questions", func(t *testing.T) { testForgedQuestions(t, g, operator) })
	t.Run("answers elsewhere", func(t *testing.T) { testAnswersElsewhere(t, g) })
	t.Run("deliveries elsewhere", func(t *testing.T) { testDeliveriesElsewhere(t, g) })
	t.Run("rules that are not there", func(t *testing.T) { testRulesNotThere(t, g, operator) })
	denied.forget()
	people.person("yan")
	result, err := g.connect(t, "connector-people", nil).Conn.SubscribeSync("rollcall.runs.*.people")
	if err != nil {
		t.Fatal(err)
	}
	wantApplied(t, operator, "people", "read 2, unchanged 1, created 1")
	if _, err := result.NextMsg(10 * time.Second); err != nil {
		t.Error("the connector does not hear the result: ", err)
	}
	var revisions []uint64
	for len(revisions) == 0 {
		if err := operator.Events(t.Context(), pipeline.EventOptions{After: 54}, func(e events.UserChanged) error { revisions = append(revisions, e.Revision); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(revisions) != 1 || revisions[0] != 55 {
		t.Errorf("after revision 54 come %v, want 55", revisions)
	}
	if after := g.sequences(t); after[events.UsersStream] != before[events.UsersStream]+1 || after[events.LogStream] != before[events.LogStream]+5 {
		t.Errorf("%v, then %v; one event is expected, and in the log the beginning and the end of two runs, and why one failed", before, after)
	}
	g.wantResults(t, 6)
}

// testOperator uses what the command line reads from the streams itself.
func testOperator(t *testing.T, operator *pipeline.Client, config pipeline.Config) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	taken, err := operator.TakeSnapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := operator.Snapshots(ctx)
	if err != nil || len(kept) == 0 {
		t.Fatalf("%d snapshots: %v", len(kept), err)
	}
	if err := operator.SaveSnapshot(ctx, taken.Name, filepath.Join(t.TempDir(), "saved.db.zst")); err != nil {
		t.Error(err)
	}
	config.PINKeyFile = filepath.Join(config.DataDir, "pins.key")
	rebuilt, err := operator.Rebuild(ctx, config, pipeline.RebuildOptions{Into: filepath.Join(t.TempDir(), "fresh.db"), Log: zerolog.Nop()})
	if err != nil || !rebuilt.Equal {
		t.Errorf("rebuild: %+v: %v", rebuilt, err)
	}
}

// testHeard looks whether what is told outside of streams is heard in other accounts.
func testHeard(t *testing.T, g *guardedCluster) {
	t.Helper()
	for _, test := range []struct{ from, subject, to string }{
		{"connector-corp", "rollcall.progress.corp", "operator"},
		{"connector-people", "rollcall.progress.people", "operator"},
		{"connector-corp", "rollcall.progress.corp", "reconciler"},
		{"reconciler", "rollcall.progress.corp", "operator"},
		{"reconciler", "rollcall.session.corp.end", "connector-corp"},
	} {
		teller, listener := g.connect(t, test.from, nil).Conn, g.connect(t, test.to, nil).Conn
		heard, err := listener.SubscribeSync(test.subject)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { // the servers first tell each other who listens
			if err := teller.Publish(test.subject, []byte("{}")); err != nil {
				t.Fatal(err)
			}
			_, err := heard.NextMsg(100 * time.Millisecond)
			return err == nil
		})
	}
}

// testConsoleRights asks all that the console asks. That there is nothing to decide or to stop is an answer, and no refusal of the server's.
func testConsoleRights(t *testing.T, console *pipeline.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	status, err := console.Status(ctx)
	if err != nil || len(status.Sources) != 2 {
		t.Errorf("status of %d sources: %v", len(status.Sources), err)
	}
	users, groups := 0, 0
	for what, err := range map[string]error{
		"users":  console.Users(ctx, pipeline.UserQuery{Text: "p00001"}, func(store.User) error { users++; return nil }),
		"groups": console.Groups(ctx, func(pipeline.GroupInfo) error { groups++; return nil }),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := console.User(ctx, "p00001"); err != nil || users != 1 {
		t.Errorf("%d users are found: %v", users, err)
	}
	if runs, err := console.Runs(ctx, "corp", 10); err != nil || len(runs) != 2 {
		t.Errorf("%d runs: %v", len(runs), err)
	}
	for what, ask := range map[string]func() error{
		"plan":    func() error { _, err := console.Plan(ctx, "corp", 0, nil); return err },
		"approve": func() error { _, err := console.Approve(ctx, "corp", "01234567", "x"); return err },
		"reject":  func() error { _, err := console.Reject(ctx, "corp", "01234567", "x"); return err },
		"cancel":  func() error { _, err := console.Cancel(ctx, "corp", "x"); return err },
		"run":     func() error { _, err := console.Run(ctx, "corp", 99999); return err },
	} {
		if err := ask(); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := console.Sync(ctx, "nobody", pipeline.SyncOptions{}); !errors.Is(err, pipeline.ErrNotFound) {
		t.Errorf("sync: %v", err)
	}
}

// testRefused tries what each user must not be able to do.
func testRefused(t *testing.T, g *guardedCluster) {
	for _, test := range []struct{ user, subject string }{
		{"connector-corp", "rollcall.raw.people.0123"},
		{"connector-corp", "rollcall.log.people.started"},
		{"connector-corp", "rollcall.log.people.finished"},
		{"connector-corp", "rollcall.log.corp.failed"},
		{"connector-corp", "rollcall.log.command.approve"},
		{"connector-corp", "rollcall.changes.people.1"},
		{"connector-corp", "rollcall.users.updated.x"},
		{"connector-corp", "rollcall.jobs.people"},
		{"connector-corp", "rollcall.jobs.corp"},
		{"connector-corp", "rollcall.runs.applied.corp"},
		{"connector-corp", "rollcall.session.people.end"},
		{"connector-corp", "rollcall.api.users.list"},
		{"connector-corp", "rollcall.api.store.baseline.people"},
		{"connector-corp", "rollcall.api.plans.approve"},
		{"connector-corp", "$KV.rollcall_config.pin-key"},
		{"connector-corp", "$JS.API.CONSUMER.CREATE.ROLLCALL_JOBS.connector-people.rollcall.jobs.people"},
		{"connector-corp", "$JS.API.CONSUMER.MSG.NEXT.ROLLCALL_JOBS.connector-people"},
		{"connector-corp", "$JS.API.CONSUMER.CREATE.ROLLCALL_CHANGES.x.rollcall.changes.people.*"},
		{"connector-corp", "$JS.API.CONSUMER.CREATE.ROLLCALL_CHANGES.x"},
		{"connector-corp", "$JS.API.STREAM.PURGE.ROLLCALL_RAW"},
		{"connector-corp", "$JS.API.CONSUMER.CREATE.ROLLCALL_RAW.x.rollcall.raw.people.*"},
		{"connector-corp", "$JS.API.CONSUMER.MSG.NEXT.ROLLCALL_RAW.normalizers"},
		{"connector-corp", "$JS.API.CONSUMER.DELETE.ROLLCALL_RAW.normalizers"},
		{"connector-corp", "$JS.API.CONSUMER.DELETE.ROLLCALL_RUNS.exports-people"},
		{"connector-corp", "$JS.API.CONSUMER.CREATE.ROLLCALL_RAW.normalizers.rollcall.raw.corp.*"},
		{"connector-corp", "$JS.API.CONSUMER.CREATE.ROLLCALL_RUNS.notify.rollcall.runs.applied.corp"},
		{"connector-corp", "$JS.API.CONSUMER.CREATE.ROLLCALL_RUNS.exports-people.rollcall.runs.applied.corp"},
		{"connector-corp", "$JS.API.STREAM.DELETE.ROLLCALL_LOG"},
		{"connector-people", "rollcall.raw.corp.0123"},
		{"connector-people", "rollcall.log.corp.started"},
		{"normalizer", "rollcall.log.corp.finished"},
		{"normalizer", "rollcall.log.command.approve"},
		{"normalizer", "rollcall.users.updated.x"},
		{"normalizer", "rollcall.raw.corp.0123"},
		{"normalizer", "rollcall.api.users.list"},
		{"normalizer", "$KV.rollcall_config.x"},
		{"console", "rollcall.log.command.approve"},
		{"console", "rollcall.jobs.corp"},
		{"console", "rollcall.api.users.set"},
		{"console", "rollcall.api.users.identify"},
		{"console", "rollcall.api.pins.generate"},
		{"console", "rollcall.api.cards.add"},
		{"console", "rollcall.api.sources.retire"},
		{"console", "rollcall.api.sources.replay"},
		{"console", "rollcall.api.store.baseline.corp"},
		{"console", "rollcall.api.entries.forget"},
		{"console", "$KV.rollcall_config.x"},
		{"console", "$JS.API.STREAM.INFO.ROLLCALL_USERS"},
		{"console", "$JS.API.STREAM.MSG.GET.ROLLCALL_RAW"},
		{"console", "$JS.API.CONSUMER.CREATE.ROLLCALL_DEAD.x"},
		{"operator", "rollcall.log.command.approve"},
		{"operator", "rollcall.users.updated.x"},
		{"operator", "$JS.API.STREAM.DELETE.ROLLCALL_USERS"},
		{"operator", "$JS.API.STREAM.PURGE.ROLLCALL_LOG"},
		{"operator", "$O.ROLLCALL_SNAPSHOTS.M.x"},
		{"operator", "$JS.API.DIRECT.GET.ROLLCALL_RAW"},
		{"reconciler", "rollcall.raw.corp.0123"},
		{"reconciler", "rollcall.changes.corp.1"},
		{"subscriber", "rollcall.users.updated.x"},
		{"subscriber", "rollcall.log.command.approve"},
		{"subscriber", "rollcall.raw.corp.0123"},
		{"subscriber", "rollcall.api.users.list"},
		{"subscriber", "$JS.API.STREAM.INFO.ROLLCALL_LOG"},
		{"subscriber", "$JS.API.STREAM.INFO.ROLLCALL_RAW"},
		{"subscriber", "$JS.API.DIRECT.GET.ROLLCALL_RAW"},
		{"subscriber", "$JS.API.STREAM.MSG.GET.ROLLCALL_RAW"},
		{"subscriber", "$JS.API.STREAM.PURGE.ROLLCALL_USERS"},
	} {
		t.Run(test.user+" "+test.subject, func(t *testing.T) {
			if err := g.refusal(t, test.user, func(nc *nats.Conn) error { return nc.Publish(test.subject, []byte("{}")) }); err == nil {
				t.Error("was not refused")
			}
		})
	}
	for _, test := range []struct{ user, subject string }{
		{"subscriber", "rollcall.>"}, {"subscriber", "_INBOX.>"}, {"subscriber", "_INBOX.operator.>"}, {"subscriber", "$KV.>"},
		{"connector-corp", "rollcall.raw.people.*"}, {"connector-corp", "_INBOX.connector-people.>"}, {"connector-corp", "rollcall.api.>"},
		{"normalizer", "rollcall.users.>"}, {"operator", "rollcall.raw.>"}, {"console", "rollcall.runs.>"}, {"console", "_INBOX.operator.>"},
	} {
		t.Run(test.user+" listens to "+test.subject, func(t *testing.T) {
			if err := g.refusal(t, test.user, func(nc *nats.Conn) error { _, err := nc.SubscribeSync(test.subject); return err }); err == nil {
				t.Error("was not refused")
			}
		})
	}
	t.Run("subscriber reads events", func(t *testing.T) {
		bus := g.connect(t, "subscriber", nil)
		seen := 0
		err := events.ReadAvailable(t.Context(), bus.Conn, events.SubscribeOptions{After: 3}, func(events.UserChanged) error { seen++; return nil })
		if err != nil || seen != 51 {
			t.Errorf("%d events: %v; want 51", seen, err)
		}
		begun := errors.New("a snapshot came")
		err = events.Bootstrap(t.Context(), bus.Conn, events.BootstrapOptions{}, func(*events.Snapshot) error { return begun },
			func(events.UserChanged) error { return nil })
		if !errors.Is(err, begun) {
			t.Errorf("a new subscriber begins with %v", err)
		}
	})
}

// wantApplied runs a source.
func wantApplied(t *testing.T, client *pipeline.Client, source, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	job, err := client.Sync(ctx, source, pipeline.SyncOptions{})
	if err != nil {
		t.Fatal(err)
	}
	run, err := client.Follow(ctx, source, job, nil)
	if err != nil || run.State != store.Applied || counters(run) != want {
		t.Fatalf("run of %s is %s (%s, %v): %s; want %s", source, run.State, run.Reason, err, counters(run), want)
	}
}
