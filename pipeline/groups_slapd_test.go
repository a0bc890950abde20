package pipeline_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/pipeline/policy"
	"rollcall/store"
)

// somePeople are the people of the group tests: user name, place, department and title.
var somePeople = [][4]string{
	{"alice", "ou=Ops,ou=IT", "IT", "Operator"}, {"bob", "ou=IT", "IT", "Boss"}, {"carol", "ou=HR", "HR", ""}, {"dan", "ou=HR", "", "Clerk"}, {"eve", "", "", ""},
}

// newGroupDirectory starts a slapd with five people and four groups, of which one has nobody in it and one the members of another.
func newGroupDirectory(t *testing.T, rules []mapping.GroupRule, change ...func(*pipeline.Source)) (*ldaptest.Server, *company) {
	t.Helper()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	unit := func(dn, ou string) {
		s.Add(dn, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {ou}})
	}
	people, groups := "ou=people,"+s.Suffix, "ou=groups,"+s.Suffix
	unit("ou=IT,"+people, "IT")
	unit("ou=Ops,ou=IT,"+people, "Ops")
	unit("ou=HR,"+people, "HR")
	unit("ou=Tech,"+groups, "Tech")
	unit("ou=Servers,ou=Tech,"+groups, "Servers")
	for _, p := range somePeople {
		attributes := map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {p[0]}, "cn": {p[0]}, "sn": {p[0]}}
		for name, value := range map[string]string{"departmentNumber": p[2], "title": p[3]} {
			if value != "" {
				attributes[name] = []string{value}
			}
		}
		s.Add(dnOf(s, p[0], p[1]), attributes)
	}
	group := func(cn, under string, members ...string) {
		s.Add("cn="+cn+","+under+groups, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {cn}, "member": members})
	}
	group("Linux", "ou=Servers,ou=Tech,", dnOf(s, "alice", "ou=Ops,ou=IT"), dnOf(s, "bob", "ou=IT"))
	group("All", "", "cn=Linux,ou=Servers,ou=Tech,"+groups, dnOf(s, "carol", "ou=HR"), "cn=All,"+groups)
	group("Empty", "", "cn=nobody,"+s.Suffix)
	s.Add("cn=Posix,"+groups, map[string][]string{"objectClass": {"groupOfNames", "posixGroup"}, "cn": {"Posix"}, "gidNumber": {"7"}, "member": {"cn=nobody"}, "memberUid": {"DAN", "eve"}})
	reader := &ldap.Config{Type: "openldap", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
		BaseDNs: []string{people}, Changes: "full", IdleTimeout: 5 * time.Second}
	for _, r := range rules {
		reader.GroupBaseDNs = append(reader.GroupBaseDNs, r.BaseDNs...)
	}
	change = append([]func(*pipeline.Source){func(source *pipeline.Source) {
		from := func(name string) mapping.Rule { return mapping.Rule{From: []string{name}} }
		source.Mapping = mapping.Config{Properties: map[string]mapping.Rule{"user_name": from("uid"), "phone": from("telephoneNumber")}, Groups: rules}
		for _, r := range rules {
			if r.By == "membership" {
				source.Options.Memberships = true
				source.Options.MembershipDefault = source.Options.MembershipDefault || r.MakeDefault
			}
		}
	}}, change...)
	return s, newCompany(t, reader, change...)
}

func dnOf(s *ldaptest.Server, uid, place string) string {
	if place != "" {
		place += ","
	}
	return "uid=" + uid + "," + place + "ou=people," + s.Suffix
}

// memberships returns the groups of every active user, the default one with a star.
func (c *company) memberships() map[string]string {
	c.t.Helper()
	all := map[string]string{}
	err := c.client.Users(context.Background(), pipeline.UserQuery{}, func(u store.User) error {
		var paths []string
		for _, v := range u.List[store.Groups.List()] {
			if v.V == u.Text[store.DefaultGroup] {
				v.V += "*"
			}
			paths = append(paths, v.V)
		}
		all[u.Text[store.UserName]] = strings.Join(paths, " ")
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// areIn fails the test unless every user is in the groups given, "user: groups" a line.
func (c *company) areIn(want ...string) {
	c.t.Helper()
	var got []string
	for name, groups := range c.memberships() {
		got = append(got, strings.TrimSpace(name+": "+groups))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		c.t.Errorf("users are in\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// groupEvents returns the events of groups after a revision, in words.
func (c *company) groupEvents(after uint64) (all []string) {
	c.t.Helper()
	err := c.client.GroupEvents(context.Background(), pipeline.EventOptions{After: after}, func(e events.GroupChanged) error {
		text := e.Kind + " " + e.Group.Path
		if e.Group.OldPath != "" {
			text += " was " + e.Group.OldPath
		}
		if n := len(e.Members.Added); n > 0 {
			text += fmt.Sprintf(" +%d", n)
		}
		if n := len(e.Members.Removed); n > 0 {
			text += fmt.Sprintf(" -%d", n)
		}
		all = append(all, text)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// G1: the four ways into groups on a real slapd, alone and all together, user by user; a second run finds nothing.
func TestFourWaysOnSlapd(t *testing.T) {
	const bases = "ou=groups,dc=example,dc=com"
	template := mapping.GroupRule{By: "template", Value: "%departmentNumber%|%title%"}
	unit := mapping.GroupRule{By: "ou", Index: 2}
	tree := mapping.GroupRule{By: "dn-tree", StripLeft: 1, StripRight: 3}
	membership := mapping.GroupRule{By: "membership", BaseDNs: []string{bases}}
	with := func(r mapping.GroupRule, change func(*mapping.GroupRule)) mapping.GroupRule { change(&r); return r }
	for _, test := range []struct {
		name  string
		rules []mapping.GroupRule
		want  []string
	}{
		{"template", []mapping.GroupRule{template}, []string{"alice: IT|Operator", "bob: IT|Boss", "carol: HR", "dan: Clerk", "eve:"}},
		{"ou", []mapping.GroupRule{unit}, []string{"alice: IT", "bob: IT", "carol: HR", "dan: HR", "eve:"}},
		{"dn-tree", []mapping.GroupRule{tree}, []string{"alice: IT|Ops", "bob: IT", "carol: HR", "dan: HR", "eve:"}},
		{"membership", []mapping.GroupRule{membership}, []string{"alice: Linux", "bob: Linux", "carol: All", "dan: Posix", "eve: Posix"}},
		{"nested", []mapping.GroupRule{with(membership, func(r *mapping.GroupRule) { r.Nested = true })},
			[]string{"alice: All Linux", "bob: All Linux", "carol: All", "dan: Posix", "eve: Posix"}},
		{"tree", []mapping.GroupRule{with(membership, func(r *mapping.GroupRule) { r.Tree = true })},
			[]string{"alice: Tech|Servers|Linux", "bob: Tech|Servers|Linux", "carol: All", "dan: Posix", "eve: Posix"}},
		{"together", []mapping.GroupRule{
			template, with(unit, func(r *mapping.GroupRule) { r.MakeDefault = true }), tree,
			with(membership, func(r *mapping.GroupRule) { r.Tree, r.Nested, r.MakeDefault = true, true, true }),
		}, []string{
			"alice: All IT* IT|Operator IT|Ops Tech|Servers|Linux", "bob: All IT* IT|Boss Tech|Servers|Linux", "carol: All HR*", "dan: Clerk HR* Posix", "eve: Posix*"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, c := newGroupDirectory(t, test.rules)
			c.start()
			if run := c.sync(); run.State != store.Applied {
				t.Fatalf("%s: %s %q", run.State, run.Reason, run.Messages)
			}
			c.areIn(test.want...)
			revision := c.revision()
			if run := c.sync(); run.Updated+run.Created != 0 || c.revision() != revision {
				t.Errorf("a second run: %s", counters(run))
			}
		})
	}
}

// G1, G4: groups of a slapd as they change: members come and go, a group is renamed and keeps its id, a person's entry moves, a
// group has nobody in it and is there, a group within a group changes, the graft point is another one. Only whom it concerns is written.
func TestGroupsChangeOnSlapd(t *testing.T) {
	for _, changes := range []string{"full", "syncrepl"} {
		t.Run(changes, func(t *testing.T) { groupsChange(t, changes) })
	}
}

func groupsChange(t *testing.T, changes string) {
	rules := []mapping.GroupRule{{By: "membership", BaseDNs: []string{"ou=groups,dc=example,dc=com"}, Tree: true, Nested: true, EmptyGroups: true}}
	s, c := newGroupDirectory(t, rules, func(source *pipeline.Source) { source.Reader.(*ldap.Config).Changes = changes })
	groups := "ou=groups," + s.Suffix
	linux := "cn=Linux,ou=Servers,ou=Tech," + groups
	c.start()
	c.applied("read 9, created 9")
	first := []string{"alice: All Tech|Servers|Linux", "bob: All Tech|Servers|Linux", "carol: All", "dan: Posix", "eve: Posix"}
	c.areIn(first...)
	if got := c.groupEvents(0); !slices.Equal(got, []string{"created All +3", "created Empty", "created Posix +2", "created Tech", "created Tech|Servers", "created Tech|Servers|Linux +2"}) {
		t.Errorf("group events %q", got)
	}
	id := func(path string) string {
		g, err := c.client.Group(t.Context(), path)
		if err != nil {
			t.Error(err)
		}
		return g.ID
	}
	was := id("Tech|Servers|Linux")
	for _, step := range []struct {
		name   string
		change func()
		want   string
		users  []string
		groups []string
	}{
		{"dan joins, bob leaves", func() {
			s.Replace(linux, "member", dnOf(s, "alice", "ou=Ops,ou=IT"), dnOf(s, "dan", "ou=HR"))
		}, "read 9, unchanged 6, updated 3", []string{"alice: All Tech|Servers|Linux", "bob:", "carol: All", "dan: All Posix Tech|Servers|Linux", "eve: Posix"},
			[]string{"updated All +1 -1", "updated Tech|Servers|Linux +1 -1"}},
		{"nothing happens", func() {}, "read 9, unchanged 9", nil, nil},
		{"a group is renamed, and named so by the one that holds it", func() {
			s.Rename(linux, "cn=Unix", "")
			linux = "cn=Unix,ou=Servers,ou=Tech," + groups
			s.Replace("cn=All,"+groups, "member", linux, dnOf(s, "carol", "ou=HR"))
		}, "read 9, unchanged 5, updated 4", []string{"alice: All Tech|Servers|Unix", "bob:", "carol: All", "dan: All Posix Tech|Servers|Unix", "eve: Posix"},
			[]string{"updated Tech|Servers|Unix was Tech|Servers|Linux"}},
		{"dan's entry moves, and the server mends the groups", func() {
			s.Rename(dnOf(s, "dan", "ou=HR"), "uid=dan", "ou=IT,ou=people,"+s.Suffix)
		}, "read 9, unchanged 8, updated 1", nil, nil},
		{"eve is called otherwise, and nobody mends memberUid", func() {
			s.Rename(dnOf(s, "eve", ""), "uid=eva", "")
		}, "read 9, unchanged 8, updated 1", []string{"alice: All Tech|Servers|Unix", "bob:", "carol: All", "dan: All Posix Tech|Servers|Unix", "eva:"},
			[]string{"updated Posix -1"}},
		{"a group within a group is taken out", func() {
			s.Replace("cn=All,"+groups, "member", dnOf(s, "carol", "ou=HR"), dnOf(s, "eva", ""))
		}, "read 9, unchanged 5, updated 4", []string{"alice: Tech|Servers|Unix", "bob:", "carol: All", "dan: Posix Tech|Servers|Unix", "eva: All"},
			[]string{"updated All +1 -2"}},
		{"groups go", func() { s.Delete("cn=Empty," + groups); s.Delete(linux) }, "read 9, unchanged 5, updated 2, deletions 2",
			[]string{"alice:", "bob:", "carol: All", "dan: Posix", "eva: All"},
			[]string{"deleted Empty", "deleted Tech", "deleted Tech|Servers", "deleted Tech|Servers|Unix -2"}},
		{"a member is deleted", func() { s.Delete(dnOf(s, "carol", "ou=HR")) }, "read 7, unchanged 5, updated 1, deletions 1, deactivated 1",
			[]string{"alice:", "bob:", "dan: Posix", "eva: All"}, []string{"updated All -1"}},
	} {
		revision := c.revision()
		step.change()
		run := c.sync()
		if got := counters(run); run.State != store.Applied || changes == "full" && got != step.want {
			t.Errorf("%s: run is %s (%s): %s; want %s\n%q", step.name, run.State, run.Reason, got, step.want, run.Messages)
		}
		if incremental := run.Kind == "incremental"; incremental == (changes == "full") {
			t.Errorf("%s: run is %s", step.name, run.Kind)
		}
		if step.users != nil {
			c.areIn(step.users...)
		}
		if got := c.groupEvents(revision); !slices.Equal(got, step.groups) {
			t.Errorf("%s: group events %q, want %q", step.name, got, step.groups)
		}
		if strings.Contains(step.name, "renamed") && id("Tech|Servers|Unix") != was {
			t.Error("the renamed group has another id")
		}
		if t.Failed() {
			t.Fatal(step.name)
		}
	}
	c.stop()
	c.config.Sources[0].Mapping.GroupsUnder = "Corp|LDAP"
	c.start()
	revision := c.revision()
	c.sync()
	c.areIn("alice:", "bob:", "dan: Corp|LDAP|Posix", "eva: Corp|LDAP|All")
	want := []string{"created Corp", "created Corp|LDAP", "updated Corp|LDAP|All was All", "updated Corp|LDAP|Posix was Posix"}
	if got := c.groupEvents(revision); !slices.Equal(got, want) {
		t.Errorf("another graft point: group events %q, want %q", got, want)
	}
}

// E2: people are wanted who are in a group of a slapd; whoever leaves is missing, who enters appears, though nobody's own
// entry changes.
func TestSelectedGroupsOnSlapd(t *testing.T) {
	s, c := newGroupDirectory(t, nil, func(source *pipeline.Source) {
		source.Reader.(*ldap.Config).GroupBaseDNs = []string{"ou=groups,dc=example,dc=com"}
		source.Mapping.SelectGroups, source.Mapping.EntryNames = []string{"all"}, "dn"
		source.Options.SelectGroups, source.Options.SelectNested = true, true
		source.Options.Guard.Deactivate = policy.Limit{Floor: 2}
	})
	all := "cn=All,ou=groups," + s.Suffix
	c.start()
	c.applied("read 9, created 7, ignored 2")
	c.areIn("alice:", "bob:", "carol:")
	s.Replace(all, "member", dnOf(s, "carol", "ou=HR"), dnOf(s, "dan", "ou=HR"), "cn=Posix,ou=groups,"+s.Suffix)
	run := c.sync()
	if got := counters(run); got != "read 9, unchanged 4, created 2, updated 1, deletions 2, deactivated 2" {
		t.Errorf("run: %s", got)
	}
	c.areIn("carol:", "dan:", "eve:")
	s.Delete(all) // H1: nobody is wanted any more
	if run := c.sync(); run.State != store.Held || !strings.Contains(run.Reason, "would deactivate 3 of 3 users") {
		t.Errorf("without the group the run is %s: %s", run.State, run.Reason)
	}
	c.areIn("carol:", "dan:", "eve:")
}
