package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/connectors"
	"rollcall/store"
)

// grouping is how records come into groups (section G).
type grouping struct {
	rules []groupRule
	// memberships is how many of the rules stand before the first membership rule that makes a default, -1 without one.
	memberships int
	// under is the graft point with a "|" behind it, "" for none (G4).
	under string
	// ignored are folded names, ignoredParts folded parts of names.
	ignored, ignoredParts []string
}

// groupRule is a compiled [GroupRule] other than membership (see belonging).
type groupRule struct {
	by          string
	template    *template
	slots       []int // the attributes, or that of the DN
	index       int
	left, right int
	makeDefault bool
}

// distinguishedName is the attribute that holds an entry's place in the directory.
const distinguishedName = "dn"

func (g *grouping) compile(c Config, n *names) error {
	var all []error
	g.memberships = -1
	for i, given := range c.Groups {
		r, err := compileGroupRule(given, n)
		if given.By == "membership" && given.MakeDefault && g.memberships < 0 {
			g.memberships = len(g.rules)
		}
		if err != nil {
			all = append(all, prefix(fmt.Sprintf("groups.rules[%d]", i), err))
		}
		if given.By != "membership" {
			g.rules = append(g.rules, r)
		}
	}
	under, err := groupPath(c.GroupsUnder)
	if err != nil {
		all = append(all, fmt.Errorf("groups.under: %w", err))
	}
	if under != "" {
		g.under = under + "|"
	}
	for _, name := range c.IgnoreGroups {
		g.ignored = append(g.ignored, store.Fold(name))
	}
	for _, text := range c.IgnoreGroupsContaining {
		if text = store.Fold(text); text == "" {
			all = append(all, errors.New("groups.ignore_containing: an empty text is in every name"))
		}
		g.ignoredParts = append(g.ignoredParts, text)
	}
	return errors.Join(all...)
}

func compileGroupRule(given GroupRule, n *names) (r groupRule, err error) {
	r = groupRule{by: given.By, index: given.Index, left: given.StripLeft, right: given.StripRight, makeDefault: given.MakeDefault}
	switch given.By {
	case "template":
		r.template, err = compileTemplate(given.Value, n)
		return r, err
	case "attribute":
		r.slots, err = n.list([]string{given.Value})
		return r, err
	case "ou":
		if given.Index < 1 {
			return r, connectors.Hint(errors.New("index counts from 1, the rightmost OU"), "{by: ou, index: 1}")
		}
	case "dn-tree":
		if given.StripLeft < 0 || given.StripRight < 0 {
			return r, errors.New("strip_left and strip_right are not negative")
		}
	case "membership":
		return r, nil
	default:
		return r, connectors.Hint(fmt.Errorf("by: %q is not known", given.By), "template, ou, dn-tree, membership or attribute")
	}
	r.slots = []int{n.slot(distinguishedName)}
	return r, nil
}

// apply adds the groups of all rules to those that the property's own rule gave. The default group is the
// property's own, else that of the first make_default that yields a group.
func (g *grouping) apply(v view, partial bool, b *belonging, c *Change) {
	byRules, said, later := "", false, false
	for i := range g.rules {
		r := &g.rules[i]
		if !r.listed(v) || partial && !g.decided(v) {
			continue
		}
		c.Set = c.Set.With(store.Groups)
		said = said || r.makeDefault
		first := g.add(c, r.paths(v, nil))
		if r.makeDefault && byRules == "" {
			byRules, later = first, g.memberships >= 0 && i >= g.memberships
		}
	}
	if b.memberOf >= 0 && (v[b.memberOf] != nil || !partial) {
		c.Set = c.Set.With(store.Groups)
		first := g.add(c, sorted(b.paths(v, true)))
		g.add(c, b.paths(v, false))
		if said = said || g.memberships >= 0; first != "" && (byRules == "" || later) {
			byRules, later = first, false
		}
	}
	g.graft(c)
	if byRules != "" && c.Text[store.DefaultGroup] == "" {
		c.Text[store.DefaultGroup], c.LaterDefault = g.grafted(byRules), later
	}
	if said {
		c.Set = c.Set.With(store.DefaultGroup)
	}
}

func sorted(paths []string) []string {
	slices.Sort(paths)
	return paths
}

// add takes over paths as groups and returns the first one.
func (g *grouping) add(c *Change, paths []string) (first string) {
	list := &c.List[store.Groups.List()]
	for _, raw := range paths {
		path, err := raw, error(nil)
		if len(path) > maxText {
			err = (&form{property: store.Groups}).tooLong()
		} else {
			path, err = groupPath(path)
		}
		switch {
		case err != nil:
			c.warn(store.Groups, raw, err)
		case path != "" && !g.ignores(path):
			*list = append(*list, path)
			if first == "" {
				first = path
			}
		}
	}
	return first
}

// ignores reports whether a group is left out, by its path, its name or a part of its name (E3).
func (g *grouping) ignores(path string) bool {
	if len(g.ignored) == 0 && len(g.ignoredParts) == 0 {
		return false
	}
	var room [8]string
	levels := split(room[:0], path, "|")
	name := store.Fold(unescape(levels[len(levels)-1], ""))
	return slices.Contains(g.ignored, name) || slices.Contains(g.ignored, store.Fold(path)) ||
		slices.ContainsFunc(g.ignoredParts, func(part string) bool { return strings.Contains(name, part) })
}

// graft hangs the groups under the graft point, and those that other properties name with them. Those that hang there already, as in
// a file that was exported, stay where they are.
func (g *grouping) graft(c *Change) {
	groups := &c.List[store.Groups.List()]
	*groups = slices.DeleteFunc(*groups, g.ignores)
	if own := &c.Text[store.DefaultGroup]; *own != "" {
		if *own = g.grafted(*own); g.ignores(strings.TrimPrefix(*own, g.under)) {
			*own = ""
		}
	}
	if g.under != "" {
		for _, list := range []store.Property{store.Groups, store.ManagedGroups} {
			for i, path := range c.List[list.List()] {
				if !IsReference(path) {
					c.List[list.List()][i] = g.grafted(path)
				}
			}
		}
	}
	*groups = (&form{property: store.Groups}).unique(*groups)
}

// grafted hangs a path under the graft point, unless it is the graft point or hangs there already.
func (g *grouping) grafted(path string) string {
	if strings.HasPrefix(path+"|", g.under) {
		return path
	}
	return g.under + path
}

func (r *groupRule) listed(v view) bool {
	if r.template != nil {
		return r.template.listed(v)
	}
	return v.listed(r.slots)
}

// decided reports whether a partial record says all that the rules want to know: groups are replaced as a whole.
func (g *grouping) decided(v view) bool {
	return !slices.ContainsFunc(g.rules, func(r groupRule) bool { return !v.lists(r.attributes()) })
}

func (r *groupRule) attributes() []int {
	if r.template != nil {
		return r.template.slots
	}
	return r.slots
}

// paths are the groups that a record is in by this rule, as paths with escapes.
func (r *groupRule) paths(v view, into []string) []string {
	switch r.by {
	case "template":
		return r.template.expand(into, v, true)
	case "attribute":
		for _, slot := range r.slots {
			for _, value := range v.values(slot) {
				into = split(into, value, ",")
			}
		}
		return into
	}
	components := parseDN(v.first(r.slots[0]))
	if r.by == "ou" {
		return appendPath(into, nthUnit(components, r.index))
	}
	if r.left+r.right >= len(components) {
		return into
	}
	tree := components[r.left : len(components)-r.right]
	slices.Reverse(tree)
	return appendPath(into, tree)
}

// nthUnit is the n-th OU from the right.
func nthUnit(components []component, n int) []component {
	for _, c := range slices.Backward(components) {
		if strings.EqualFold(c.attribute, "ou") {
			n--
		}
		if n == 0 {
			return []component{c}
		}
	}
	return nil
}

func appendPath(into []string, levels []component) []string {
	if len(levels) == 0 {
		return into
	}
	names := make([]string, len(levels))
	for i, level := range levels {
		names[i] = Escape(level.value)
	}
	return append(into, strings.Join(names, "|"))
}

// applyGroup takes over a group's name and members. An ignored group is unselected.
func (m *Mapping) applyGroup(r *connectors.Record, c *Change) error {
	for attribute, kind := range map[string]string{"member": byDN, "uniqueMember": byDN, "memberUid": byUID, "members": byKey} {
		for _, value := range valuesOf(r, attribute) {
			c.Members = append(c.Members, refer(kind, value))
		}
	}
	slices.Sort(c.Members)
	c.Members = slices.Compact(c.Members)
	told := false
	for _, attribute := range []string{"displayName", "cn", "name"} {
		told = told || len(valuesOf(r, attribute)) > 0
		for _, value := range valuesOf(r, attribute) {
			name, err := clean(value, "space")
			if err == nil {
				err = fits(name)
			}
			if err != nil {
				c.warn(store.FullName, value, err)
			} else if name != "" {
				c.Set, c.Text[store.FullName] = c.Set.With(store.FullName), name
				c.Unselected = m.groups.ignores(Escape(name))
				m.belongToGroup(r, c)
				return nil
			}
		}
	}
	if r.Partial && !told {
		return nil
	}
	return connectors.Hint(fmt.Errorf("group %s has no name in displayName, cn or name [G1]", shorten(r.Name)), "a filter that leaves it out")
}

func valuesOf(r *connectors.Record, attribute string) []string {
	for _, a := range r.Attributes {
		if strings.EqualFold(a.Name, attribute) {
			return a.Values
		}
	}
	return nil
}
