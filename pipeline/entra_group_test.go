package pipeline_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"rollcall/connectors/entra"
	"rollcall/connectors/entra/graphtest"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// People come into selected groups, move between groups within groups and leave, in full and incremental runs alike: who leaves the
// selection is missing, who enters appears, memberships follow the groups, and no whole run is needed for it.
func TestGroupsOfATenant(t *testing.T) {
	for _, kind := range []string{"full", "incremental"} {
		t.Run(kind, func(t *testing.T) {
			c := newCloud(t, graphtest.Options{PageSize: 3, MembersPerEntry: 2, Repeat: true}, func(s *pipeline.Source) {
				s.Mapping.Groups = []mapping.GroupRule{{By: "membership", Nested: true}}
				s.Mapping.IgnoreGroups, s.Mapping.IgnoreGroupsContaining = []string{"Ignored"}, []string{"_svc"}
				s.Mapping.SelectGroups, s.Mapping.EntryNames = []string{"Printing"}, "key"
				s.Options.Memberships, s.Options.SelectGroups, s.Options.SelectNested = true, true, true
				s.Reader.(*entra.Config).Select = entra.Selection{Groups: []string{"Printing"}, Later: true}
			})
			ids := map[string]string{}
			for _, name := range []string{"alice", "bob", "carol", "dave", "eve"} {
				ids[name] = c.add(name)
			}
			group := func(name string, members ...string) string {
				id := c.d.AddGroup(graphtest.Properties{"displayName": name})
				for _, m := range members {
					c.d.AddMember(id, m)
				}
				return id
			}
			staff := group("Staff", ids["alice"], ids["bob"], ids["carol"])
			printing := group("Printing", staff)
			it := group("IT", ids["alice"])
			group("Ignored", ids["alice"])
			group("printers_svc", ids["alice"])
			c.start()
			if run := c.sync(); run.State != store.Applied || run.Created != 3+5 { // groups are entries too
				t.Fatalf("first run is %s: %s; %q", run.State, counters(run), run.Messages)
			}
			c.members(map[string][]string{"alice": {"IT", "Printing", "Staff"}, "bob": {"Printing", "Staff"}, "carol": {"Printing", "Staff"}})
			for _, step := range []struct {
				name string
				do   func()
				want map[string][]string
			}{
				{"nothing", func() {}, nil},
				{"who enters appears", func() { c.d.AddMember(printing, ids["dave"]) },
					map[string][]string{"alice": {"IT", "Printing", "Staff"}, "bob": {"Printing", "Staff"}, "carol": {"Printing", "Staff"}, "dave": {"Printing"}}},
				{"who leaves is missing", func() { c.d.RemoveMember(staff, ids["bob"]) },
					map[string][]string{"alice": {"IT", "Printing", "Staff"}, "carol": {"Printing", "Staff"}, "dave": {"Printing"}}},
				{"one moves between groups", func() {
					c.d.RemoveMember(staff, ids["carol"])
					c.d.AddMember(printing, ids["carol"])
					c.d.AddMember(it, ids["carol"])
				},
					map[string][]string{"alice": {"IT", "Printing", "Staff"}, "carol": {"IT", "Printing"}, "dave": {"Printing"}}},
				{"who had left comes back", func() { c.d.AddMember(staff, ids["bob"]) },
					map[string][]string{"alice": {"IT", "Printing", "Staff"}, "bob": {"Printing", "Staff"}, "carol": {"IT", "Printing"}, "dave": {"Printing"}}},
				{"a group is renamed", func() { c.d.Patch(it, graphtest.Properties{"displayName": "Computers"}) },
					map[string][]string{"alice": {"Computers", "Printing", "Staff"}, "bob": {"Printing", "Staff"}, "carol": {"Computers", "Printing"}, "dave": {"Printing"}}},
				{"a group is deleted", func() { c.d.Delete(it) },
					map[string][]string{"alice": {"Printing", "Staff"}, "bob": {"Printing", "Staff"}, "carol": {"Printing"}, "dave": {"Printing"}}},
				{"it comes back, with its members", func() { c.d.Restore(it) },
					map[string][]string{"alice": {"Computers", "Printing", "Staff"}, "bob": {"Printing", "Staff"}, "carol": {"Computers", "Printing"}, "dave": {"Printing"}}},
				{"another one of its name", func() { c.d.Delete(it); c.d.Purge(it); it = group("Computers", ids["bob"]) },
					map[string][]string{"alice": {"Printing", "Staff"}, "bob": {"Computers", "Printing", "Staff"}, "carol": {"Printing"}, "dave": {"Printing"}}},
				{"a burst of moves", func() {
					for _, id := range ids {
						c.d.AddMember(it, id)
						c.d.RemoveMember(it, id)
						c.d.AddMember(it, id)
					}
					c.d.RemoveMember(it, ids["bob"])
					c.d.RemoveMember(staff, ids["alice"])
					c.d.AddMember(printing, ids["alice"])
				},
					map[string][]string{"alice": {"Computers", "Printing"}, "bob": {"Printing", "Staff"}, "carol": {"Computers", "Printing"}, "dave": {"Computers", "Printing"}}},
				{"a group within the group leaves", func() { c.d.RemoveMember(printing, staff) },
					map[string][]string{"alice": {"Computers", "Printing"}, "carol": {"Computers", "Printing"}, "dave": {"Computers", "Printing"}}},
			} {
				c.Advance(time.Minute)
				step.do()
				c.Advance(time.Minute)
				run := c.sync(pipeline.SyncOptions{Full: kind == "full"})
				if restored := step.name == "it comes back, with its members"; run.State != store.Applied || run.Kind != kind && !restored {
					t.Fatalf("%s: run is %s %s (%s): %s; %q", step.name, run.Kind, run.State, run.Reason, counters(run), run.Messages)
				}
				if step.want != nil {
					c.members(step.want)
				} else if run.Records != 0 {
					t.Errorf("%s: %d records", step.name, run.Records)
				}
				if t.Failed() {
					t.Fatal(step.name)
				}
			}
		})
	}
}

// members wants these active users, in these groups.
func (c *cloud) members(want map[string][]string) {
	c.t.Helper()
	got := map[string]string{}
	err := c.client.Users(c.t.Context(), pipeline.UserQuery{}, func(u store.User) error {
		var groups []string
		for _, g := range u.List[store.Groups.List()] {
			groups = append(groups, g.V)
		}
		slices.Sort(groups)
		got[u.Text[store.UserName]] = fmt.Sprint(groups)
		return nil
	})
	if err != nil || len(got) != len(want) {
		c.t.Errorf("users %v, want %v; %v", got, want, err)
	}
	for name, groups := range want {
		if got[name+"@example.org"] != fmt.Sprint(groups) {
			c.t.Errorf("%s is in %s, want %v", name, got[name+"@example.org"], groups)
		}
	}
}
