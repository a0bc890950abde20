package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// P5: a PIN that is given travels as its hash, one that is generated is shown to whoever asked, once, and neither is in any
// file.
func TestP5PINsByHand(t *testing.T) {
	dir := newRoster().people(3)
	dir.set("p00002", "pin", "582039")
	c := newCompany(t, dir, withPINs)
	c.config.ByHand.PINs = policy.PINRules{MinimumLength: 6}
	c.start()
	c.applied("read 3, created 3")
	edit := func(user string) pipeline.Edit { return pipeline.Edit{User: user, Actor: "me", Reason: "because"} }
	e := edit("p00000")
	e.PIN = "7391746202"
	if _, err := c.client.AddPIN(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if c.pinOf("7391746202") != "p00000" {
		t.Error("the given PIN is nobody's")
	}
	for pin, want := range map[string]error{"7391746202": pipeline.ErrRefused, "582039": pipeline.ErrRefused, "123456": pipeline.ErrMistake, "83951": pipeline.ErrMistake, "": pipeline.ErrMistake} {
		e := edit("p00001")
		e.PIN = pin
		_, err := c.client.AddPIN(t.Context(), e)
		if !errors.Is(err, want) || strings.Contains(err.Error(), "p0000") || pin != "" && strings.Contains(err.Error()+connectors.HintOf(err), pin) {
			t.Errorf("%q: %v, want %v", pin, err, want)
		}
	}
	first := c.generated(edit("p00001"))
	second := c.generated(edit("p00001"))
	e = edit("p00001")
	e.Expires = time.Now().Add(time.Hour)
	third := c.generated(e)
	if c.pinOf(first) != pipeline.IdentifiedUnknown || c.pinOf(second) != "p00001" || c.pinOf(third) != "p00001" {
		t.Errorf("a new PIN takes the old one's place, a temporary one stands beside: %s %s %s", c.pinOf(first), c.pinOf(second), c.pinOf(third))
	}
	c.applied("read 3, unchanged 3")
	e = edit("p00001")
	e.PIN = second
	if _, err := c.client.RemovePIN(t.Context(), e); err != nil || c.pinOf(second) != pipeline.IdentifiedUnknown {
		t.Errorf("removed: %v", err)
	}
	if _, err := c.client.RemovePIN(t.Context(), edit("p00002")); err != nil || c.pinOf("582039") != pipeline.IdentifiedUnknown {
		t.Errorf("all removed: %v", err)
	}
	c.applied("read 3, unchanged 2, updated 1")
	if c.pinOf("582039") != "p00002" {
		t.Error("a source's PIN does not come back with its next run [U15]")
	}
	c.rebuilt()
	grepFiles(t, c.config.DataDir, "7391746202", first, second, third)
}

// generated generates a PIN.
func (c *company) generated(e pipeline.Edit) string {
	c.t.Helper()
	a, err := c.client.GeneratePIN(context.Background(), e)
	if err != nil || policy.CheckPIN(a.PIN, c.config.ByHand.PINs.MinimumLength) != nil {
		c.t.Fatalf("generated %+v, %v", a, err)
	}
	return a.PIN
}

// pins returns how many PINs everybody has.
func (c *company) pins() map[string]int {
	c.t.Helper()
	all := map[string]int{}
	err := c.client.Users(context.Background(), pipeline.UserQuery{}, func(u store.User) error {
		all[u.Text[store.UserName]] = len(u.List[store.PINs.List()])
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// P4: a run generates PINs for whoever has none and an e-mail address, also for people who are known already when it is
// switched on. An empty cell takes none away, and the same log draws the same ones.
func TestP4GeneratedBySync(t *testing.T) {
	dir := newRoster().people(300)
	dir.set("p00001", "mail")
	dir.set("p00002", "pin", "582039")
	c := newCompany(t, dir, withPINs).start()
	c.applied("read 300, created 300")
	c.stop()
	c.config.Sources[0].Options.PINs = policy.PINRules{MinimumLength: 4, Generate: true}
	c.config.Sources[0].Options.Merge = map[string]string{"pins": "full"}
	c.start()
	c.applied("read 300, unchanged 2, updated 298")
	for name, n := range c.pins() {
		if want := 1; n != want && name != "p00001" || n != 0 && name == "p00001" {
			t.Errorf("%s has %d PINs", name, n)
		}
	}
	dir.set("p00003", "pin", "")
	dir.set("p00004", "pin")
	dir.set("p00001", "mail", "new@example.com")
	dir.person("q", "pin", "739174")
	dir.person("r")
	c.applied("read 302, unchanged 299, created 2, updated 1")
	if have := c.pins(); have["p00003"] != 1 || have["p00004"] != 1 || have["p00001"] != 1 || have["q"] != 1 || have["r"] != 1 {
		t.Errorf("PINs: %v", have)
	}
	c.applied("read 302, unchanged 302")
	c.rebuilt()
}

// P4: whoever has no PIN any more, because a person took it or it ended, gets one with the next run although the directory did not
// change, and so does who is given an address by hand. A run after that writes nothing.
func TestP4GeneratedAgain(t *testing.T) {
	dir := newRoster().people(3)
	dir.person("r")
	c := newCompany(t, dir, withPINs)
	c.config.Sources[0].Options.PINs = policy.PINRules{MinimumLength: 4, Generate: true}
	c.start()
	c.applied("read 4, created 4")
	for _, edit := range []struct {
		user string
		do   func(context.Context, pipeline.Edit) (pipeline.Answer, error)
		pipeline.Edit
	}{
		{"p00000", c.client.RemovePIN, pipeline.Edit{}},
		{"r", c.client.SetUser, pipeline.Edit{Set: map[string]string{"email": "a@example.com"}}},
		{"p00002", c.client.RemovePIN, pipeline.Edit{}},
		{"p00002", c.client.AddPIN, pipeline.Edit{PIN: "582039", Expires: time.Now().Add(time.Second)}},
	} {
		edit.User = edit.user
		if _, err := edit.do(t.Context(), edit.Edit); err != nil {
			t.Fatalf("%s: %v", edit.user, err)
		}
	}
	eventually(t, func() bool { return c.pins()["p00002"] == 0 })
	c.applied("read 4, unchanged 1, updated 3")
	if have := c.pins(); have["p00000"] != 1 || have["r"] != 1 || have["p00002"] != 1 {
		t.Errorf("PINs: %v", have)
	}
	before := c.revision()
	c.applied("read 4, unchanged 4")
	if c.revision() != before {
		t.Error("a run that finds nothing new writes")
	}
	c.rebuilt()
}

// P4: what is drawn is never in use, and where nothing is left, the run says so and goes on.
func TestP4Exhausted(t *testing.T) {
	dir := newRoster().people(3)
	used := make([]string, 0, 10_000)
	for n := range 10_000 {
		pin := strings.Repeat("0", 4)[:4-len(itoa(n))] + itoa(n)
		if pin != "8302" {
			used = append(used, pin)
		}
	}
	dir.set("p00000", "pin", used...)
	c := newCompany(t, dir, withPINs, func(s *pipeline.Source) { s.Options.PINs = policy.PINRules{MinimumLength: 4, Generate: true} }).start()
	run := c.applied("read 3, created 3")
	if !strings.Contains(strings.Join(run.Messages, "\n"), "no PIN is left with 4 digits [P4]") {
		t.Errorf("messages: %.2000q", run.Messages)
	}
	have := c.pins()
	if have["p00001"]+have["p00002"] != 1 || !strings.HasPrefix(c.pinOf("8302"), "p0000") {
		t.Errorf("the last PIN: %v", have)
	}
	other := "p00001"
	if have[other] == 1 {
		other = "p00002"
	}
	_, err := c.client.GeneratePIN(t.Context(), pipeline.Edit{User: other})
	if !errors.Is(err, pipeline.ErrRefused) || !strings.Contains(err.Error(), "[P4]") || !strings.Contains(connectors.HintOf(err), "minimum_length") {
		t.Errorf("generated when none is left: %v (try %s)", err, connectors.HintOf(err))
	}
}

func itoa(n int) string {
	digits := ""
	for ; n > 0 || digits == ""; n /= 10 {
		digits = string(rune('0'+n%10)) + digits
	}
	return digits
}

// P6: when the minimum is raised, the next run makes new PINs for holders, for everybody or for nobody; those of sources
// are measured anew.
func TestP6Raised(t *testing.T) {
	for mode, want := range map[string][3]int{"keep": {1, 0, 1}, "holders": {1, 0, 1}, "all-active": {1, 1, 1}} {
		t.Run(mode, func(t *testing.T) {
			dir := newRoster().people(3)
			dir.set("p00002", "pin", "58203")
			c := newCompany(t, dir, withPINs)
			rules := policy.PINRules{MinimumLength: 5, OnRaise: mode}
			c.config.Sources[0].Options.PINs, c.config.ByHand.PINs = rules, rules
			c.start()
			c.applied("read 3, created 3")
			old := c.generated(pipeline.Edit{User: "p00000"})
			c.stop()
			rules.MinimumLength = 7
			c.config.Sources[0].Options.PINs, c.config.ByHand.PINs = rules, rules
			c.start()
			if run := c.sync(); run.State != store.Applied {
				t.Fatalf("run is %s: %s", run.State, run.Reason)
			}
			have := c.pins()
			if got := [3]int{have["p00000"], have["p00001"], have["p00002"]}; got != want {
				t.Errorf("PINs: %v, want %v", got, want)
			}
			if kept := c.pinOf(old) == "p00000"; kept != (mode == "keep") {
				t.Errorf("the old PIN is still good: %t", kept)
			}
			if kept := c.pinOf("58203") == "p00002"; kept != (mode == "keep") {
				t.Errorf("the PIN that the source says again is still good: %t", kept)
			}
			dir.set("p00001", "pin", "73918")
			dir.set("p00002", "phone", "1")
			if run := c.sync(); run.State != store.Applied || run.Warnings == 0 || c.pinOf("73918") == "p00001" {
				t.Errorf("run is %s with %d warnings, and a PIN that is too short is taken over: %t", run.State, run.Warnings, c.pinOf("73918") == "p00001")
			}
			if kept := c.pinOf("58203") == "p00002"; kept != (mode == "keep") {
				t.Errorf("the PIN is still good when its record changed otherwise: %t", kept)
			}
			c.rebuilt()
		})
	}
}

// P6: users of no source are among the holders and among all, once: with the run of the first source.
func TestP6RaisedOfNoSource(t *testing.T) {
	for mode, want := range map[string][2]int{"keep": {1, 0}, "holders": {1, 0}, "all-active": {1, 1}} {
		t.Run(mode, func(t *testing.T) {
			people, former, staff := newRoster().people(1), newRoster(), newRoster()
			former.person("carol")
			former.person("dave")
			former.person("frank")
			staff.person("erin")
			c := newCompany(t, people).withSource("staff", staff).withSource("former", former)
			minimum := func(digits int) {
				rules := policy.PINRules{MinimumLength: digits, OnRaise: mode}
				for i := range c.config.Sources {
					c.config.Sources[i].Options.PINs = rules
				}
				c.config.ByHand.PINs = rules
			}
			minimum(5)
			c.start()
			c.applied("read 1, created 1")
			c.runs("staff", "read 1, created 1")
			c.runs("former", "read 3, created 3")
			old := c.generated(pipeline.Edit{User: "carol"})
			c.stop()
			c.config.Sources = c.config.Sources[:2]
			c.start()
			plan, err := c.client.PlanRetirement(t.Context(), pipeline.Retire{Source: "former"})
			if err == nil {
				_, err = c.client.RetireSource(t.Context(), pipeline.Retire{Source: "former", Plan: plan.Plan})
			}
			if err != nil || plan.Local != 3 {
				t.Fatalf("plan %+v, %v", plan, err)
			}
			c.stop()
			people.person("frank")
			minimum(7)
			c.start()
			if run := c.sync(); run.State != store.Applied {
				t.Fatalf("run is %s", run.State)
			}
			have, carol := c.pins(), c.user("carol").Revision
			if got := [2]int{have["carol"], have["dave"]}; got != want {
				t.Errorf("PINs: %v, want %v", got, want)
			}
			if label := c.user("frank").Label; label != "people" || have["frank"] != want[1] {
				t.Errorf("who is a source's again is of %q and has %d PINs, want %d", label, have["frank"], want[1])
			}
			if kept := c.pinOf(old) == "carol"; kept != (mode == "keep") {
				t.Errorf("the old PIN is still good: %t", kept)
			}
			job, err := c.client.Sync(t.Context(), "staff", pipeline.SyncOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if run, err := c.client.Follow(t.Context(), "staff", job, nil); err != nil || run.State != store.Applied || c.pins()["erin"] != want[1] {
				t.Errorf("run is %s, erin has %d PINs, want %d (%v)", run.State, c.pins()["erin"], want[1], err)
			}
			if now := c.user("carol").Revision; now != carol {
				t.Errorf("another source's run makes revision %d of carol, after %d", now, carol)
			}
			c.rebuilt()
		})
	}
}

// P7, K6: temporary PINs and cards end by themselves, with a revision and an event each, also while the pipeline was away;
// what a source still says does not bring them back.
func TestP7K6Expiry(t *testing.T) {
	dir := newRoster().people(2)
	dir.set("p00000", "pin", "739174")
	dir.set("p00000", "card", "4711")
	dir.set("p00001", "card", "4711")
	c := newCompany(t, dir, func(s *pipeline.Source) {
		s.Mapping.Properties["pins"] = mapping.Rule{From: []string{"pin"}, Kind: "temporary", ValidFor: 6 * time.Second}
		s.Mapping.Properties["cards"] = mapping.Rule{From: []string{"card"}, Kind: "temporary", ValidFor: 6 * time.Second}
	}).start()
	c.applied("read 2, created 2")
	before := c.revision()
	if _, err := c.client.AddPIN(t.Context(), pipeline.Edit{User: "p00001", PIN: "582039", Expires: time.Now().Add(2 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	if c.pinOf("739174") != "p00000" || len(c.user("p00000").List[store.Cards.List()]) != 1 {
		t.Error("temporary ones are not there to begin with")
	}
	c.stop()
	time.Sleep(2 * time.Second)
	c.config.Sources[0].Mapping.Properties["cards"] = mapping.Rule{From: []string{"card"}, Kind: "temporary", ValidFor: time.Hour} // of the next card
	c.start()
	eventually(t, func() bool {
		have := c.pins()
		return have["p00000"] == 0 && have["p00001"] == 0
	})
	if n := len(c.user("p00000").List[store.Cards.List()]); n != 0 {
		t.Errorf("%d cards are left", n)
	}
	c.settled()
	if got := strings.Join(c.events(before), ", "); got != "updated p00001, updated p00001, updated p00000" {
		t.Errorf("events: %s", got)
	}
	c.applied("read 2, unchanged 1, updated 1")
	if len(c.user("p00001").List[store.Cards.List()]) != 1 {
		t.Error("who waited for a temporary card did not get it when it was free [C2]")
	}
	dir.set("p00000", "phone", "1")
	c.applied("read 2, unchanged 1, updated 1")
	if c.pins()["p00000"] != 0 || len(c.user("p00000").List[store.Cards.List()]) != 0 {
		t.Error("what ended came back with a phone number")
	}
	c.stop()
	c.config.Sources[0].Mapping.Properties["cards"] = mapping.Rule{From: []string{"card"}}
	c.start()
	c.sync()
	if list := c.user("p00001").List[store.Cards.List()]; len(list) != 1 || !list[0].Expires.IsZero() {
		t.Errorf("a card ends whose rule says so no more: %+v", list)
	}
	dir.set("p00000", "pin", "739175")
	c.applied("read 2, unchanged 1, updated 1")
	if c.pins()["p00000"] != 1 {
		t.Error("a new temporary PIN did not come")
	}
	eventually(t, func() bool { return c.pins()["p00000"] == 0 })
	c.rebuilt()
}
