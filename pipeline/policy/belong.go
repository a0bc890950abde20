package policy

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"rollcall/connectors"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// belonging says who is in which groups that are entries of the source, as they are after the run: from the groups' own
// members in the run or else in the store (G1), never from what a person's entry says of itself.
type belonging struct {
	source string
	view   View
	// noted are the groups of the run, changed or gone, joined their members in order.
	noted  map[store.Key]*groupEntry
	joined []joined
	called map[store.Key][]store.Key // name → noted groups
	// stored are groups of the store that were looked at, above the groups that a group is in, however far up.
	stored map[store.Key]*groupEntry
	above  map[store.Key][]*groupEntry
	// renamed leads from old paths to new ones, left are all old ones.
	renamed map[string]string
	left    map[string]bool
}

// groupEntry is a group's entry; a group that is gone, or never was, has no path and no members.
type groupEntry struct {
	key            store.Key
	number         uint64
	path           string
	names, members []store.Key
	// nested, makesDefault and selects are what the mapping says of it.
	nested, makesDefault, selects bool
}

// joined says that a group of the run has a member.
type joined struct {
	member store.Key
	group  *groupEntry
}

func newBelonging(source string, v View) *belonging {
	return &belonging{source: source, view: v, noted: map[store.Key]*groupEntry{}, stored: map[store.Key]*groupEntry{},
		above: map[store.Key][]*groupEntry{}, renamed: map[string]string{}, left: map[string]bool{}, called: map[store.Key][]store.Key{}}
}

// isGroup reports whether a change is of a group's entry: the absence of one does not say so.
func isGroup(c *mapping.Change, origin *store.Origin) bool {
	return c.Kind == connectors.Group || c.Absent && origin != nil && origin.Group
}

// note takes a group of the run into account. What was rejected stays as it was.
func (b *belonging) note(c *mapping.Change, key store.Key) {
	before := b.noted[key]
	if c.Number == 0 || c.Rejected != "" || before != nil && before.number > c.Number {
		return
	}
	g := groupOf(key, c)
	g.names, g.members = store.HashNames(c.Names), store.HashNames(c.Members)
	b.noted[key] = g
}

func groupOf(key store.Key, c *mapping.Change) *groupEntry {
	g := &groupEntry{key: key, number: c.Number, path: pathOf(c)}
	if !c.Absent {
		g.nested, g.makesDefault, g.selects = c.Nested, c.MakesDefault, c.Selects
	}
	return g
}

// pathOf returns the group that the members of a group's entry are in, "" for none.
func pathOf(c *mapping.Change) string {
	if paths := c.List[store.Groups.List()]; len(paths) > 0 && !c.Absent {
		return paths[0]
	}
	return ""
}

// settle ends the noting. It adds the entries of people whose groups may be others after the run.
func (b *belonging) settle(first bool, people map[store.Key]bool) error {
	for _, g := range b.noted {
		for _, m := range g.members {
			b.joined = append(b.joined, joined{m, g})
		}
		for _, name := range g.names {
			b.called[name] = append(b.called[name], g.key)
		}
	}
	slices.SortFunc(b.joined, func(x, y joined) int {
		return cmp.Or(compareKeys(x.member, y.member), compareKeys(x.group.key, y.group.key))
	})
	if first {
		return nil // nobody is in the store yet
	}
	s := &search{belonging: b, names: map[store.Key]bool{}, groups: map[store.Key]bool{}, people: people}
	for _, g := range b.noted {
		if err := s.changed(g); err != nil {
			return err
		}
	}
	return nil
}

// search finds the people whom changed groups concern, down through the groups within groups.
type search struct {
	*belonging
	names, groups, people map[store.Key]bool
}

// changed looks at a group of the run beside what it was.
func (s *search) changed(g *groupEntry) error {
	old, err := s.storedGroup(g.key)
	if err != nil {
		return err
	}
	if old.path != "" && g.path != "" && old.path != g.path {
		s.renamed[old.path] = g.path
	}
	if old.path != g.path {
		s.left[old.path] = true
		for _, name := range append(slices.Clone(old.names), g.names...) {
			if err := s.naming(name); err != nil {
				return err
			}
		}
	}
	same := old.path == g.path && old.nested == g.nested && old.makesDefault == g.makesDefault && old.selects == g.selects && slices.Equal(old.names, g.names)
	if !same {
		s.groups[g.key] = true
	}
	for _, lists := range [][2][]store.Key{{old.members, g.members}, {g.members, old.members}} {
		for _, m := range lists[0] {
			_, both := slices.BinarySearchFunc(lists[1], m, compareKeys)
			if same && both {
				continue
			}
			if err := s.named(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// naming finds people whose entries name a group.
func (s *search) naming(name store.Key) error {
	keys, err := s.view.Joined(s.source, name)
	if err != nil {
		return err
	}
	for _, key := range keys {
		origin, err := s.view.Origin(s.source, key)
		if err != nil {
			return err
		}
		if origin != nil && origin.User != "" {
			s.people[key] = true
		}
	}
	return nil
}

// named finds who is called so: a person, or a group with all who are in it.
func (s *search) named(name store.Key) error {
	if s.names[name] {
		return nil
	}
	s.names[name] = true
	keys, err := s.view.Named(s.source, name)
	if err != nil {
		return err
	}
	for _, key := range slices.Concat(keys, s.called[name]) {
		origin, err := s.view.Origin(s.source, key)
		if err != nil {
			return err
		}
		if s.noted[key] == nil && origin != nil && !origin.Group {
			s.people[key] = true
			continue
		}
		if err := s.within(key); err != nil {
			return err
		}
	}
	return nil
}

// within finds all who are or were in a group.
func (s *search) within(key store.Key) error {
	if s.groups[key] {
		return nil
	}
	s.groups[key] = true
	old, err := s.storedGroup(key)
	if err != nil {
		return err
	}
	members := slices.Clone(old.members)
	if g := s.noted[key]; g != nil {
		members = append(members, g.members...)
	}
	for _, m := range members {
		if err := s.named(m); err != nil {
			return err
		}
	}
	return nil
}

// storedGroup returns a group as the store has it.
func (b *belonging) storedGroup(key store.Key) (*groupEntry, error) {
	if g := b.stored[key]; g != nil {
		return g, nil
	}
	g := &groupEntry{key: key}
	origin, err := b.view.Origin(b.source, key)
	if err != nil {
		return nil, err
	}
	if origin != nil && origin.Group && !origin.Gone && len(origin.Change) > 0 {
		c, err := decodeChange(origin.Change)
		if err != nil {
			return nil, err
		}
		g = groupOf(key, c)
		g.names, g.members = origin.Names, origin.Members
	}
	b.stored[key] = g
	return g, nil
}

// direct returns the groups that have one of the names among their members.
func (b *belonging) direct(names []store.Key) (groups []*groupEntry, err error) {
	for _, name := range names {
		keys, err := b.view.Joined(b.source, name)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if b.noted[key] != nil {
				continue
			}
			g, err := b.storedGroup(key)
			if err != nil {
				return nil, err
			}
			groups = append(groups, g)
		}
		at, _ := slices.BinarySearchFunc(b.joined, name, func(j joined, name store.Key) int { return compareKeys(j.member, name) })
		for ; at < len(b.joined) && b.joined[at].member == name; at++ {
			groups = append(groups, b.joined[at].group)
		}
	}
	return groups, nil
}

// groupsAbove returns the groups that a group is in, those above them included. Groups that contain each other are no
// problem.
func (b *belonging) groupsAbove(g *groupEntry) ([]*groupEntry, error) {
	if known, ok := b.above[g.key]; ok {
		return known, nil
	}
	var found []*groupEntry
	for queue := []*groupEntry{g}; len(queue) > 0; queue = queue[1:] {
		groups, err := b.direct(queue[0].names)
		if err != nil {
			return nil, err
		}
		for _, above := range groups {
			if above != g && !slices.Contains(found, above) {
				found, queue = append(found, above), append(queue, above)
			}
		}
	}
	b.above[g.key] = found
	return found, nil
}

// belongs is what a person's groups come to.
type belongs struct {
	// paths are sorted, each once; makesDefault is the first of those that make a default, "" for none.
	paths        []string
	makesDefault string
	// selected is true when a selected group is among them, nested when only further up.
	selected, nested bool
}

// of returns the groups of whoever is called so.
func (b *belonging) of(names []store.Key) (r belongs, err error) {
	direct, err := b.direct(names)
	if err != nil {
		return r, err
	}
	for _, g := range direct {
		r.add(g)
		r.selected = r.selected || g.selects
		above, err := b.groupsAbove(g)
		if err != nil {
			return r, err
		}
		for _, g := range above {
			if g.nested {
				r.add(g)
			}
			r.nested = r.nested || g.selects
		}
	}
	slices.Sort(r.paths)
	r.paths = slices.Compact(r.paths)
	return r, nil
}

func (r *belongs) add(g *groupEntry) {
	if g.path == "" {
		return
	}
	r.paths = append(r.paths, g.path)
	if g.makesDefault && (r.makesDefault == "" || g.path < r.makesDefault) {
		r.makesDefault = g.path
	}
}

// names returns what groups call an entry.
func (e *entry) names() []store.Key {
	if e.origin != nil && (e.change.Number == 0 || e.change.Rejected != "" || e.change.Absent) {
		return e.origin.Names
	}
	return store.HashNames(e.change.Names)
}

// unselected reports whether an entry's person is in none of the selected groups (E2).
func (d *desk) isUnselected(e *entry) (bool, error) {
	if d.belonging == nil || !d.options.SelectGroups || e.change.Absent || e.change.Rejected != "" {
		return false, nil
	}
	r, err := d.belonging.of(e.names())
	return !r.selected && !(r.nested && d.options.SelectNested), err
}

// belong adds to what an entry says the groups that it is in.
func (d *desk) belong(s saying, names []store.Key, later bool) (saying, error) {
	if d.belonging == nil || !d.options.Memberships {
		return s, nil
	}
	r, err := d.belonging.of(names)
	if err != nil {
		return s, err
	}
	i := store.Groups.List()
	s.set = s.set.With(store.Groups)
	s.list[i] = slices.Concat(s.list[i], r.paths)
	if d.options.MembershipDefault {
		s.set = s.set.With(store.DefaultGroup)
		if own := s.text[store.DefaultGroup]; r.makesDefault != "" && (own == "" || later) {
			s.text[store.DefaultGroup] = r.makesDefault
		}
	}
	return s, nil
}

// onlyRenamed reports whether lists of groups differ in nothing but names that the run gives to groups.
func (b *belonging) onlyRenamed(old, now []string) bool {
	if b == nil || len(b.renamed) == 0 {
		return false
	}
	after := make([]string, len(old))
	for i, path := range old {
		after[i] = path
		if to, ok := b.renamed[path]; ok {
			after[i] = to
		}
	}
	slices.SortFunc(after, strings.Compare)
	return slices.Equal(slices.Compact(after), now)
}

func compareKeys(a, b store.Key) int { return bytes.Compare(a[:], b[:]) }
