package policy

import (
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// team is a group's entry in a random company.
type team struct {
	path                      string
	members                   []string
	nested, selects, rejected bool
}

var (
	someTeams   = rapid.SampledFrom([]string{"g1", "g2", "g3"})
	someMembers = rapid.SliceOfN(rapid.SampledFrom([]string{"k1", "k2", "k3", "k4", "k5", "k6", "g1", "g2", "g3"}), 0, 5)
	somePaths   = rapid.SampledFrom([]string{"", "A", "B", "A|C", "D"})
)

func (c *company) shuffleTeams() {
	for range rapid.IntRange(0, 2).Draw(c.T, "changed groups") {
		key := someTeams.Draw(c.T, "group")
		if rarely.Draw(c.T, "group goes") {
			delete(c.groups, key)
			continue
		}
		c.groups[key] = team{path: somePaths.Draw(c.T, "path"), members: someMembers.Draw(c.T, "members"), nested: rapid.Bool().Draw(c.T, "nested"),
			selects: rapid.Bool().Draw(c.T, "selects"), rejected: rarely.Draw(c.T, "group rejected")}
	}
}

func (c *company) readTeams(add func(*mapping.Change, string)) {
	for i := 1; i <= 3; i++ {
		key := fmt.Sprintf("g%d", i)
		g, there := c.groups[key]
		switch o := c.world.origins["corp"][store.KeyOf(key)]; {
		case there:
			add(g.change(key), fmt.Sprint(g))
		case o != nil:
			add(&mapping.Change{Key: key, Absent: true}, "absent")
		}
	}
}

func (g team) change(key string) *mapping.Change {
	change := &mapping.Change{Key: key, Kind: connectors.Group, Names: []string{key}, Members: g.members, Nested: g.nested, Selects: g.selects}
	if g.rejected {
		return &mapping.Change{Key: key, Kind: connectors.Group, Rejected: "no good"}
	}
	if g.path != "" {
		change.List[store.Groups.List()] = []string{g.path}
	}
	return change
}

// known are the groups as they were when they could be read last.
func (c *company) known() map[string]team {
	known := map[string]team{}
	for key, o := range c.world.origins["corp"] {
		if !o.Group || o.Gone {
			continue
		}
		change, err := decodeChange(o.Change)
		if err != nil {
			c.Fatal(err)
		}
		if change.Rejected != "" {
			continue
		}
		g := team{path: pathOf(change), nested: change.Nested, selects: change.Selects}
		for i := range 9 {
			name := []string{"k1", "k2", "k3", "k4", "k5", "k6", "g1", "g2", "g3"}[i]
			if slices.Contains(o.Members, store.KeyOf(name)) {
				g.members = append(g.members, name)
			}
		}
		known[c.world.origins["corp"][key].Key] = g
		if now, there := c.groups[o.Key]; !there || !now.rejected && (now.path != g.path || now.nested != g.nested || now.selects != g.selects) {
			c.Errorf("group %s is kept as %+v, the directory says %+v", o.Key, g, now)
		}
	}
	return known
}

// within returns who is in a group, groups included: path → depth.
func within(known map[string]team, key string, nested bool) map[string]bool {
	found := map[string]bool{}
	for _, m := range known[key].members {
		found[m] = true
	}
	for again := nested; again; {
		again = false
		for _, m := range slices.Collect(maps.Keys(found)) {
			for _, deeper := range known[m].members {
				again = again || !found[deeper]
				found[deeper] = true
			}
		}
	}
	return found
}

// inTeams compares the memberships of everybody who has one entry, which was taken over, with what follows from the
// groups' members, whichever way the runs went.
func (c *company) inTeams() {
	known := c.known()
	for _, u := range c.world.sorted() {
		var keys []string
		var said Action
		for _, ref := range u.Origins {
			if o := c.world.origins[ref.Source][ref.Key]; ref.Source == "corp" {
				keys, said = append(keys, o.Key), actionOf(o.Verdict)
				if o.Gone || o.Missed > 0 {
					said = Delete
				}
			}
		}
		if len(keys) != 1 || !u.Active || !isSettled(said) {
			continue
		}
		want, wanted := map[string]bool{}, !c.selects
		for key, g := range known {
			if g.path != "" && within(known, key, g.nested)[keys[0]] {
				want[g.path] = true
			}
			wanted = wanted || g.selects && within(known, key, true)[keys[0]]
		}
		got := map[string]bool{}
		for _, v := range u.List[store.Groups.List()] {
			if slices.Contains(v.Origins, "corp") {
				got[v.V] = true
			}
		}
		if !maps.Equal(got, want) || !wanted {
			c.Errorf("G1, E2: %s (%s) is in %v, should be in %v; selected: %t\n%s", nameOf(u), keys[0], got, want, wanted, c.world)
		}
	}
}
