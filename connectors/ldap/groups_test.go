package ldap_test

import (
	"context"
	"errors"
	"fmt"
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

// A group that is selected and not there, or a base of groups that does not exist, fails the run and the check: nobody is in it.
func TestSelectedGroups(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	s.Add("uid=alice,ou=people,"+s.Suffix, person("alice"))
	ops := "cn=Ops Team,ou=groups," + s.Suffix
	s.Add(ops, map[string][]string{"objectClass": {"groupOfNames"}, "cn": {"Ops Team"}, "member": {"uid=alice,ou=people," + s.Suffix}})
	_, key, _ := strings.Cut(s.Search(ops, "(objectClass=*)", "entryUUID"), "entryUUID: ")
	for _, test := range []struct {
		name, base string
		groups     []string
		says       string
	}{
		{"none selected", "ou=groups,", nil, ""},
		{"by name", "ou=groups,", []string{" ops team "}, ""},
		{"by DN", "ou=groups,", []string{"CN=Ops Team, OU=groups," + s.Suffix}, ""},
		{"by key", "ou=groups,", []string{strings.TrimSpace(key)}, ""},
		{"misspelt", "ou=groups,", []string{"Ops Team", "Ops Taem", "cn=None,ou=groups," + s.Suffix}, `there is no group "Ops Taem", "cn=None,ou=groups,` + s.Suffix + `" under`},
		{"outside", "ou=people,", []string{ops}, `there is no group "` + ops + `" under ou=people`},
		{"no such base", "ou=grupos,", nil, "no such object"},
	} {
		c := config(s)
		c.GroupBaseDNs, c.SelectGroups = []string{test.base + s.Suffix}, test.groups
		_, _, readErr := read(t, c)
		_, checkErr := open(t, c).Check(t.Context())
		for what, err := range map[string]error{"read": readErr, "check": checkErr} {
			if fmt.Sprint(err) == "<nil>" != (test.says == "") || err != nil && (!errors.Is(err, connectors.ErrScope) || !strings.Contains(err.Error(), test.says) || connectors.HintOf(err) == "") {
				t.Errorf("%s, %s: %v, want %q", test.name, what, err, test.says)
			}
		}
	}
}
