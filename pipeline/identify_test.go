package pipeline_test

import (
	"errors"
	"testing"
	"time"

	"rollcall/pipeline"
	"rollcall/store"
)

// M4: a person is identified by user name, alias, card or personal number; whoever is not active is unknown.
func TestIdentify(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "card", "00CAFE", "number", "E100")
	dir.person("bob", "card", "00BEEF")
	c := newCompany(t, dir).start()
	c.applied("read 2, created 2")
	edit := pipeline.Edit{User: "alice", Set: map[string]string{"aliases": "Ally"}}
	if _, err := c.client.SetUser(t.Context(), edit); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.AddCard(t.Context(), pipeline.Edit{User: "alice", Card: "over", Expires: time.Now().Add(-time.Second)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.DeactivateUser(t.Context(), pipeline.Edit{User: "bob"}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		pipeline.Identity
		want string
	}{
		{pipeline.Identity{Name: "ALICE"}, "alice"}, {pipeline.Identity{Name: "ally"}, "alice"}, {pipeline.Identity{Card: "00CAFE"}, "alice"},
		{pipeline.Identity{PersonalNumber: "e100"}, "alice"}, {pipeline.Identity{Card: "00cafe"}, ""}, {pipeline.Identity{Card: "CAFE"}, ""},
		{pipeline.Identity{Card: "over"}, ""}, {pipeline.Identity{Name: "bob"}, ""}, {pipeline.Identity{Card: "00BEEF"}, ""}, {pipeline.Identity{Name: "*"}, ""},
	} {
		found, err := c.client.Identify(t.Context(), q.Identity)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if found.User != nil {
			got = found.User.Text[0]
		}
		if got != q.want || (found.Result == pipeline.IdentifiedActive) != (q.want != "") {
			t.Errorf("%+v: %s %q, want %q", q.Identity, found.Result, got, q.want)
		}
	}
	for _, q := range []pipeline.Identity{{}, {Name: "alice", Card: "00CAFE"}} {
		if _, err := c.client.Identify(t.Context(), q); !errors.Is(err, pipeline.ErrMistake) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

// M4: five wrong PINs lock their caller, and nobody else, also for right ones, and one right PIN between wrong ones does not help.
func TestIdentifyLocks(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "pin", "739174")
	c := newCompany(t, dir, withPINs).start()
	c.applied("read 1, created 1")
	ask := func(caller, pin string) pipeline.Identified {
		t.Helper()
		found, err := c.client.Identify(t.Context(), pipeline.Identity{PIN: pin, Caller: caller})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for n, try := range []struct{ pin, want string }{
		{"1357", pipeline.IdentifiedUnknown}, {"1358", pipeline.IdentifiedUnknown}, {"739174", pipeline.IdentifiedActive}, {"1359", pipeline.IdentifiedUnknown},
		{"13579", pipeline.IdentifiedUnknown}, {"1355", pipeline.IdentifiedUnknown}, {"739174", pipeline.IdentifiedLocked}, {"1357", pipeline.IdentifiedLocked},
	} {
		found := ask("terminal 1", try.pin)
		if found.Result != try.want || (try.want == pipeline.IdentifiedLocked) != found.Until.After(time.Now().Add(14*time.Minute)) {
			t.Errorf("PIN %d: %+v; want %s", n+1, found, try.want)
		}
	}
	if found := ask("terminal 2", "739174"); found.Result != pipeline.IdentifiedActive || found.User.Text[store.UserName] != "alice" {
		t.Errorf("another caller: %+v", found)
	}
}
