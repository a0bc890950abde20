package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"rollcall/connectors"
)

// selected are the groups of select.groups (E2), by what they are called there: name, key or DN. One that is not there selects nobody, and everybody
// else would be taken for somebody who is not wanted any more.
type selected struct {
	wanted []string
	found  map[string]bool // names as calls writes them
}

func newSelected(wanted []string) *selected { return &selected{wanted, map[string]bool{}} }

// see takes notice of a group.
func (s *selected) see(r *connectors.Record) {
	if len(s.wanted) == 0 {
		return
	}
	s.found[calls(r.Key)], s.found[normalDN(r.Name)] = true, true
	for _, attribute := range []string{"displayName", "cn"} { // the first that is not empty is its name
		i := slices.IndexFunc(r.Attributes, func(a connectors.Attribute) bool { return a.Name == attribute && len(a.Values) > 0 })
		if i >= 0 && strings.TrimSpace(r.Attributes[i].Values[0]) != "" {
			s.found[calls(r.Attributes[i].Values[0])] = true
			return
		}
	}
}

// complete fails when a selected group was not seen.
func (s *selected) complete(server string, bases []string) error {
	var missing []string
	for _, name := range s.wanted {
		if !s.found[calls(name)] && !s.found[normalDN(name)] {
			missing = append(missing, fmt.Sprintf("%q", name))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return connectors.Hint(fmt.Errorf("%w: %s: select.groups: there is no group %s under %s", connectors.ErrScope, server, strings.Join(missing, ", "), strings.Join(bases, ", ")),
		"the group's displayName or else its cn, its DN, or its key; and can the account see it?")
}

// calls is a name in one spelling.
func calls(name string) string { return cases.Fold().String(norm.NFC.String(strings.TrimSpace(name))) }

// checkGroups finds the bases of the groups and the selected ones among them.
func (s *source) checkGroups(se *session, names []string) (lines []string, err error) {
	chosen := newSelected(names)
	for _, base := range s.config.bases() {
		line, err := s.checkBase(se, base)
		if err != nil {
			return lines, fmt.Errorf("groups: %w", err)
		}
		lines = append(lines, "groups: "+line)
	}
	p := s.pass(se, func(r connectors.Record) error { chosen.see(&r); return nil })
	for _, name := range names {
		if err := p.findGroup(name); err != nil {
			return lines, fmt.Errorf("groups: %w", err)
		}
	}
	return lines, chosen.complete(se.server, s.config.bases())
}

// findGroup reads the groups that a name may mean.
func (p *pass) findGroup(name string) error {
	if dn, err := ldap.ParseDN(name); err == nil && len(dn.RDNs) > 0 && p.inScope(name) {
		if err := p.readMatching(name, p.filter); !errors.Is(err, connectors.ErrScope) {
			return err
		}
	}
	text := ldap.EscapeFilter(strings.TrimSpace(name))
	for _, base := range p.config.bases() {
		if err := p.readMatching(base, "(&"+p.filter+"(|(cn="+text+")(displayName="+text+")"+p.keyFilter([]string{name})+"))"); err != nil {
			return err
		}
	}
	return nil
}
