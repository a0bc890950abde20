package mapping

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"rollcall/connectors"
	"rollcall/store"
)

// Mapping makes changes of records. It does not change after [Compile].
type Mapping struct {
	names  names
	rules  []rule // in the order of the properties
	groups grouping
	// belonging is what entries say of groups that are entries themselves.
	belonging belonging
	where     []filter
	// whereSlots are the attributes of where.
	whereSlots []int
	secrets    []string
	// lender is the number of the attribute that names whom an entry borrows from, -1 when nothing is borrowed.
	lender int
	// domain is appended to user names unless it is "".
	domain    string
	lowercase bool
}

// Compile checks a configuration and returns its mapping, or every mistake in it, joined.
func Compile(c Config) (*Mapping, error) {
	m := &Mapping{names: names{slots: map[string]int{}}, lowercase: c.Lowercase}
	err := errors.Join(m.compileRules(c), m.groups.compile(c, &m.names), m.compileWhere(c.Where), m.compileDomain(c), m.checkSecrets(), m.compileLoans(c))
	if err != nil {
		return nil, err
	}
	m.belonging.compile(c, &m.names)
	return m, nil
}

func (m *Mapping) compileRules(c Config) error {
	var all []error
	for name := range c.Properties {
		if _, ok := store.ParseProperty(name); !ok {
			all = append(all, connectors.Hint(fmt.Errorf("%s: there is no such property", name), "user_name, full_name, email, cards, …"))
		}
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	for _, p := range store.Properties() {
		given, ok := c.Properties[p.String()]
		if !ok {
			continue
		}
		r, err := compileRule(p, given, c, &m.names)
		if err != nil {
			all = append(all, err)
			continue
		}
		m.rules = append(m.rules, r)
	}
	if _, ok := c.Properties[store.UserName.String()]; !ok {
		all = append(all, connectors.Hint(errors.New("user_name: no attribute is the user name [U1]"), "mapping: {user_name: uid}"))
	}
	m.keepSecrets()
	return errors.Join(all...)
}

// keepSecrets marks the attributes that PINs come from.
func (m *Mapping) keepSecrets() {
	var slots []int
	for i := range m.rules {
		if r := &m.rules[i]; r.property == store.PINs {
			slots, r.secret = r.slots(), true
		}
	}
	for _, slot := range slots {
		m.secrets = append(m.secrets, m.names.spelling[slot])
	}
	slices.Sort(m.secrets)
}

// checkSecrets refuses other properties, groups and filters by PINs: none of them is secret.
func (m *Mapping) checkSecrets() error {
	var all []error
	for i := range m.rules {
		r := &m.rules[i]
		for _, slot := range r.slots() {
			if name := m.names.spelling[slot]; r.property != store.PINs && slices.Contains(m.secrets, name) {
				all = append(all, connectors.Hint(fmt.Errorf("%s: attribute %s holds PINs and would be shown [U6]", r.property, name), "another attribute, or pins: none"))
			}
		}
	}
	if all != nil {
		return errors.Join(all...)
	}
	used := slices.Clone(m.whereSlots)
	for i := range m.groups.rules {
		used = append(used, m.groups.rules[i].attributes()...)
	}
	for _, slot := range used {
		if name := m.names.spelling[slot]; slices.Contains(m.secrets, name) {
			return fmt.Errorf("attribute %s holds PINs: no group and no filter can come from it [U6]", name)
		}
	}
	return nil
}

func (m *Mapping) compileWhere(texts []string) error {
	var all []error
	for _, text := range texts {
		f, err := compileFilter(text, &m.names)
		if err != nil {
			all = append(all, prefix("where", err))
			continue
		}
		m.where = append(m.where, f)
		m.whereSlots = f.slots(m.whereSlots)
	}
	return errors.Join(all...)
}

func (m *Mapping) compileDomain(c Config) error {
	if !c.AppendDomain {
		return nil
	}
	domain, err := clean(c.Domain, "")
	if domain == "" || err != nil {
		return connectors.Hint(errors.New("append_domain_to_user_name needs the source's domain [O7]"), "domain: corp.example")
	}
	m.domain = "@" + strings.TrimPrefix(domain, "@")
	return nil
}

// Attributes returns the attributes that the mapping uses, sorted.
func (m *Mapping) Attributes() []string { return slices.Sorted(slices.Values(m.names.spelling)) }

// Secrets returns the attributes that PINs come from, sorted.
func (m *Mapping) Secrets() []string { return slices.Clone(m.secrets) }

// Apply makes of a record what it says of a user or group. What a partial record decides without the attributes that it does not
// list is in the change, everything else is left alone: to decide the rest, complete the record first. An error says why
// the record cannot be anybody: it has no usable user name.
func (m *Mapping) Apply(r *connectors.Record) (Change, error) {
	c := Change{Key: r.Key, Entry: r.Name, Kind: r.Kind, Disabled: r.Disabled}
	if r.Kind == connectors.Group {
		err := m.applyGroup(r, &c)
		return c, err
	}
	v := m.names.read(r, make(view, 0, 32))
	c.Unselected = !m.selects(v, r.Partial)
	c.SourceLabel = label(r)
	for i := range m.rules {
		if !m.rules[i].borrows && (!r.Partial || m.rules[i].decided(v)) {
			m.rules[i].apply(v, &c)
		}
	}
	m.lend(v, &c)
	m.belonging.name(v, r, &c)
	m.groups.apply(v, r.Partial, &m.belonging, &c)
	if err := m.nameUser(v, r, &c); err != nil {
		return c, err
	}
	c.dropOwnName()
	c.nameServer()
	return c, nil
}

// selects evaluates the filters. A partial record without all of their attributes unselects nobody.
func (m *Mapping) selects(v view, partial bool) bool {
	if partial && !v.lists(m.whereSlots) {
		return true
	}
	for i := range m.where {
		if !m.where[i].matches(v) {
			return false
		}
	}
	return true
}

// label is what a CSV file says in SYNC_SOURCE (O9).
func label(r *connectors.Record) string {
	for _, a := range r.Attributes {
		if len(a.Name) != len("SYNC_SOURCE") || !strings.EqualFold(a.Name, "SYNC_SOURCE") || len(a.Values) == 0 {
			continue
		}
		if text, err := clean(a.Values[0], ""); err == nil && len(text) <= maxText {
			return text
		}
	}
	return ""
}

// nameUser gives the user name its final form: the domain first, then the case (O7).
func (m *Mapping) nameUser(v view, r *connectors.Record, c *Change) error {
	rule := &m.rules[0] // user_name is the first property and has a rule
	if r.Partial && !rule.decided(v) {
		return nil
	}
	name := c.Text[store.UserName]
	if name == "" {
		return rule.nameless(&m.names, v, c)
	}
	name = m.withDomain(name)
	if m.lowercase {
		name = lower(name)
	}
	if err := fits(name); err != nil {
		return connectors.Hint(fmt.Errorf("user name %.40q…: %w", rule.show(name), err), "another attribute under mapping: {user_name: …}")
	}
	c.Text[store.UserName] = name
	return nil
}

// withDomain appends the domain to a name that does not end with it already.
func (m *Mapping) withDomain(name string) string {
	if m.domain == "" || strings.HasSuffix(store.Fold(name), store.Fold(m.domain)) {
		return name
	}
	return name + m.domain
}

func lower(name string) string { return norm.NFC.String(strings.ToLower(name)) }

// nameless says why there is no user name.
func (r *rule) nameless(n *names, v view, c *Change) error {
	var used []string
	for _, slot := range r.slots() {
		used = append(used, n.spelling[slot])
	}
	from := strings.Join(used, ", ")
	try := "another attribute under mapping: {user_name: …}, or a filter that leaves such entries out"
	for _, w := range c.Warnings {
		if w.Property == store.UserName.String() {
			return connectors.Hint(fmt.Errorf("no user name: %s %q: %s", from, w.Value, w.Reason), try)
		}
	}
	if !r.listed(v) {
		return connectors.Hint(fmt.Errorf("no user name: the record has no attribute %s [U1]", from), try)
	}
	return connectors.Hint(fmt.Errorf("no user name: attribute %s has no value [U1]", from), try)
}

// nameServer takes a server's name to its own property from where the record says whether one is used (O8). One that it names
// there itself counts more.
func (c *Change) nameServer() {
	use, name := &c.Text[store.UseAuthenticationServer], &c.Text[store.AuthenticationServer]
	if *use == "" || isBoolean(*use) {
		return
	}
	*name, *use = cmp.Or(*name, *use), "true"
	c.Set = c.Set.With(store.AuthenticationServer)
}

func isBoolean(s string) bool { return s == "true" || s == "false" }

// dropOwnName leaves out aliases that are the user's own name (U4).
func (c *Change) dropOwnName() {
	list := &c.List[store.Aliases.List()]
	if len(*list) == 0 {
		return
	}
	own := store.Fold(c.Text[store.UserName])
	*list = slices.DeleteFunc(*list, func(alias string) bool { return store.Fold(alias) == own })
}

// maxWarnings is how many warnings one record brings.
const maxWarnings = 50

// warn notes a value that is not taken over.
func (c *Change) warn(p store.Property, value string, reason error) {
	switch n := len(c.Warnings); {
	case n < maxWarnings-1:
		c.Warnings = append(c.Warnings, Warning{Property: p.String(), Value: shorten(value), Reason: reason.Error()})
	case n == maxWarnings-1:
		c.Warnings = append(c.Warnings, Warning{Property: p.String(), Reason: "further values of this record were left out"})
	}
}
