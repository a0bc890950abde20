package ldap

import (
	"context"
	"fmt"
	"slices"
	"time"

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

// readGroups reads the groups over the session of a pass, before the people: it returns which entries are groups, because the
// filter of the people may match them too.
func (p *pass) readGroups(emit func(connectors.Record) error) (map[fingerprint]bool, error) {
	groups := p.ofGroups()
	if groups == nil {
		return nil, nil
	}
	found := map[fingerprint]bool{}
	g := &pass{source: groups, session: p.session, emitted: map[fingerprint]fingerprint{},
		decoder: newDecoder(groups.config.key(), groups.wanted(), false, time.Now())}
	g.emit = func(r connectors.Record) error {
		found[fingerprintOf(r.Key)] = true
		return emit(asGroup(r))
	}
	for _, base := range groups.config.bases() {
		if err := g.readBase(base); err != nil {
			return nil, fmt.Errorf("groups: %w", err)
		}
	}
	p.groups, p.pages = g.entries, p.pages+g.pages
	for _, uri := range g.references {
		if !slices.Contains(p.references, uri) {
			p.references = append(p.references, uri)
		}
	}
	return found, nil
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
