package pipeline_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
	"rollcall/pipeline"
	"rollcall/store"
)

// What happens in a 389 Directory Server is what the store says after every run, and what the events were.
func TestChangesOnDS389(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartDS389(t)
	for _, ou := range []string{"groups", "leavers"} {
		s.Add("ou="+ou+","+s.Suffix, map[string][]string{"objectClass": {"organizationalUnit"}})
	}
	conn := s.Conn()
	for i := range 40 {
		dn, attributes := people.InetOrgPerson(people.New(3).Person(i), s.Suffix)
		request := goldap.NewAddRequest(dn, nil)
		for _, a := range attributes {
			request.Attribute(a.Name, a.Values)
		}
		if err := conn.Add(request); err != nil {
			t.Fatal(err)
		}
	}
	reader := &ldap.Config{Type: "389ds", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
		BaseDNs: []string{"ou=people," + s.Suffix, "ou=groups," + s.Suffix}, IdleTimeout: 10 * time.Second}
	c := newCompany(t, reader, mapped(inetOrgPerson)).start()
	c.applied("read 40, created 40")
	playChanges(t, c, slapdChanges(s), func(slapdChange, store.Run) { compare(t, s, c) })
}

// What happens in a Samba domain is what the store says after every run, and what the events were.
func TestChangesOnSamba(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t)
	staff, away := "ou=staff,"+s.Suffix, "ou=away,"+s.Suffix
	for _, dn := range []string{staff, away} {
		s.Add(dn, map[string][]string{"objectClass": {"organizationalUnit"}})
	}
	dn := func(name string) string { return "cn=" + name + "," + staff }
	add := func(name string) {
		s.Add(dn(name), map[string][]string{"objectClass": {"user"}, "sAMAccountName": {name}, "displayName": {"Person " + name}, "mail": {name + "@example.test"}, "userAccountControl": {"544"}})
	}
	for i := range 12 {
		add(fmt.Sprintf("p%02d", i))
	}
	reader := &ldap.Config{Type: "active-directory", Servers: []string{s.LDAPSURL}, TLS: ldap.TLS{CAFile: s.CAFile}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
		BaseDNs: []string{staff}, IdleTimeout: 10 * time.Second}
	attributes := map[string]string{"user_name": "sAMAccountName", "full_name": "displayName", "email": "mail", "phone": "telephoneNumber"}
	c := newCompany(t, reader, mapped(attributes)).start()
	c.applied("read 12, created 12")
	changes := []slapdChange{
		{"two are added", func() { add("adam"); add("berta") }, []string{"created", "created"}},
		{"a phone", func() { s.Replace(dn("p00"), "telephoneNumber", "+420 1") }, []string{"updated"}},
		{"and none", func() { s.Replace(dn("p00"), "telephoneNumber") }, []string{"updated"}},
		{"nothing happens", func() {}, nil},
		{"one gets another name", func() { s.Replace(dn("p01"), "sAMAccountName", "q01") }, []string{"updated"}},
		{"an entry is renamed", func() { s.Rename(dn("p01"), "cn=q01", "") }, nil},
		{"one is locked", func() { s.Replace(dn("p02"), "userAccountControl", "546") }, []string{"deactivated"}},
		{"and unlocked", func() { s.Replace(dn("p02"), "userAccountControl", "544") }, []string{"reactivated"}},
		{"one moves out", func() { s.Rename(dn("p03"), "cn=p03", away) }, []string{"deactivated"}},
		{"and back", func() { s.Rename("cn=p03,"+away, "cn=p03", staff) }, []string{"reactivated"}},
		{"two are deleted", func() { s.Delete(dn("p04")); s.Delete(dn("p05")) }, []string{"deactivated", "deactivated"}},
		{"one is deleted and comes again", func() { s.Delete(dn("p06")); add("p06") }, nil},
		{"nothing happens again", func() {}, nil},
	}
	playChanges(t, c, changes, func(step slapdChange, _ store.Run) {
		want, got := map[string]string{}, map[string]string{}
		for _, e := range parseLDIF(s.Search(staff, "(&(objectClass=user)(!(userAccountControl=546)))")) {
			want[first(e["sAMAccountName"])] = fmt.Sprint(first(e["displayName"]), first(e["mail"]), first(e["telephoneNumber"]))
		}
		err := c.client.Users(t.Context(), pipeline.UserQuery{}, func(u store.User) error {
			got[u.Text[store.UserName]] = fmt.Sprint(u.Text[store.FullName], u.Text[store.Email], u.Text[store.Phone])
			return nil
		})
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v\nstore     %q\ndirectory %q", step.name, err, got, want)
		}
	})
	if runs := c.lastRuns(50); slices.ContainsFunc(runs, func(r store.Run) bool { return r.State != store.Applied }) {
		t.Errorf("runs %+v", runs)
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
