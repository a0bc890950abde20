package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/connectors/entra"
	"rollcall/connectors/ldap"
)

// Rules by membership, select.groups and whose attributes people may take reach the reader, the mapping and the policy.
func TestGroupsOfASource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rollcall.yaml")
	text := `version: 1
sources:
  corp:
    kind: ldap
    type: openldap
    servers: [ldap://127.0.0.1]
    base_dns: ["ou=people,dc=example"]
    groups: {under: Corp, rules: [{by: membership, base_dns: ["ou=groups,dc=example"], make_default: true}]}
  chosen:
    kind: ldap
    type: openldap
    servers: [ldap://127.0.0.1]
    base_dns: ["ou=people,dc=example"]
    select: {groups: [Printing], nested: false}
  own:
    kind: ldap
    type: openldap
    servers: [ldap://127.0.0.1]
    base_dns: ["ou=people,dc=example"]
    groups: {rules: [{by: membership}]}
  cloud:
    kind: entra
    tenant_id: 00000000-0000-0000-0000-000000000000
    client_id: 00000000-0000-0000-0000-000000000000
    managed_identity: true
    select: {groups: [Printing]}
    mapping: {custom_2: manager.displayName, custom_3: manager.mail}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, s := range c.Pipeline.Sources {
		var words []string
		for word, is := range map[string]bool{"memberships": s.Options.Memberships, "default": s.Options.MembershipDefault, "selects": s.Options.SelectGroups,
			"nested": s.Options.SelectNested, "under=" + s.Options.GroupsUnder: s.Options.GroupsUnder != "", "names=" + s.Mapping.EntryNames: s.Mapping.EntryNames != "", "lender=" + s.Mapping.Lender: s.Mapping.Lender != ""} {
			if is {
				words = append(words, word)
			}
		}
		switch reader := s.Reader.(type) {
		case *ldap.Config:
			words = append(words, reader.GroupBaseDNs...)
		case *entra.Config:
			if reader.Select.Later {
				words = append(words, "later")
			}
		}
		slices.Sort(words)
		got[s.Name] = strings.Join(words, " ")
	}
	for name, want := range map[string]string{"corp": "default memberships names=dn nested ou=groups,dc=example under=Corp", "chosen": "names=dn ou=people,dc=example selects",
		"own": "nested", "cloud": "later lender=manager names=key nested selects"} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
}
