package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
	"rollcall/store"
)

// Only what changed is read from a slapd, with a session log (who is gone is told) and without (who is there is told), and by polling: after
// every step the store equals what ldapsearch shows, the run is an incremental one, and the events are exactly the changes.
func TestChangesOnSlapd(t *testing.T) {
	for _, test := range []struct {
		name, changes string
		options       ldaptest.SlapdOptions
	}{
		{"session log", "syncrepl", ldaptest.SlapdOptions{}},
		{"present list", "syncrepl", ldaptest.SlapdOptions{SessionLog: -1}},
		{"polling", "poll", ldaptest.SlapdOptions{NoSync: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, c := newDirectoryOf(t, 300, test.options)
			c.config.Sources[0].Reader.(*ldap.Config).Changes = test.changes
			c.start()
			c.applied("read 300, created 300")
			playChanges(t, c, slapdChanges(s), func(step slapdChange, run store.Run) {
				if run.Whole != (test.name != "session log") && step.events != nil && strings.HasSuffix(step.events[0], "deactivated") {
					t.Errorf("%s: the run is whole: %t", step.name, run.Whole)
				}
				compare(t, s, c)
			})
		})
	}
}

// playChanges makes changes and after each an incremental run, whose events are exactly the changes.
func playChanges(t *testing.T, c *company, changes []slapdChange, check func(slapdChange, store.Run)) {
	t.Helper()
	for _, step := range changes {
		revision := c.revision()
		step.do()
		run := c.sync()
		if run.State != store.Applied || run.Kind != "incremental" {
			t.Fatalf("%s: the %s run is %s (%s): %s\n%q", step.name, run.Kind, run.State, run.Reason, counters(run), run.Messages)
		}
		check(step, run)
		var kinds []string
		for _, e := range c.events(revision) {
			kind, _, _ := strings.Cut(e, " ")
			kinds = append(kinds, kind)
		}
		if !slices.Equal(kinds, step.events) {
			t.Errorf("%s: events %q, want %q", step.name, kinds, step.events)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

type slapdChange struct {
	name   string
	do     func()
	events []string
}

func slapdChanges(s *ldaptest.Server) []slapdChange {
	uid := func(i int) string { return "uid=" + people.New(3).Person(i).UID }
	dn := func(i int) string { return uid(i) + ",ou=people," + s.Suffix }
	add := func(i int) {
		where, attributes := people.InetOrgPerson(people.New(3).Person(i), s.Suffix)
		all := map[string][]string{}
		for _, a := range attributes {
			if len(a.Values) > 0 {
				all[a.Name] = a.Values
			}
		}
		s.Add(where, all)
	}
	return []slapdChange{
		{"three are added", func() { add(300); add(301); add(302) }, []string{"created", "created", "created"}},
		{"phones, a title, cards", func() {
			s.Replace(dn(1), "telephoneNumber", "+420 1")
			s.Replace(dn(2), "telephoneNumber")
			s.Replace(dn(3), "title", "Astronaut")
			s.Replace(dn(4), "pager", "00AB00AB", "00AB00AC")
		}, []string{"updated", "updated", "updated", "updated"}},
		{"nothing happens", func() {}, nil},
		{"one is renamed", func() { s.Rename(dn(5), "uid=aaa.renamed", "") }, []string{"updated"}},
		{"one moves to the other base", func() { s.Rename(dn(6), uid(6), "ou=groups,"+s.Suffix) }, nil},
		{"one moves out", func() { s.Rename(dn(7), uid(7), "ou=leavers,"+s.Suffix) }, []string{"deactivated"}},
		{"two are deleted", func() { s.Delete(dn(8)); s.Delete(dn(9)) }, []string{"deactivated", "deactivated"}},
		{"one comes back", func() { s.Rename(uid(7)+",ou=leavers,"+s.Suffix, uid(7), "ou=people,"+s.Suffix) }, []string{"reactivated"}},
		{"ten change at once", func() {
			for i := range 10 {
				s.Replace(dn(20+i), "telephoneNumber", fmt.Sprint("+420 ", i))
			}
		}, slices.Repeat([]string{"updated"}, 10)},
		{"nothing happens again", func() {}, nil},
	}
}

// A live source on a slapd: every change becomes events by itself, also those that were made while the server was away; after every step
// the store equals what ldapsearch shows. A server that does not tell by itself is asked.
func TestLiveOnSlapd(t *testing.T) {
	for name, options := range map[string]ldaptest.SlapdOptions{"told": {}, "polled": {NoSync: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := newDirectoryOf(t, 300, options)
			reader := c.config.Sources[0].Reader.(*ldap.Config)
			reader.Changes, reader.Live, reader.PollEvery = "auto", true, 100*time.Millisecond
			c.config.Sources[0].Live = true
			c.start()
			comes(t, "the first run", func() bool { return c.revision() >= 300 })
			for i, step := range slapdChanges(s) {
				revision := c.revision()
				step.do()
				if i == 1 || i == 6 {
					s.Restart()
				}
				c.eventuallyKinds(revision, step.events)
				compare(t, s, c)
				if t.Failed() {
					t.Fatalf("after %q", step.name)
				}
			}
		})
	}
}

// eventuallyKinds waits for events of these kinds and no others.
func (c *company) eventuallyKinds(after uint64, want []string) {
	c.t.Helper()
	var kinds []string
	comes(c.t, fmt.Sprintf("events %q", want), func() bool {
		kinds = nil
		for _, e := range c.events(after) {
			kind, _, _ := strings.Cut(e, " ")
			kinds = append(kinds, kind)
		}
		return len(kinds) >= len(want)
	})
	if !slices.Equal(kinds, want) {
		c.t.Fatalf("events %q, want %q", kinds, want)
	}
}
