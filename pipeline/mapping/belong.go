package mapping

import (
	"regexp"
	"slices"
	"strings"

	"rollcall/connectors"
	"rollcall/store"
)

// belonging is who belongs to which group's entry, where groups are entries of the directory (G1, membership).
type belonging struct {
	rules []membershipRule
	// selected are what select.groups names (E2): folded names and keys, and names as refer writes them.
	selected []string
	// named is true when entries are to say what they are called by.
	named bool
	// dn, uid and memberOf are the attributes' numbers, memberOf -1 when no rule looks at it.
	dn, uid, memberOf int
}

type membershipRule struct {
	GroupRule
	bases [][]string // each from the left to the right; none: memberOf, and groups without a DN
}

// The kinds of names by which groups call their members.
const (
	byDN  = "dn:"
	byUID = "uid:"
	byKey = "key:"
)

func (b *belonging) compile(c Config, n *names) {
	b.memberOf, b.dn, b.uid = -1, -1, -1
	names := c.EntryNames
	for _, given := range c.Groups {
		if given.By != "membership" {
			continue
		}
		r := membershipRule{GroupRule: given}
		for _, base := range given.BaseDNs {
			r.bases = append(r.bases, levelsOf(base))
		}
		if len(r.bases) == 0 {
			b.memberOf = n.slot("memberOf")
		}
		if len(r.bases) > 0 {
			names = "dn"
		}
		b.rules = append(b.rules, r)
	}
	for _, wanted := range c.SelectGroups {
		b.selected = append(b.selected, store.Fold(strings.TrimSpace(wanted)), refer(byDN, wanted))
	}
	b.named = names != ""
	if names == "dn" {
		b.dn, b.uid = n.slot(distinguishedName), n.slot("uid")
	}
}

// refer writes a name so that all its spellings are one.
func refer(kind, name string) string {
	switch kind {
	case byDN:
		name, _, _ = strings.Cut(name, "#'") // Name and Optional UID, RFC 4517, 3.3.21
		return kind + strings.Join(levelsOf(name), ",")
	case byUID:
		return kind + store.Fold(strings.TrimSpace(name))
	}
	return kind + strings.TrimSpace(name)
}

// NamesOf returns how entries of the source would be called by a text: a DN, a uid or a stable key.
func NamesOf(text string) []string {
	if IsReference(text) {
		return []string{text}
	}
	return []string{refer(byKey, text), refer(byUID, text)}
}

// IsReference reports whether a value of a change names an entry by its DN.
func IsReference(value string) bool {
	return strings.HasPrefix(value, byDN) && strings.Contains(value, "=")
}

// levelsOf returns the levels of a distinguished name, each in one spelling whatever the case and the escapes.
func levelsOf(dn string) (levels []string) {
	for dn != "" {
		var level string
		level, dn = cutEscaped(dn, ',')
		var parts []string
		for level != "" {
			var part string
			part, level = cutEscaped(level, '+')
			attribute, value, _ := strings.Cut(part, "=")
			value = strings.NewReplacer(`\`, `\\`, ",", `\,`, "+", `\+`).Replace(store.Fold(attributeValue(value)))
			parts = append(parts, strings.ToLower(strings.TrimSpace(attribute))+"="+value)
		}
		slices.Sort(parts)
		levels = append(levels, strings.Join(parts, "+"))
	}
	return levels
}

// isDN reports whether a text is a distinguished name of at least two levels: one might be a name with a "=".
func isDN(text string) bool {
	levels := 0
	for text != "" {
		var level string
		level, text = cutEscaped(text, ',')
		attribute, value, ok := strings.Cut(level, "=")
		if !ok || value == "" || !attributeType.MatchString(attribute) {
			return false
		}
		levels++
	}
	return levels > 1
}

var attributeType = regexp.MustCompile(`^\s*([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)*)\s*$`)

// name says what groups and other entries may call an entry.
func (b *belonging) name(v view, r *connectors.Record, c *Change) {
	if !b.named {
		return
	}
	dn := ""
	if b.dn >= 0 {
		dn = v.first(b.dn)
	}
	if dn == "" {
		c.Names = []string{refer(byKey, r.Key)}
		return
	}
	c.Names = []string{refer(byDN, dn)}
	if uid := v.first(b.uid); uid != "" && r.Kind != connectors.Group {
		c.Names = append(c.Names, refer(byUID, uid))
	}
}

// paths are the groups that a record's own memberOf names. They come with whether their rule makes a default.
func (b *belonging) paths(v view, makesDefault bool) (paths []string) {
	for i := range b.rules {
		r := &b.rules[i]
		if len(r.bases) > 0 || r.MakeDefault != makesDefault {
			continue
		}
		for _, dn := range v.values(b.memberOf) {
			if isDN(dn) {
				paths = r.path(paths, dn)
			}
		}
	}
	return paths
}

// path returns where a group of that DN stands: its name or, in a tree, all from below the base or the domain on.
func (r *membershipRule) path(into []string, dn string) []string {
	components := parseDN(dn)
	if len(components) == 0 {
		return into
	}
	depth := 1
	if r.Tree {
		depth = len(components)
		if base := r.base(dn); base != nil {
			depth = max(1, depth-len(base))
		}
		for depth > 1 && strings.EqualFold(components[depth-1].attribute, "dc") {
			depth--
		}
	}
	tree := slices.Clone(components[:depth])
	slices.Reverse(tree)
	return appendPath(into, tree)
}

// base returns the longest of the rule's bases that a DN is at or below, nil for none.
func (r *membershipRule) base(dn string) (best []string) {
	levels := levelsOf(dn)
	for _, base := range r.bases {
		if len(base) <= len(levels) && len(base) > len(best) && slices.Equal(levels[len(levels)-len(base):], base) {
			best = base
		}
	}
	return best
}

// ruleOf returns the first rule that takes a group, nil for none; dn is "" where the directory has no DNs.
func (b *belonging) ruleOf(dn string) *membershipRule {
	for i := range b.rules {
		r := &b.rules[i]
		if len(r.bases) == 0 && dn == "" || dn != "" && r.base(dn) != nil {
			return r
		}
	}
	return nil
}

// belongToGroup takes over what a group's record says to whom it belongs: the path that its members are in, and how.
func (m *Mapping) belongToGroup(r *connectors.Record, c *Change) {
	b := &m.belonging
	dn := ""
	if values := valuesOf(r, distinguishedName); len(values) > 0 {
		dn = values[0]
	}
	c.Names = []string{refer(byKey, r.Key)}
	if dn != "" {
		c.Names = []string{refer(byDN, dn)}
	}
	for _, known := range append([]string{store.Fold(r.Key), store.Fold(c.Text[store.FullName])}, c.Names...) {
		c.Selects = c.Selects || known != "" && slices.Contains(b.selected, known)
	}
	rule := b.ruleOf(dn)
	if rule == nil {
		return
	}
	paths := rule.path(nil, dn)
	if len(paths) == 0 {
		paths = []string{Escape(c.Text[store.FullName])}
	}
	c.Set, c.Unselected = c.Set.With(store.Groups), m.groups.ignores(paths[0])
	m.groups.add(c, paths)
	m.groups.graft(c)
	c.Nested, c.KeepEmpty, c.MakesDefault = rule.Nested, rule.EmptyGroups, rule.MakeDefault
}
