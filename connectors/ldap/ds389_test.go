package ldap_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

// A 389 Directory Server is read with nothing but its preset; a locked account is one. Then everything that happens in it is
// told.
func TestDS389(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartDS389(t)
	list := people.New(1).List(25)
	conn := s.Conn()
	for i, p := range list {
		dn, attributes := people.InetOrgPerson(p, s.Suffix)
		if err := conn.Add(addRequest(dn, attributes)); err != nil {
			t.Fatal(err)
		}
		if i == 3 {
			s.Replace(dn, "nsAccountLock", "true")
		}
	}
	c := &ldap.Config{Type: "389ds", Servers: []string{s.LDAPSURL}, TLS: ldap.TLS{CAFile: s.CAFile, ServerName: "localhost"}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
		BaseDNs: []string{s.Suffix}, PageSize: 10, Changes: "full", Attributes: []string{"*"}}
	reader := open(t, c)
	var keys []string
	o, err := reader.Read(t.Context(), nil, func(r connectors.Record) error {
		keys = append(keys, r.Key)
		if r.Disabled != strings.HasPrefix(r.Name, "uid="+list[3].UID+",") {
			t.Errorf("%s: disabled is %t", r.Name, r.Disabled)
		}
		for _, a := range r.Attributes {
			if strings.Contains(strings.ToLower(a.Name), "password") {
				t.Errorf("%s passed", a.Name)
			}
		}
		return nil
	})
	if err != nil || len(keys) != len(list) || !o.Whole || o.Pages != 3 {
		t.Fatalf("%d entries, %+v, %v", len(keys), o, err)
	}
	present, err := reader.Present(t.Context(), append(slices.Clone(keys), "00000000-00000000-00000000-00000000"))
	for i, key := range keys {
		if err != nil || !present[key] || present["00000000-00000000-00000000-00000000"] {
			t.Fatalf("key %d of %d: %t, %v", i, len(keys), present[key], err)
		}
	}
	lines, err := reader.Check(t.Context())
	if err != nil || !strings.Contains(fmt.Sprint(lines), "type 389ds") {
		t.Errorf("check says %q, %v", lines, err)
	}
	v := newVillage(t, s, "389ds")
	t.Run("doubtful cookies", func(t *testing.T) { playDoubts(t, v, "syncrepl") })
	playModes(t, v, "syncrepl", "poll")
	for _, changes := range []string{"syncrepl", "poll"} {
		t.Run("groups, "+changes, func(t *testing.T) { playGroups(t, v, changes) })
		t.Run("live, "+changes, func(t *testing.T) { playLive(t, v, changes) })
	}
}
