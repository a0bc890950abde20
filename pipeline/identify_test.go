package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/pipeline"
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

// M4: five wrong PINs lock their caller, and nobody else, also for right ones.
func TestIdentifyLocks(t *testing.T) {
	dir := newRoster().people(1)
	c := newCompany(t, dir)
	c.config.ByHand.HashPIN = func(pin string) string { return "hash of " + strings.ToUpper(pin) }
	c.start()
	for n := range 7 {
		found, err := c.client.Identify(t.Context(), pipeline.Identity{PIN: "1357", Caller: "terminal 1"})
		want := pipeline.IdentifiedUnknown
		if n >= 5 {
			want = pipeline.IdentifiedLocked
		}
		if err != nil || found.Result != want || (want == pipeline.IdentifiedLocked) != found.Until.After(time.Now().Add(14*time.Minute)) {
			t.Errorf("wrong PIN %d: %+v, %v; want %s", n+1, found, err, want)
		}
	}
	if found, err := c.client.Identify(t.Context(), pipeline.Identity{PIN: "1357", Caller: "terminal 2"}); err != nil || found.Result != pipeline.IdentifiedUnknown {
		t.Errorf("another caller: %+v, %v", found, err)
	}
}
