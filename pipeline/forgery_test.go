package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

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
