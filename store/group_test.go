package store_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"rollcall/store"
)

var somePaths = []string{"Staff", "Staff|IT", "Staff|IT|Ops", `A\|B`, "Chess"}

// TestGroupsFollowUsers changes users at random and listens to what is told of groups: who keeps a list by that has
// always the groups that the users are in, every group of one id, and nothing is told twice.
func TestGroupsFollowUsers(t *testing.T) {
	folder, files := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		files++
		db := open(t, filepath.Join(folder, fmt.Sprint(files)), store.Options{NoSync: true})
		defer db.Close()
		l := &listener{db: db, users: map[string]*store.User{}, heard: map[string]*heardGroup{}, names: map[string]string{}}
		rt.Repeat(map[string]func(*rapid.T){"put": l.put, "hold": l.hold, "tell": l.tell, "": l.check})
		l.tell(rt)
	})
}

// listener knows of groups what it was told.
type listener struct {
	db    *store.DB
	users map[string]*store.User
	held  string
	heard map[string]*heardGroup // by id
	names map[string]string      // path → id
}

type heardGroup struct {
	path, origins string
	members       map[string]bool
}

func (l *listener) put(t *rapid.T) {
	u := &store.User{ID: fmt.Sprintf("user%d", rapid.IntRange(1, 4).Draw(t, "id")), Active: rapid.Bool().Draw(t, "active")}
	u.Text[store.UserName] = u.ID
	if !u.Active {
		u.InactiveReason = "manual"
	}
	for _, path := range slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.SampledFrom(somePaths), 0, 3, rapid.ID).Draw(t, "groups"))) {
		by := rapid.SampledFrom([][]string{{"corp"}, {"corp", "manual"}, {"manual"}}).Draw(t, "by")
		u.List[store.Groups.List()] = append(u.List[store.Groups.List()], store.Value{V: path, Origins: by})
	}
	u.Text[store.DefaultGroup] = rapid.SampledFrom(append([]string{"", ""}, somePaths...)).Draw(t, "default")
	must(t, l.db.Update(func(tx *store.Tx) error { return tx.PutUser(u) }))
	l.users[u.ID] = u
}

// hold has an entry keep a group although nobody is in it.
func (l *listener) hold(t *rapid.T) {
	l.held = rapid.SampledFrom([]string{"", "Staff|Empty", "Chess"}).Draw(t, "held")
	must(t, l.db.Update(func(tx *store.Tx) error {
		return tx.PutOrigin("corp", &store.Origin{Key: "g", Group: true, Holds: l.held})
	}))
}

func (l *listener) tell(t *rapid.T) {
	for more := true; more; {
		must(t, l.db.Update(func(tx *store.Tx) (err error) {
			more, err = tx.Regroup(2, func(c *store.GroupChange) error { return l.hear(t, tx, c) })
			return err
		}))
	}
	l.compare(t)
}

func (l *listener) hear(t *rapid.T, tx *store.Tx, c *store.GroupChange) error {
	g := l.heard[c.Group.ID]
	switch kind := c.Kind(); {
	case (kind == "created") != (g == nil):
		t.Fatalf("%s: %s was known: %t", kind, c.Group.Path, g != nil)
	case kind == "created":
		g = &heardGroup{members: map[string]bool{}}
		l.heard[c.Group.ID] = g
	case kind == "deleted":
		delete(l.heard, c.Group.ID)
	case len(c.Added)+len(c.Removed) == 0 && g.path == c.Group.Path && g.origins == fmt.Sprint(c.Group.Origins()):
		t.Fatalf("%s %s tells nothing", kind, c.Group.Path)
	}
	g.path, g.origins = c.Group.Path, fmt.Sprint(c.Group.Origins())
	for _, id := range c.Added {
		if g.members[id] {
			t.Fatalf("%s was in %s before", id, g.path)
		}
		g.members[id] = true
	}
	for _, id := range c.Removed {
		if !g.members[id] {
			t.Fatalf("%s was not in %s", id, g.path)
		}
		delete(g.members, id)
	}
	if c.Kind() == "deleted" && len(g.members) > 0 {
		t.Fatalf("%s is deleted with members %v", g.path, g.members)
	}
	n, chain := tx.Head()
	c.Group.Revision = n + 1
	return tx.AppendRevision(store.Revision{Number: n + 1, Chain: store.ChainOf(chain, nil)})
}

// compare compares what was told with what follows from the users, and with what the store answers.
func (l *listener) compare(t *rapid.T) {
	want := map[string]map[string]bool{}
	keep := func(path, user string) {
		for p := path; p != ""; p = store.ParentOf(p) {
			if want[p] == nil {
				want[p] = map[string]bool{}
			}
		}
		if user != "" {
			want[path][user] = true
		}
	}
	for id, u := range l.users {
		for _, v := range store.Memberships(u) {
			keep(v.V, id)
		}
	}
	if l.held != "" {
		keep(l.held, "")
	}
	heard, stored := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, g := range l.heard {
		heard[g.path] = g.members
	}
	must(t, l.db.View(func(tx *store.Tx) error {
		return tx.Groups("", func(g *store.Group) error {
			stored[g.Path] = map[string]bool{}
			if h := l.heard[g.ID]; h == nil || h.path != g.Path || h.origins != fmt.Sprint(g.Origins()) {
				t.Fatalf("%s of %v was told as %+v", g.Path, g.Origins(), h)
			}
			return tx.Members(g.Path, func(id string) error { stored[g.Path][id] = true; return nil })
		})
	}))
	same := func(a, b map[string]map[string]bool) bool {
		return maps.EqualFunc(a, b, func(a, b map[string]bool) bool { return maps.Equal(a, b) })
	}
	if !same(want, heard) || !same(want, stored) {
		t.Fatalf("told %v\nstored %v\nwant %v", heard, stored, want)
	}
}

func (l *listener) check(t *rapid.T) { must(t, l.db.Check()) }

// TestRenamedGroup keeps its id while it has one: its members are no news then, a group below it is another one.
func TestRenamedGroup(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "store.db"), store.Options{NoSync: true})
	defer db.Close()
	in := func(id string, paths ...string) *store.User {
		u := &store.User{ID: id, Active: true}
		u.Text[store.UserName] = id
		u.List[store.Groups.List()] = values(paths...)
		return u
	}
	var told []string
	tell := func(tx *store.Tx) error {
		_, err := tx.Regroup(1000, func(c *store.GroupChange) error {
			n, chain := tx.Head()
			c.Group.Revision = n + 1
			told = append(told, fmt.Sprintf("%s %s +%v -%v", c.Kind(), c.Group.Path, c.Added, c.Removed))
			return tx.AppendRevision(store.Revision{Number: n + 1, Chain: store.ChainOf(chain, nil)})
		})
		return err
	}
	id := func(path string) (id string) {
		must(t, db.View(func(tx *store.Tx) error {
			g, err := tx.Group(path)
			if g != nil {
				id = g.ID
			}
			return err
		}))
		return id
	}
	update(t, db, func(tx *store.Tx) error {
		must(t, tx.PutUser(in("a", "Old")))
		must(t, tx.PutUser(in("b", "Old")))
		return tell(tx)
	})
	old := id("Old")
	update(t, db, func(tx *store.Tx) error {
		must(t, tx.RenameGroup("Old", "New"))
		must(t, tx.PutUser(in("a", "New")))
		must(t, tx.PutUser(in("b")))
		must(t, tx.PutUser(in("c", "New")))
		return tell(tx)
	})
	if id("New") != old || id("Old") != "" {
		t.Errorf("New has id %s, Old had %s", id("New"), old)
	}
	// A new group of the old name has an id of its own, and a group that stays is not renamed.
	update(t, db, func(tx *store.Tx) error { must(t, tx.PutUser(in("d", "Old"))); return tell(tx) })
	if id("Old") == old || id("Old") == "" {
		t.Errorf("the new Old has id %q", id("Old"))
	}
	update(t, db, func(tx *store.Tx) error {
		must(t, tx.RenameGroup("New", "Newer"))
		must(t, tx.PutUser(in("c", "Newer")))
		return tell(tx)
	})
	if id("New") != old {
		t.Error("a group that somebody is still in was renamed")
	}
	want := []string{"created Old +[a b] -[]", "updated New +[c] -[b]", "created Old +[d] -[]", "updated New +[] -[c]", "created Newer +[c] -[]"}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	must(t, db.Check())
}

// TestLargeGroup is told in several events, each of which fits into a message.
func TestLargeGroup(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "store.db"), store.Options{NoSync: true})
	defer db.Close()
	const n = store.MaxGroupMembers + 5
	write := func(active bool) {
		update(t, db, func(tx *store.Tx) error {
			for i := range n {
				u := &store.User{ID: fmt.Sprintf("u%06d", i), Active: active, InactiveReason: "manual"}
				if active {
					u.InactiveReason = ""
				}
				u.Text[store.UserName] = u.ID
				u.List[store.Groups.List()] = values("All")
				must(t, tx.PutUser(u))
			}
			return nil
		})
	}
	var told []string
	tell := func() {
		for more := true; more; {
			update(t, db, func(tx *store.Tx) (err error) {
				more, err = tx.Regroup(100, func(c *store.GroupChange) error {
					told = append(told, fmt.Sprintf("%s +%d -%d", c.Kind(), len(c.Added), len(c.Removed)))
					c.Group.Revision = uint64(len(told))
					return nil
				})
				return err
			})
		}
		must(t, db.Check())
	}
	write(true)
	tell()
	write(false)
	tell()
	if want := []string{"created +10000 -0", "updated +5 -0", "updated +0 -10000", "deleted +0 -5"}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

// TestParentOf cuts paths at their levels, not at a "|" inside a name (G7).
func TestParentOf(t *testing.T) {
	for path, want := range map[string]string{"Staff": "", "Staff|IT": "Staff", "Staff|IT|Ops": "Staff|IT", `A\|B`: "", `A\|B|C`: `A\|B`, `A\\|B`: `A\\`, "": ""} {
		if got := store.ParentOf(path); got != want {
			t.Errorf("%q is below %q, not %q", path, got, want)
		}
	}
	if got := store.GroupName(`Staff|A\|B\\`); got != `A|B\` {
		t.Errorf("name %q", got)
	}
}
