package config

import (
	"slices"

	"rollcall/connectors/entra"
	"rollcall/connectors/ldap"
)

// memberships are the rules by membership.
func (s *source) memberships() (rules []groupRule) {
	for _, r := range s.Groups.Rules {
		if r.By == "membership" {
			rules = append(rules, r)
		}
	}
	return rules
}

// groupEntries reports whether groups that are entries of the directory say who is in them.
func (s *source) groupEntries() bool {
	byObjects := func(r groupRule) bool { return s.Kind == "entra" || len(r.BaseDNs) > 0 }
	return slices.ContainsFunc(s.memberships(), byObjects)
}

func (s *source) membershipDefault() bool {
	return s.groupEntries() && slices.ContainsFunc(s.memberships(), func(r groupRule) bool { return r.MakeDefault })
}

// selectedGroups are those that the pipeline finds the people of.
func (s *source) selectedGroups() []string { return s.Select.Groups }

// entryNames is how groups call their members.
func (s *source) entryNames() string {
	switch {
	case !s.groupEntries() && len(s.selectedGroups()) == 0 && !s.refers():
		return ""
	case s.Kind == "entra":
		return "key"
	}
	return "dn"
}

// refers reports whether people name others: managers and delegates (G6).
func (s *source) refers() bool {
	all := s.rules()
	_, delegates := all["delegates"]
	_, managed := all["managed_groups"]
	return s.Kind != "csv" && (delegates || managed)
}

// lender is the attribute that names somebody whose attributes a property may take: "manager" for manager.mail (E3).
func (s *source) lender() string {
	if s.Kind == "entra" {
		return "manager"
	}
	return ""
}

// checkGroups notes groups where there can be none, leaves the selection by groups to the pipeline, and tells an LDAP reader where its
// groups are: below the bases of the rules or, to select people by groups, below those of the people.
func (s *source) checkGroups(d *decoder, path string) {
	if s.Kind == "csv" {
		for i, r := range s.Groups.Rules {
			if r.By == "membership" {
				d.at(index(path+".groups.rules", i), path+": rows of a file are people, there are no groups with members", "by: attribute, value: GROUPS")
			}
		}
		if len(s.Select.Groups) > 0 {
			d.at(path+".select.groups", path+": people of a file are selected by conditions", `where: ["(GROUPS=Printing)"]`)
		}
	}
	if tenant, ok := s.reader.(*entra.Config); ok {
		tenant.Select.Later = true
	}
	reader, ok := s.reader.(*ldap.Config)
	if !ok {
		return
	}
	reader.GroupBaseDNs, reader.SelectGroups = nil, s.Select.Groups
	for _, r := range s.memberships() {
		reader.GroupBaseDNs = append(reader.GroupBaseDNs, r.BaseDNs...)
	}
	if len(reader.GroupBaseDNs) == 0 && len(s.Select.Groups) > 0 {
		reader.GroupBaseDNs = reader.BaseDNs
	}
}
