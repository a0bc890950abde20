package entra

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/connectors"
)

// groups are the groups of a round, put together from all their entries: a large group comes in several, in any order.
type groups struct {
	reader *reader
	whole  bool
	byID   map[string]*group
	ids    map[string]string // one copy of each member's id
}

// group is what a round says of one group.
type group struct {
	record connectors.Record
	// members tells of each mentioned member whether it is one now.
	members map[string]bool
	// isNew is true when it was created after the round before: all its members are in this one.
	isNew bool
}

// newGroups returns no groups yet. since is when the round before ended, zero for a first round.
func newGroups(whole bool, since time.Time) *groups {
	g := &groups{
		reader: newReader(connectors.Group, []string{"createdDateTime", "description", "displayName", "mail"}), whole: whole,
		byID: map[string]*group{}, ids: map[string]string{},
	}
	g.reader.since = since
	return g
}

// take reads the next group of a page.
func (g *groups) take(p *page) error {
	rec, err := g.reader.read(p, g.whole)
	if err != nil {
		return err
	}
	one := g.byID[rec.Key]
	if one == nil {
		one = &group{members: map[string]bool{}}
		g.byID[rec.Key] = one
	}
	one.record, one.isNew = rec, one.isNew || g.reader.isNew
	one.record.Attributes = cloneAttributes(rec.Attributes)
	for _, l := range g.reader.links {
		one.members[g.intern(l.id)] = !l.removed
	}
	return nil
}

func (g *groups) intern(id string) string {
	if known, ok := g.ids[id]; ok {
		return known
	}
	g.ids[id] = id
	return id
}

func cloneAttributes(list []connectors.Attribute) []connectors.Attribute {
	list = slices.Clone(list)
	for i := range list {
		list[i].Values = slices.Clone(list[i].Values)
	}
	return list
}

// full is the group's record with all its members, or of an incremental round with the changes of them:
// "members@delta", "+" or "-" before each id.
func (o *group) full(whole bool) connectors.Record {
	rec := o.record
	if rec.Deleted {
		return rec
	}
	whole = whole || o.isNew
	a := connectors.Attribute{Name: "members"}
	for id, is := range o.members {
		switch {
		case !whole && is:
			a.Values = append(a.Values, "+"+id)
		case !whole:
			a.Values = append(a.Values, "-"+id)
		case is:
			a.Values = append(a.Values, id)
		}
	}
	slices.Sort(a.Values)
	if !whole {
		rec.Partial = true
		if a.Name = "members@delta"; len(a.Values) == 0 {
			return rec
		}
	}
	rec.Attributes = append(rec.Attributes, a)
	slices.SortFunc(rec.Attributes, func(a, b connectors.Attribute) int { return strings.Compare(a.Name, b.Name) })
	return rec
}

// emitGroups emits the round's groups where they are wanted; chosen limits them to the selected ones.
func (p *pass) emitGroups(ctx context.Context, g *groups, chosen *closure) error {
	if !p.wanted.groups {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(g.byID)) {
		if chosen != nil && !chosen.groups[id] {
			continue
		}
		if err := p.give(ctx, g.byID[id].full(p.whole)); err != nil {
			return err
		}
	}
	return nil
}

// closure is everybody who belongs to the selected groups, and those groups.
type closure struct {
	users, groups map[string]bool
}

// choose finds who is selected, nil when everybody is. Groups that contain each other are no problem.
func (c *connector) choose(g *groups) (*closure, error) {
	if !c.config.walks() {
		_, err := g.named(c.config.Select.Groups) // who selects later can only see that nobody is in a group that is not there
		return nil, err
	}
	found := &closure{users: map[string]bool{}, groups: map[string]bool{}}
	queue, err := g.named(c.config.Select.Groups)
	if err != nil {
		return nil, err
	}
	for len(queue) > 0 {
		id := queue[0]
		queue = queue[1:]
		if found.groups[id] {
			continue
		}
		found.groups[id] = true
		for member, is := range g.byID[id].members {
			switch inner := g.byID[member]; {
			case !is:
			case inner == nil:
				found.users[member] = true
			case c.config.nested() && !inner.record.Deleted:
				queue = append(queue, member)
			}
		}
	}
	return found, nil
}

// named finds groups by id or name.
func (g *groups) named(wanted []string) ([]string, error) {
	byName := map[string][]string{}
	for id, one := range g.byID {
		for _, a := range one.record.Attributes {
			if a.Name == "displayName" && len(a.Values) > 0 {
				name := strings.ToLower(a.Values[0])
				byName[name] = append(byName[name], id)
			}
		}
	}
	var ids []string
	for _, name := range wanted {
		matches := byName[strings.ToLower(name)]
		if one := g.byID[strings.ToLower(name)]; one != nil && !one.record.Deleted {
			matches = []string{strings.ToLower(name)}
		}
		switch len(matches) {
		case 0:
			return nil, connectors.Hint(fmt.Errorf("%w: there is no group %q", connectors.ErrScope, name), "Try the group's object id in select.groups.")
		case 1:
			ids = append(ids, matches[0])
		default:
			return nil, connectors.Hint(fmt.Errorf("%w: %d groups are called %q", connectors.ErrScope, len(matches), name), "Try the group's object id in select.groups.")
		}
	}
	return ids, nil
}
