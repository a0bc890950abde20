package ldap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
)

// groupFilter matches the groups of all directories known: static members by DN (RFC 4519), by uid (RFC 2307), Active
// Directory's and eDirectory's.
const groupFilter = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=groupOfMembers)(objectClass=posixGroup)(objectClass=group))"

// groupAttributes are what a group's record lists: what it is called, where it stands, who is in it.
var groupAttributes = []string{"cn", "displayName", "dn", "member", "memberUid", "uniqueMember"}

// ofGroups returns the source as it reads groups, nil when there are none to be read.
func (s *source) ofGroups() *source {
	if len(s.config.GroupBaseDNs) == 0 {
		return nil
	}
	config := *s.config
	config.BaseDNs, config.GroupBaseDNs, config.Attributes = s.config.GroupBaseDNs, nil, nil
	if s.config.preset().Key != "" {
		config.Key = "" // an attribute of people need not be one of groups
	}
	groups := &source{config: &config, filter: groupFilter, env: s.env, server: s.server}
	groups.env.Attributes = groupAttributes
	return groups
}

// groupPass is what a pass over the groups says of itself.
type groupPass struct {
	*pass
	whole bool
}

// readGroups reads the groups over the session of a pass, before the people, and keeps them out of the people: their
// filter may match groups too. It returns nil when no groups are to be read.
func (p *pass) readGroups(since *checkpoint) (*groupPass, error) {
	groups := p.ofGroups()
	if groups == nil {
		return nil, nil
	}
	if since != nil {
		since = since.Groups
	}
	found, emit, chosen := map[fingerprint]bool{}, p.emit, newSelected(p.config.SelectGroups)
	g := groups.pass(p.session, func(r connectors.Record) error {
		if !r.Deleted {
			found[fingerprintOf(r.Key)] = true
			chosen.see(&r)
		}
		return emit(asGroup(r))
	})
	o, err := g.read(since)
	if err == nil && since == nil {
		err = chosen.complete(p.session.server, groups.config.bases())
	}
	if err != nil {
		return nil, fmt.Errorf("groups: %w", err)
	}
	p.emit = peopleOnly(found, emit)
	p.groups, p.pages = g.entries, p.pages+g.pages
	for _, uri := range g.references {
		if !slices.Contains(p.references, uri) {
			p.references = append(p.references, uri)
		}
	}
	return &groupPass{g, o.Whole}, nil
}

// mend reads the groups of people who changed, by their names as they are now: a server that puts a new name into a group, or shows it
// there, does not call that a change of the group.
func (g *groupPass) mend(names []string) error {
	for chunk := range slices.Chunk(names, presentChunk) {
		var members strings.Builder
		for _, dn := range chunk {
			dn = ldap.EscapeFilter(dn)
			fmt.Fprintf(&members, "(member=%s)(uniqueMember=%s)", dn, dn)
		}
		theirs := *g.source
		theirs.filter = "(&" + g.filter + "(|" + members.String() + "))"
		m := theirs.pass(g.session, g.emit)
		for _, base := range theirs.config.bases() {
			if err := m.readBase(base); err != nil {
				return fmt.Errorf("groups: %w", err)
			}
		}
	}
	return nil
}

// departures are those that a pass over people and groups was told are gone. A server says so of whatever left one of two scopes or
// was never in it: a person who changed is gone from the groups.
type departures struct {
	here map[fingerprint]bool
	gone []connectors.Record
}

// holdBack keeps the departures to the end of the pass.
func (d *departures) holdBack(emit func(connectors.Record) error) func(connectors.Record) error {
	d.here = map[fingerprint]bool{}
	return func(r connectors.Record) error {
		if r.Deleted {
			d.gone = append(d.gone, r)
			return nil
		}
		d.here[fingerprintOf(r.Key)] = true
		return emit(r)
	}
}

// tell tells of those who are neither among the people nor among the groups.
func (d *departures) tell(p *pass, emit func(connectors.Record) error) error {
	d.gone = slices.DeleteFunc(d.gone, func(r connectors.Record) bool { return d.here[fingerprintOf(r.Key)] })
	keys := make([]string, len(d.gone))
	for i, r := range d.gone {
		keys[i] = r.Key
	}
	there, err := p.lookUpEverywhere(keys)
	if err != nil {
		return err
	}
	for _, r := range d.gone {
		if there[r.Key] {
			continue
		}
		if err := emit(r); err != nil {
			return &emitError{err}
		}
	}
	return nil
}

// lookUpEverywhere says which of the keys are people or groups.
func (p *pass) lookUpEverywhere(keys []string) (map[string]bool, error) {
	there := map[string]bool{}
	if err := p.lookUpAll(keys, there); err != nil {
		return nil, err
	}
	of := p.ofGroups()
	if of == nil {
		return there, nil
	}
	group := map[string]bool{}
	err := of.pass(p.session, nil).lookUpAll(keys, group)
	for key, is := range group {
		there[key] = there[key] || is
	}
	return there, err
}

// asGroup makes a group's record of an entry's: nobody signs in as a group, so none is disabled.
func asGroup(r connectors.Record) connectors.Record {
	r.Kind, r.Disabled = connectors.Group, false
	return r
}

// peopleOnly leaves out the entries that were emitted as groups.
func peopleOnly(groups map[fingerprint]bool, emit func(connectors.Record) error) func(connectors.Record) error {
	if len(groups) == 0 {
		return emit
	}
	return func(r connectors.Record) error {
		if groups[fingerprintOf(r.Key)] {
			return nil
		}
		return emit(r)
	}
}

// presentGroups looks the keys up that are nobody's among the groups.
func (s *source) presentGroups(ctx context.Context, keys []string, present map[string]bool) error {
	groups := s.ofGroups()
	if groups == nil {
		return nil
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return present[key] })
	if len(keys) == 0 {
		return nil
	}
	found, err := groups.Present(ctx, keys)
	if err != nil {
		return err
	}
	for key, there := range found {
		present[key] = present[key] || there
	}
	return nil
}

// groupScope says which groups are read and selected, "" for none.
func (c *Config) groupScope() string {
	if len(c.GroupBaseDNs) == 0 {
		return ""
	}
	bases := make([]string, len(c.GroupBaseDNs))
	for i, base := range c.GroupBaseDNs {
		bases[i] = normalDN(base)
	}
	slices.Sort(bases)
	selected := slices.Sorted(slices.Values(c.SelectGroups))
	return fmt.Sprintf(" groups %q selected %q", bases, selected)
}
