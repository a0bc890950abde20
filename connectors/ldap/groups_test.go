package ldap_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

// Groups are records of their own: once each although bases overlap and the filter of the people matches them too, with
// all who are in them, and Present knows them.
func TestGroups(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{Load: func(w io.Writer, suffix string) error { return people.New(3).WriteLDIF(w, 3, suffix) }})
	member := "uid=" + people.New(3).Person(0).UID + ",ou=people," + s.Suffix
	base := "ou=groups," + s.Suffix
	s.Add("cn=ops,"+base, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"ops"}, "member": {member}})
	s.Add("cn=uniq,"+base, map[string][]string{"objectClass": {"groupOfUniqueNames"}, "cn": {"uniq"}, "uniqueMember": {member}})
	config := &ldap.Config{Type: "openldap", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword, Filter: "(objectClass=*)",
		BaseDNs: []string{s.Suffix}, GroupBaseDNs: []string{base, s.Suffix}, IdleTimeout: 5 * time.Second}
	c, err := config.Open(connectors.Env{Source: "corp", Attributes: []string{"uid", "member"}})
	if err != nil {
		t.Fatal(err)
	}
	var groups, keys []string
	users := 0
	outcome, err := c.Read(context.Background(), nil, func(r connectors.Record) error {
		if r.Kind != connectors.Group {
			users++
			return nil
		}
		text := r.Name
		for _, a := range r.Attributes {
			if a.Name != "dn" && len(a.Values) > 0 {
				text += " " + a.Name + "=" + strings.Join(a.Values, "+")
			}
		}
		groups, keys = append(groups, text), append(keys, r.Key)
		return nil
	})
	slices.Sort(groups)
	want := []string{"cn=ops," + base + " cn=ops member=" + member, "cn=uniq," + base + " cn=uniq uniqueMember=" + member}
	if err != nil || !outcome.Whole || !slices.Equal(groups, want) {
		t.Errorf("%v %+v\n%q\nwant\n%q", err, outcome, groups, want)
	}
	if !strings.Contains(outcome.Evidence, "groups likewise: 2") || users < 3 {
		t.Errorf("%s; %d others", outcome.Evidence, users)
	}
	s.Delete("cn=ops," + base)
	config.BaseDNs = []string{"ou=people," + s.Suffix}
	config.Filter = ""
	present, err := c.Present(context.Background(), keys)
	there := 0
	for _, is := range present {
		if is {
			there++
		}
	}
	if err != nil || len(present) != 2 || there != 1 {
		t.Errorf("present: %v, %v", present, err)
	}
}
