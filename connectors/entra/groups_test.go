package entra

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/entra/graphtest"
)

func makeGroup(d *graphtest.Directory, name string, members ...string) string {
	id := d.AddGroup(graphtest.Properties{"displayName": name})
	for _, m := range members {
		d.AddMember(id, m)
	}
	return id
}

func TestSelectionByGroups(t *testing.T) {
	tn := newTenant(t, graphtest.Options{PageSize: 3, MembersPerEntry: 2, Repeat: true})
	d := tn.Directory
	u := fill(d, 8)
	inner := makeGroup(d, "Inner", u[2], u[3])
	outer := makeGroup(d, "Outer", u[0], u[1], inner)
	d.AddMember(inner, outer) // a circle
	other := makeGroup(d, "Other", u[4])
	makeGroup(d, "Nobody asked", u[5])
	makeGroup(d, "Twice", u[6])
	makeGroup(d, "Twice", u[7])
	no := false
	for _, c := range []struct {
		groups []string
		nested *bool
		want   []string
		err    string
	}{
		{[]string{"Outer"}, nil, u[:4], ""},
		{[]string{"outer"}, &no, u[:2], ""},
		{[]string{inner}, &no, u[2:4], ""},
		{[]string{strings.ToUpper(inner), "Other"}, &no, u[2:5], ""},
		{[]string{other, "Outer"}, nil, u[:5], ""},
		{[]string{"Outer", "Missing"}, nil, nil, `no group "Missing"`},
		{[]string{"Twice"}, nil, nil, `2 groups are called "Twice"`},
	} {
		t.Run(strings.Join(c.groups, ","), func(t *testing.T) {
			tn.cfg.Select.Groups, tn.cfg.Select.Nested = c.groups, c.nested
			conn, m := tn.open(), memory{}
			o, err := conn.Read(t.Context(), nil, m.take)
			if c.err != "" {
				if !errors.Is(err, connectors.ErrScope) || !strings.Contains(err.Error(), c.err) || connectors.HintOf(err) == "" {
					t.Errorf("%v, want %q", err, c.err)
				}
				return
			}
			if err != nil || o.Next != nil || !o.Whole || keys(m) != ordered(c.want) {
				t.Errorf("users %s, want %s; outcome %+v, error %v", keys(m), ordered(c.want), o, err)
			}
			present, err := conn.Present(t.Context(), u)
			for _, id := range u {
				if present[id] != slices.Contains(c.want, id) || err != nil {
					t.Errorf("present[%s] is %t, error %v", id, present[id], err)
				}
			}
		})
	}
}

func keys(m memory) string {
	var ids []string
	for id := range m {
		ids = append(ids, id)
	}
	return ordered(ids)
}

func ordered(ids []string) string {
	return strings.Join(slices.Sorted(slices.Values(ids)), " ")
}

func TestSelectionLaterEmitsEverybodyAndTheGroups(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	u := fill(tn.Directory, 3)
	g := makeGroup(tn.Directory, "Printing", u[0])
	tn.cfg.Select = Selection{Groups: []string{"Printing"}, Later: true}
	m := memory{}
	c := tn.open()
	next := tn.read(c, nil, m).Next
	tn.Directory.AddMember(g, u[1])
	tn.read(tn.open(), next, m)
	m[g] = members(m[g])
	present, err := c.Present(t.Context(), append(u, g))
	if len(m) != 4 || values(m[g], "members") != strings.Join(slices.Sorted(slices.Values(u[:2])), "|") || err != nil || !present[u[2]] || !present[g] {
		t.Errorf("records %v, present %v, error %v", m, present, err)
	}
}

func TestWhoLeavesTheSelectionIsNoLongerPresent(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	u := fill(tn.Directory, 3)
	g := makeGroup(tn.Directory, "Printing", u...)
	tn.cfg.Select.Groups = []string{"Printing"}
	tn.read(tn.open(), nil, memory{})
	tn.Directory.RemoveMember(g, u[0])
	tn.Directory.Delete(u[1])
	m := memory{}
	c := tn.open()
	tn.read(c, nil, m)
	present, err := c.Present(t.Context(), u)
	if keys(m) != u[2] || err != nil || present[u[0]] || present[u[1]] || !present[u[2]] {
		t.Errorf("users %s, present %v, error %v", keys(m), present, err)
	}
}

func TestGuests(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	d := tn.Directory
	a := d.AddUser(graphtest.Properties{"userPrincipalName": "a_x.com#EXT#@example.org", "userType": "Member"})
	b := d.AddUser(graphtest.Properties{"userPrincipalName": "b@example.org", "userType": "Guest"})
	c := d.AddUser(graphtest.Properties{"userPrincipalName": "c@example.org", "userType": nil})
	m := memory{}
	conn := tn.open()
	tn.read(conn, nil, m)
	present, err := conn.Present(t.Context(), []string{a, b, c})
	if keys(m) != c || err != nil || present[a] || present[b] || !present[c] {
		t.Errorf("without guests: %s, present %v, error %v", keys(m), present, err)
	}
	tn.cfg.Select.Guests = true
	m = memory{}
	if tn.read(tn.open(), nil, m); len(m) != 3 {
		t.Errorf("with guests: %d users, want 3", len(m))
	}
}

// TestGroupRecords plays random memberships and compares what a receiver knows of the groups with the directory.
func TestGroupRecords(t *testing.T) {
	for i, o := range []graphtest.Options{{}, {PageSize: 2, MembersPerEntry: 3}, {PageSize: 3, MembersPerEntry: 2, Shuffle: true, EmptyPages: 3}} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			tn := newTenant(t, o)
			d, dice := tn.Directory, rand.New(rand.NewPCG(uint64(i), 7))
			u := fill(d, 30)
			var ids []string
			for n := range 6 {
				ids = append(ids, makeGroup(d, fmt.Sprint("Group ", n)))
			}
			m, next := memory{}, connectors.Checkpoint(nil)
			for round := range 25 {
				for range dice.IntN(15) {
					g, who := ids[dice.IntN(len(ids))], u[dice.IntN(len(u))]
					switch dice.IntN(5) {
					case 0, 1, 2:
						d.AddMember(g, who)
					case 3:
						d.RemoveMember(g, who)
					case 4:
						d.Patch(g, graphtest.Properties{"displayName": fmt.Sprint("Group ", dice.IntN(100))})
					}
				}
				if round == 12 {
					m, next = memory{}, nil
				}
				next = tn.read(tn.open("members"), next, m).Next
				compareGroups(t, d, ids, m)
			}
			d.Delete(ids[0])
			if tn.read(tn.open("members"), next, m); m[ids[0]].Key != "" {
				t.Error("a deleted group is still known")
			}
		})
	}
}

func compareGroups(t *testing.T, d *graphtest.Directory, ids []string, m memory) {
	t.Helper()
	for _, id := range ids {
		r := members(m[id])
		m[id] = r
		if got, want := values(r, "members"), told(d.Members(id)); got != want {
			t.Fatalf("members of %s: %s, want %s", id, got, want)
		}
		if got := values(r, "displayName"); r.Kind != connectors.Group || got != fmt.Sprint(d.Value(id, "displayName")) || r.Name != got {
			t.Fatalf("group %s: record %+v", id, r)
		}
	}
}

// members applies members@delta to members, as a receiver does.
func members(r connectors.Record) connectors.Record {
	set := map[string]bool{}
	var rest []connectors.Attribute
	for _, a := range r.Attributes {
		switch a.Name {
		case "members":
			for _, id := range a.Values {
				set[id] = true
			}
		case "members@delta":
			for _, id := range a.Values {
				set[id[1:]] = id[0] == '+'
			}
		default:
			rest = append(rest, a)
		}
	}
	var ids []string
	for id, in := range set {
		if in {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	r.Attributes = append(rest, connectors.Attribute{Name: "members", Values: ids})
	return r
}

func TestGroupsAreReadOnlyWhereTheyAreNeeded(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	makeGroup(tn.Directory, "Printing")
	m := memory{}
	if tn.read(tn.open("mail"), nil, m); len(m) != 0 {
		t.Errorf("%d records, want none", len(m))
	}
	for _, r := range tn.Requests() {
		if strings.Contains(r.Path, "groups") {
			t.Errorf("asked %s", r.Path)
		}
	}
	if tn.read(tn.open("memberOf"), nil, m); len(m) != 1 {
		t.Errorf("%d records, want the group", len(m))
	}
}
