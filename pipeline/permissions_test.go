package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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

// testRoundabout lets the server write for a user where he may not write himself: within an account, the answer to a question goes to
// whatever reply subject it names. What comes into the log that way was written by nobody who may.
func testRoundabout(t *testing.T, g *guardedCluster, operator *pipeline.Client) {
	bus := g.connect(t, "insider", nil)
	status, err := operator.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	users, before := status.Users, g.sequences(t)
	forged, err := json.Marshal(map[string]any{"source": "people", "user": "zoe", "job": map[string]string{"id": "x"}, "kind": "full", "run": 1})
	if err != nil {
		t.Fatal(err)
	}
	header := nats.Header{"Rollcall-Subject": {"rollcall.log.people.started"}, "ce-type": {"rollcall.users.updated"}, "ce-subject": {"x"}, "ce-sequence": {"00000000000000000099"}}
	ack, err := bus.JetStream.PublishMsg(t.Context(), &nats.Msg{Subject: "rollcall.raw.corp.ffff", Data: forged, Header: header})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.JetStream.PublishMsg(t.Context(), &nats.Msg{Subject: "$KV.rollcall_config.forged", Data: forged, Header: header}); err != nil {
		t.Fatal(err)
	}
	question, err := json.Marshal(map[string]uint64{"seq": ack.Sequence})
	if err != nil {
		t.Fatal(err)
	}
	const stolen = "$JS.API.DIRECT.GET.KV_rollcall_config.$KV.rollcall_config.forged"
	if err := bus.Conn.PublishRequest(stolen, "rollcall.users.updated.x", nil); err != nil {
		t.Fatal(err)
	}
	for subject, data := range map[string][]byte{
		"$JS.API.STREAM.MSG.GET.ROLLCALL_RAW":  question,
		stolen:                                 nil,
		"rollcall.api.store.source.corp":       []byte(`{"Source":"corp"}`),
		"$JS.API.STREAM.INFO.ROLLCALL_CHANGES": nil,
	} {
		if err := bus.Conn.PublishRequest(subject, "rollcall.log.people.started", data); err != nil {
			t.Fatal(err)
		}
	}
	g.redirect(t, bus)
	if err := bus.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { // what is published that way comes when it comes
		now := g.sequences(t)
		status, err = operator.Status(t.Context())
		return err == nil && status.Log == now[events.LogStream] && now[events.LogStream] == before[events.LogStream]+4 &&
			now[events.UsersStream] == before[events.UsersStream]+2 && now[events.RunsStream] == before[events.RunsStream]+1
	})
	runs, err := operator.Runs(t.Context(), "people", 10)
	if err != nil || len(runs) != 1 || status.Users != users {
		t.Errorf("people has %d runs: %v; want the one that was made; %d users, want %d", len(runs), err, status.Users, users)
	}
}

// redirect has consumers deliver a record of the connector's own where it may not write: they keep the record's
// headers as they are. A server lets those through that are pulled.
func (g *guardedCluster) redirect(t *testing.T, bus *events.Bus) {
	t.Helper()
	const subject = "rollcall.raw.corp.fffe"
	ack, err := bus.JetStream.PublishMsg(t.Context(), &nats.Msg{Subject: subject, Data: []byte(`{"source":"people","run":7,"state":"applied","revision":1000000000000,"chain":"forged"}`),
		Header: nats.Header{"Rollcall-Subject": {subject}, "Rollcall-Result": {"1000000000000"}, "ce-type": {"rollcall.raw.corp"}, "ce-subject": {"fffe"}, "ce-sequence": {"1000000000000"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, target := range []string{"rollcall.users.updated.x", "rollcall.log.people.started", "rollcall.runs.applied.people"} {
		c := jetstream.ConsumerConfig{Name: fmt.Sprint("pull", i), FilterSubject: "rollcall.raw.corp.*", AckPolicy: jetstream.AckNonePolicy,
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: ack.Sequence}
		if _, err := bus.JetStream.CreateConsumer(t.Context(), events.RawStream, c); err != nil {
			t.Fatal(err)
		}
		if err := bus.Conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.ROLLCALL_RAW."+c.Name, target, []byte(`{"batch":1,"expires":1000000000}`)); err != nil {
			t.Fatal(err)
		}
		c.Name, c.DeliverSubject = fmt.Sprint("push", i), target
		if _, err := bus.JetStream.CreatePushConsumer(t.Context(), events.RawStream, c); err != nil {
			t.Fatal(err)
		}
	}
}

// testForgedQuestions lets the server ask the reconciler what a connector may not ask, and the reconciler write what a connector may not
// write: by the subject that an answer goes to.
func testForgedQuestions(t *testing.T, g *guardedCluster, operator *pipeline.Client) {
	bus := g.connect(t, "connector-corp", nil)
	edit := []byte(`{"user":"zoe","set":{"custom_2":"forged"}}`)
	ack, err := bus.JetStream.Publish(t.Context(), "rollcall.raw.corp.fffd", edit)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.JetStream.Publish(t.Context(), "$KV.rollcall_config.forged", edit); err != nil {
		t.Fatal(err)
	}
	const question = "rollcall.api.users.set"
	c := jetstream.ConsumerConfig{Name: "asks", FilterSubject: "rollcall.raw.corp.*", AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: ack.Sequence}
	if _, err := bus.JetStream.CreateConsumer(t.Context(), events.RawStream, c); err != nil {
		t.Fatal(err)
	}
	c.Name, c.DeliverSubject = "tells", question
	if _, err := bus.JetStream.CreatePushConsumer(t.Context(), events.RawStream, c); err != nil {
		t.Fatal(err)
	}
	for subject, data := range map[string]string{
		"$JS.API.CONSUMER.MSG.NEXT.ROLLCALL_RAW.asks":                      `{"batch":1,"expires":1000000000}`,
		"$JS.API.DIRECT.GET.KV_rollcall_config.$KV.rollcall_config.forged": "",
	} {
		if err := bus.Conn.PublishRequest(subject, question, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	before := g.sequences(t)
	if err := bus.Conn.PublishRequest("rollcall.api.store.entries.corp", "$JS.API.STREAM.PURGE.ROLLCALL_RUNS", []byte(`{"Source":"corp"}`)); err != nil {
		t.Fatal(err)
	}
	if err := bus.Conn.PublishRequest("rollcall.api.store.run.corp", "rollcall.runs.applied.corp", []byte(`{"Source":"corp"}`)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if zoe, err := operator.User(t.Context(), "zoe"); err != nil || zoe.Text[store.Custom2] != "" {
		t.Errorf("custom_2 of zoe is %q: %v", zoe.Text[store.Custom2], err)
	}
	if after := g.sequences(t); after[events.RunsStream] != before[events.RunsStream] {
		t.Errorf("%d results, then %d", before[events.RunsStream], after[events.RunsStream])
	}
}

// testAnswersElsewhere asks whatever each user may ask, with an answer that goes where he may not write. There are answers of all kinds: with
// words of his own, the server's, the reconciler's, and without any, which is all that deleting a stream takes.
func testAnswersElsewhere(t *testing.T, g *guardedCluster) {
	const config = "$JS.API.DIRECT.GET.KV_rollcall_config.$KV.rollcall_config."
	operator := g.connect(t, "operator", nil)
	if _, err := operator.JetStream.Publish(t.Context(), "$KV.rollcall_config.empty", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	before, leader := g.messages(t), g.leader(t)
	for user, questions := range map[string]map[string]string{
		"connector-corp": {config + "empty": "", config + "none": "", "$JS.API.STREAM.INFO.ROLLCALL_LOG": "", "$JS.API.CONSUMER.MSG.NEXT.ROLLCALL_RAW.asks": "?",
			"rollcall.api.store.entries.corp": `{"Source":"corp"}`, "rollcall.api.store.run.corp": `{"Source":"corp"}`},
		"normalizer": {config + "empty": "", config + "none": "", "$JS.API.CONSUMER.MSG.NEXT.ROLLCALL_RAW.normalizers": "?"},
		"operator":   {config + "empty": "", config + "none": "", "$SRV.PING": "", "rollcall.api.groups.list": "{}"},
		"console":    {"rollcall.api.groups.list": "{}"},
		"subscriber": {"$JS.API.DIRECT.GET.OBJ_rollcall_bootstrap.none": "", "$JS.API.STREAM.INFO.ROLLCALL_USERS": ""},
	} {
		bus := g.connect(t, user, nil)
		for question, data := range questions {
			for _, target := range []string{"$JS.API.STREAM.PURGE.ROLLCALL_RUNS", "$JS.API.STREAM.DELETE.ROLLCALL_DEAD", "$KV.rollcall_leader.leader", "$KV.rollcall_config.store",
				"$O.ROLLCALL_SNAPSHOTS.M.x", "rollcall.jobs.people", "rollcall.runs.failed.people", "rollcall.log.command.cancel", "rollcall.users.updated.x", "rollcall.raw.people.x"} {
				if err := bus.Conn.PublishRequest(question, target, []byte(data)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := bus.Conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	g.wantUntouched(t, before, leader)
	for _, user := range []string{"connector-corp", "operator"} { // who may write rules may not clear those of others away
		m := &nats.Msg{Subject: "$KV.rollcall_config.all", Header: nats.Header{"Nats-Rollup": {"all"}}}
		if _, err := g.connect(t, user, nil).JetStream.PublishMsg(t.Context(), m); err == nil {
			t.Errorf("%s cleared the rules away", user)
		}
	}
}

// testDeliveriesElsewhere has consumers deliver where their makers may not write: messages of the log into the log, once more,
// directly and by way of another stream.
func testDeliveriesElsewhere(t *testing.T, g *guardedCluster) {
	before, leader := g.messages(t), g.leader(t)
	operator, subscriber, corp := g.connect(t, "operator", nil), g.connect(t, "subscriber", nil), g.connect(t, "connector-corp", nil)
	for i, d := range []struct {
		bus                  *events.Bus
		stream, from, target string
	}{
		{operator, events.LogStream, "rollcall.log.>", "rollcall.log.corp.started"},
		{operator, events.LogStream, "rollcall.log.>", "rollcall.changes.corp.1"},
		{operator, events.LogStream, "rollcall.log.>", "rollcall.dead.normalize.corp"},
		{operator, events.LogStream, "rollcall.log.>", "rollcall.api.store.snapshot"},
		{operator, events.ChangesStream, "", "rollcall.log.corp.started"},
		{operator, events.DeadStream, "", "rollcall.log.corp.started"},
		{operator, events.UsersStream, "", "$KV.rollcall_leader.leader"},
		{subscriber, events.UsersStream, "", "$KV.rollcall_leader.leader"},
		{subscriber, events.UsersStream, "", "rollcall.users.updated.x"},
		{corp, events.RawStream, "rollcall.raw.corp.*", "$KV.rollcall_leader.leader"},
		{corp, events.RawStream, "rollcall.raw.corp.*", "$KV.rollcall_config.store"},
		{corp, events.RawStream, "rollcall.raw.corp.*", "$JS.API.STREAM.DELETE.ROLLCALL_DEAD"},
		{corp, events.RunsStream, "rollcall.runs.applied.corp", "rollcall.runs.applied.corp"},
	} {
		c := jetstream.ConsumerConfig{Name: fmt.Sprint("pulled", i), FilterSubject: d.from, AckPolicy: jetstream.AckNonePolicy}
		if _, err := d.bus.JetStream.CreateConsumer(t.Context(), d.stream, c); err != nil {
			t.Fatal(err)
		}
		if err := d.bus.Conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+d.stream+"."+c.Name, d.target, []byte(`{"batch":9,"expires":1000000000}`)); err != nil {
			t.Fatal(err)
		}
		c.Name, c.DeliverSubject = fmt.Sprint("pushed", i), d.target
		var refused *jetstream.APIError
		if _, err := d.bus.JetStream.CreatePushConsumer(t.Context(), d.stream, c); err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
	}
	g.wantUntouched(t, before, leader)
}

// testRulesNotThere has a connector say that its source was read by rules that nobody has: nobody else waits for them.
func testRulesNotThere(t *testing.T, g *guardedCluster, operator *pipeline.Client) {
	bus := g.connect(t, "connector-corp", nil)
	run, err := bus.Publish(t.Context(), "rollcall.log.corp.started", "", []byte(`{"job":{"id":"x","source":"corp"},"kind":"full","config":"0123456789abcdef"}`))
	if err != nil {
		t.Fatal(err)
	}
	from := g.applied(t, operator, "corp")
	if _, err := bus.Publish(t.Context(), "rollcall.log.corp.finished", "", fmt.Appendf(nil, `{"run":%d,"from":%d,"whole":true}`, run, from)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		found, err := operator.Run(t.Context(), "corp", run)
		return err == nil && found.State == store.Failed && strings.Contains(found.Reason, "0123456789abcdef")
	})
}

// applied returns the number of a source's last applied run.
func (g *guardedCluster) applied(t *testing.T, operator *pipeline.Client, source string) uint64 {
	t.Helper()
	runs, err := operator.Runs(t.Context(), source, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		if run.State == store.Applied {
			return run.Number
		}
	}
	t.Fatal("no run was applied")
	return 0
}

// wantApplied runs a source.
func wantApplied(t *testing.T, client *pipeline.Client, source, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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

// connect connects as a user; refused hears what the server refuses.
func (g *guardedCluster) connect(t *testing.T, user string, refused func(error)) *events.Bus {
	t.Helper()
	if refused == nil {
		refused = func(err error) { t.Error(user, ": ", err) }
	}
	options, err := g.nats(user).Options()
	if err != nil {
		t.Fatal(err)
	}
	bus, err := events.Connect(g.url, refused, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	return bus
}

// refusal returns what the server refuses of what fn does, nil for nothing.
func (g *guardedCluster) refusal(t *testing.T, user string, fn func(*nats.Conn) error) error {
	t.Helper()
	refused := make(chan error, 10)
	bus := g.connect(t, user, func(err error) { refused <- err })
	if err := fn(bus.Conn); err != nil {
		t.Fatal(err)
	}
	if err := bus.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Fatal(err)
		}
		return err
	case <-time.After(200 * time.Millisecond):
		return nil
	}
}

// sequences returns the last sequence of every stream.
func (g *guardedCluster) sequences(t *testing.T) map[string]uint64 {
	t.Helper()
	bus := g.connect(t, "reconciler", nil)
	last := map[string]uint64{}
	for info := range bus.JetStream.ListStreams(t.Context()).Info() {
		last[info.Config.Name] = info.State.LastSeq
	}
	if len(last) == 0 {
		t.Fatal("no streams")
	}
	return last
}

// messages returns how many messages every stream has and had, but for the lease, which is renewed.
func (g *guardedCluster) messages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for info := range g.connect(t, "reconciler", nil).JetStream.ListStreams(t.Context()).Info() {
		if info.Config.Name != "KV_"+events.LeaderBucket {
			found[info.Config.Name] = fmt.Sprint(info.State.Msgs, " of ", info.State.LastSeq)
		}
	}
	return found
}

// leader returns who holds the lease.
func (g *guardedCluster) leader(t *testing.T) string {
	t.Helper()
	bucket, err := g.connect(t, "reconciler", nil).JetStream.KeyValue(t.Context(), events.LeaderBucket)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := bucket.Get(t.Context(), "leader")
	if err != nil {
		t.Fatal(err)
	}
	return string(entry.Value())
}

// wantUntouched fails the test unless nothing came into a stream or went, and nobody else holds the lease.
func (g *guardedCluster) wantUntouched(t *testing.T, before map[string]string, leader string) {
	t.Helper()
	time.Sleep(time.Second)
	if after := g.messages(t); !maps.Equal(after, before) {
		t.Errorf("streams: %v, then %v", before, after)
	}
	if now := g.leader(t); now != leader {
		t.Errorf("%s leads, then %s", leader, now)
	}
}

// wantResults fails the test unless RUNS has as many results, each once.
func (g *guardedCluster) wantResults(t *testing.T, want int) {
	t.Helper()
	var found []string
	eventually(t, func() bool {
		found = nil
		err := g.connect(t, "reconciler", nil).ReadAll(t.Context(), events.RunsStream, "rollcall.runs.*.*", func(msg jetstream.Msg) error {
			found = append(found, msg.Subject()+" "+msg.Headers().Get("Rollcall-Result"))
			return nil
		})
		return err == nil && len(found) >= want
	})
	if slices.Sort(found); len(slices.Compact(found)) != want {
		t.Errorf("results %q, want %d", found, want)
	}
}

// denials are the lines of a log that tell of something refused.
type denials struct {
	mu    sync.Mutex
	found []string
}

func (d *denials) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if bytes.Contains(line, []byte("NATS refuses")) || bytes.Contains(bytes.ToLower(line), []byte("permission")) {
		d.found = append(d.found, strings.TrimSpace(string(line)))
	}
	return len(line), nil
}

func (d *denials) lines() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.found
}

func (d *denials) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found = nil
}
