package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/store"
)

// Commands of people travel through the log: one event each, with who and why, and a refusal changes nothing.
func TestManualCommands(t *testing.T) {
	dir := newRoster().people(2)
	c := newCompany(t, dir).start()
	c.applied("read 2, created 2")
	answer, err := c.client.SetUser(t.Context(), pipeline.Edit{User: "P00000", Set: map[string]string{"phone": " +420 9 ", "aliases": "zero,null"}, Actor: "root@host", Reason: "by phone"})
	if err != nil || answer.Action != "updated" || answer.Revision != 3 {
		t.Fatalf("answer %+v, %v", answer, err)
	}
	if u := c.user("null"); u.Text[store.Phone] != "+420 9" || u.Revision != 3 {
		t.Errorf("phone is %q at revision %d", u.Text[store.Phone], u.Revision)
	}
	var last events.UserChanged
	if err := c.client.Events(t.Context(), pipeline.EventOptions{After: 2}, func(e events.UserChanged) error { last = e; return nil }); err != nil {
		t.Fatal(err)
	}
	if last.Cause != (events.Cause{Actor: "root@host", Reason: "by phone"}) || last.Changed["phone"].New != "+420 9" {
		t.Errorf("the event says %s", last.Raw)
	}
	for name, refused := range map[string]func() (pipeline.Answer, error){
		"C1": func() (pipeline.Answer, error) {
			return c.client.SetUser(t.Context(), pipeline.Edit{User: "p00001", Set: map[string]string{"user_name": "ZERO"}})
		},
		"U2": func() (pipeline.Answer, error) {
			return c.client.SetUser(t.Context(), pipeline.Edit{User: "p00001", Set: map[string]string{"user_name": "*root"}})
		},
	} {
		if _, err := refused(); !errors.Is(err, pipeline.ErrRefused) || !strings.Contains(err.Error(), "["+name+"]") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.client.SetUser(t.Context(), pipeline.Edit{User: "p00001", Set: map[string]string{"fon": "1", "email": "nobody"}}); !errors.Is(err, pipeline.ErrMistake) ||
		!strings.Contains(err.Error(), `"fon"`) || !strings.Contains(err.Error(), "[U7]") {
		t.Errorf("mistakes: %v", err)
	}
	if _, err := c.client.DeactivateUser(t.Context(), pipeline.Edit{User: "nobody"}); !errors.Is(err, pipeline.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if got := c.revision(); got != 3 {
		t.Errorf("refusals left revision %d", got)
	}
}

// U15: an override by hand lasts until the next run, although the directory did not change; that restores it with one event, and
// the one after does nothing.
func TestOverridesAreRestored(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "phone", "1", "card", "0001")
	dir.person("bob")
	c := newCompany(t, dir).start()
	c.applied("read 2, created 2")
	edit := pipeline.Edit{User: "alice", Set: map[string]string{"phone": "9", "user_name": "alicia", "notes": "stays", "cards": "0002"}}
	if _, err := c.client.SetUser(t.Context(), edit); err != nil {
		t.Fatal(err)
	}
	before := c.streams()
	c.applied("read 2, unchanged 1, updated 1")
	after := c.streams()
	if u := c.user("alice"); u.Text[store.Phone] != "1" || u.Text[store.Notes] != "stays" || len(u.List[store.Cards.List()]) != 2 {
		t.Errorf("restored: %+v", u)
	}
	if after[events.RawStream] != before[events.RawStream] || after[events.UsersStream] != before[events.UsersStream]+1 {
		t.Errorf("streams %v, before %v", after, before)
	}
	c.applied("read 2, unchanged 2")
	want := []string{"created alice", "created bob", "updated alicia", "updated alice"}
	if got := c.events(0); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// A held or failed run leaves an override waiting; the one that is applied restores it.
func TestOverridesWaitForAnAppliedRun(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "phone", "1")
	c := newCompany(t, dir).start()
	c.applied("read 1, created 1")
	if _, err := c.client.SetUser(t.Context(), pipeline.Edit{User: "alice", Set: map[string]string{"phone": "9"}}); err != nil {
		t.Fatal(err)
	}
	dir.after = func() error { return errCut }
	if run := c.sync(); run.State != store.Failed {
		t.Fatalf("run is %s", run.State)
	}
	dir.after = nil
	held := c.sync(pipeline.SyncOptions{RequireApproval: true})
	if phone := c.user("alice").Text[store.Phone]; held.State != store.Held || phone != "9" {
		t.Fatalf("run is %s, phone %q", held.State, phone)
	}
	if _, err := c.client.Approve(t.Context(), "people", held.Plan, "tester"); err != nil {
		t.Fatal(err)
	}
	if phone := c.user("alice").Text[store.Phone]; phone != "1" {
		t.Errorf("phone is %q", phone)
	}
	c.settled()
}

// The same request twice is one command; a command that nobody waits for is carried out after a restart; the same log gives the
// same store.
func TestManualCommandsAreIdempotentAndReplayed(t *testing.T) {
	dir := newRoster().people(3)
	c := newCompany(t, dir).start()
	c.applied("read 3, created 3")
	edit := pipeline.Edit{ID: uuid.NewString(), User: "p00001", Card: "77"}
	first, err := c.client.RegisterCard(t.Context(), edit)
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.client.RegisterCard(t.Context(), edit)
	if err != nil || first.Sequence != second.Sequence || first.Text != second.Text || c.revision() != 4 {
		t.Errorf("answers %+v and %+v, revision %d, %v", first, second, c.revision(), err)
	}
	if _, err := c.client.RegisterCard(t.Context(), pipeline.Edit{User: "p00002", Card: "77"}); !errors.Is(err, pipeline.ErrRefused) || strings.Contains(err.Error(), "p00001") {
		t.Errorf("a used card: %v", err)
	}
	c.withBus(func(bus *events.Bus) { // nobody waits for this one
		id := c.user("p00002").ID
		if _, err := bus.Publish(context.Background(), events.CommandSubject("deactivate-user"), "", mustJSON(t, map[string]any{"user": id, "actor": "gone"})); err != nil {
			t.Fatal(err)
		}
	})
	c.stop()
	c.start()
	eventually(t, func() bool { return c.revision() == 5 })
	if u := c.user("p00002"); u.Active || u.InactiveReason != "manual" {
		t.Errorf("p00002 is %t, %q", u.Active, u.InactiveReason)
	}
	c.rebuilt()
}

// U19: a sync knows how many active administrators there are; the last one stays, whatever the directory says.
func TestTheLastAdministratorStays(t *testing.T) {
	dir := newRoster().people(4)
	c := newCompany(t, dir).start()
	c.applied("read 4, created 4")
	for _, name := range []string{"p00000", "p00001"} {
		if _, err := c.client.SetUser(t.Context(), pipeline.Edit{User: name, Set: map[string]string{"administrator": "true"}}); err != nil {
			t.Fatal(err)
		}
	}
	dir.remove("p00000")
	c.applied("read 4, unchanged 3, deletions 1, deactivated 1")
	dir.remove("p00001")
	run := c.applied("read 3, unchanged 2, rejected 1")
	if !slices.ContainsFunc(run.Messages, func(m string) bool { return strings.Contains(m, "[U19]") }) {
		t.Errorf("messages %q", run.Messages)
	}
	if u := c.user("p00001"); !u.Active || !u.Administrator {
		t.Errorf("the last administrator is %t", u.Active)
	}
	if _, err := c.client.SetUser(t.Context(), pipeline.Edit{User: "p00002", Set: map[string]string{"administrator": "true"}}); err != nil {
		t.Fatal(err)
	}
	c.applied("read 3, unchanged 2, deletions 1, deactivated 1")
}

// K6, U20: any NATS client registers a card; where users have but one it takes the old one's place, and stays when a record changes.
func TestRegisterCard(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "card", "0001")
	dir.person("bob", "card", "0002")
	c := newCompany(t, dir, func(s *pipeline.Source) { s.Options.MultipleCards = false })
	c.config.ByHand.OneCard = true
	c.start()
	c.applied("read 2, created 2")
	register := func(body string) (string, string) {
		var answer *nats.Msg
		c.withBus(func(bus *events.Bus) {
			var err error
			if answer, err = bus.Conn.Request("rollcall.api.cards.register", []byte(body), 30*time.Second); err != nil {
				t.Fatal(err)
			}
		})
		return answer.Header.Get("Nats-Service-Error-Code"), string(answer.Data)
	}
	if code, body := register(`{"user":"alice","card":" 0009 ","actor":"terminal 7"}`); code != "" || !strings.Contains(body, `"action":"updated"`) {
		t.Errorf("registered: %s %s", code, body)
	}
	if code, body := register(`{"user":"bob","card":"0009","actor":"terminal 7"}`); code != "422" || strings.Contains(body, "alice") || !strings.Contains(body, "[C2]") {
		t.Errorf("a used card: %s %s", code, body)
	}
	dir.set("alice", "phone", "5")
	c.applied("read 2, unchanged 1, updated 1")
	if cards := c.user("alice").List[store.Cards.List()]; len(cards) != 1 || cards[0].V != "0009" || !slices.Equal(cards[0].Origins, []string{"self-registered"}) {
		t.Errorf("cards %+v", cards)
	}
}

// K6: where a user has but one card, a person cannot give him two.
func TestK6OneCardByHand(t *testing.T) {
	c := newCompany(t, newRoster().people(1))
	c.config.ByHand.OneCard = true
	c.start()
	c.applied("read 1, created 1")
	set := func(cards string) error {
		_, err := c.client.SetUser(t.Context(), pipeline.Edit{User: "p00000", Set: map[string]string{"cards": cards}})
		return err
	}
	if err := set("0001,0002"); !errors.Is(err, pipeline.ErrMistake) || !strings.Contains(err.Error(), "[K6]") {
		t.Errorf("two cards: %v", err)
	}
	if err := set("0001"); err != nil || len(c.user("p00000").List[store.Cards.List()]) != 1 {
		t.Errorf("one card: %v", err)
	}
}
