package config

import (
	"rollcall/connectors/ldap"
	"rollcall/pipeline/mapping"
)

// preset returns the rules that a source has before its own.
func (s *source) preset() rules {
	all := rules{}
	switch s.Kind {
	case "csv":
		for property, r := range columns() {
			all[property] = rule{Rule: r}
		}
	case "ldap":
		if of, ok := s.reader.(*ldap.Config); ok {
			known, _ := ldap.PresetOf(of.Type)
			all.give(known.UserName, known.FullName, known.Email)
		}
	case "entra":
		all.give("userPrincipalName", "displayName", "mail")
	}
	return all
}

// give maps what every directory has.
func (r rules) give(userName, fullName, email string) {
	for property, attribute := range map[string]string{"user_name": userName, "full_name": fullName, "email": email} {
		if attribute != "" {
			r[property] = short(attribute)
		}
	}
}

// columns maps the columns of MyQ's CSV (V2, V3). GROUPS is a group rule, EXTID the key, SYNC_SOURCE and ACTIVE
// speak of the record itself and PWD is never read.
func columns() map[string]mapping.Rule {
	one := func(column string) mapping.Rule { return mapping.Rule{From: []string{column}} }
	list := func(column string) mapping.Rule { return mapping.Rule{From: []string{column}, Split: ","} }
	return map[string]mapping.Rule{
		"user_name":                 {From: []string{"USERNAME_ALIASES"}, Split: ",", Take: 1},
		"aliases":                   {From: []string{"USERNAME_ALIASES"}, Split: ",", Skip: 1},
		"full_name":                 one("FULLNAME"),
		"email":                     one("EMAIL"),
		"cards":                     list("CARDS"),
		"personal_number":           one("CODE"),
		"user_storage":              one("SCANSTORAGE"),
		"pins":                      list("PIN"),
		"managed_groups":            list("MANAGED_GROUPS"),
		"authentication_server":     one("AUTHSERVER"),
		"phone":                     one("PHONE"),
		"default_language":          one("LANG"),
		"delegates":                 list("DELEGATES"),
		"alternate_emails":          list("ALT_EMAILS"),
		"department":                one("DEPARTMENT"),
		"notes":                     one("NOTES"),
		"custom_1":                  one("CUSTOM1"),
		"custom_2":                  one("CUSTOM2"),
		"custom_3":                  one("CUSTOM3"),
		"cost_centers":              list("COST_CENTERS"),
		"default_group":             one("DEFAULT_GROUP"),
		"use_authentication_server": one("USE_AUTHSERVER"),
		"on_premises_domain":        one("ONPREM_DOMAIN"),
		"on_premises_user_name":     one("ONPREM_USER"),
	}
}
