package ldap_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

// A domain controller is read with nothing but its preset: by GUID, in pages, with what Active Directory says of its
// accounts.
func TestActiveDirectory(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSamba(t)
	conn := s.Conn()
	const n = 25
	for i := range n {
		uid := fmt.Sprintf("person%02d", i)
		request := goldap.NewAddRequest("CN="+uid+",CN=Users,"+s.Suffix, nil)
		for name, value := range map[string]string{"objectClass": "user", "sAMAccountName": uid, "mail": uid + "@example.test", "userAccountControl": "544"} {
			request.Attribute(name, []string{value})
		}
		if err := conn.Add(request); err != nil {
			t.Fatal(err)
		}
	}
	s.Replace("CN=person03,CN=Users,"+s.Suffix, "userAccountControl", "546")
	s.Replace("CN=person04,CN=Users,"+s.Suffix, "accountExpires", "116444736000000000")
	c := &ldap.Config{Type: "active-directory", Servers: []string{s.LDAPSURL}, TLS: ldap.TLS{CAFile: s.CAFile}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
		BaseDNs: []string{s.Suffix}, Filter: "mail=*@example.test", PageSize: 10, Changes: "full", Attributes: []string{"*"}}
	reader := open(t, c)
	found := map[string]connectors.Record{}
	forms := map[string]*regexp.Regexp{
		"objectGUID": regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`), "objectSid": regexp.MustCompile(`^S-1-5-21(-\d+){4}$`),
		"whenCreated": regexp.MustCompile(`^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$`), "accountExpires": regexp.MustCompile(`^(never|1970-01-01T00:00:00Z)$`), "pwdLastSet": regexp.MustCompile(`^never$`)}
	o, err := reader.Read(t.Context(), nil, func(r connectors.Record) error {
		found[r.Key] = connectors.Record{Name: r.Name, Disabled: r.Disabled}
		for name, form := range forms {
			i := slices.IndexFunc(r.Attributes, func(a connectors.Attribute) bool { return a.Name == name })
			if i < 0 || len(r.Attributes[i].Values) != 1 || !form.MatchString(r.Attributes[i].Values[0]) {
				t.Errorf("%s: no good %s in %v", r.Name, name, r.Attributes)
			}
		}
		return nil
	})
	if err != nil || len(found) != n || !o.Whole || o.Pages != 3 || len(o.Warnings) != 0 {
		t.Fatalf("%d entries, %+v, %v", len(found), o, err)
	}
	const nobody = "00000000-0000-4000-8000-000000000000"
	keys := []string{nobody}
	for key, r := range found {
		keys = append(keys, key)
		if locked := strings.HasPrefix(r.Name, "CN=person03,") || strings.HasPrefix(r.Name, "CN=person04,"); r.Disabled != locked {
			t.Errorf("%s: disabled is %t", r.Name, r.Disabled)
		}
	}
	present, err := reader.Present(t.Context(), keys)
	for _, key := range keys {
		if err != nil || present[key] != (key != nobody) {
			t.Fatalf("key %s: %t, %v", key, present[key], err)
		}
	}
	lines, err := reader.Check(t.Context())
	if err != nil || !strings.Contains(fmt.Sprint(lines), "type active-directory") {
		t.Errorf("check says %q, %v", lines, err)
	}
	c.BindPassword = "wrong"
	if _, _, err := read(t, c); err == nil || !strings.Contains(err.Error(), "the password is wrong (49, data 52e)") {
		t.Errorf("a wrong password: %v", err)
	}
	v := newVillage(t, s, "active-directory")
	t.Run("doubtful cookies", func(t *testing.T) { playDoubts(t, v, "dirsync") })
	playModes(t, v, "dirsync", "usn")
	for _, changes := range []string{"dirsync", "usn"} {
		t.Run("groups, "+changes, func(t *testing.T) { playGroups(t, v, changes) })
		t.Run("live, "+changes, func(t *testing.T) { playLive(t, v, changes) })
	}
	t.Run("an ordinary account", func(t *testing.T) { playBlind(t, v) })
	for _, changes := range []string{"dirsync", "usn"} {
		t.Run("a restored server, "+changes, func(t *testing.T) { playRestored(t, v, changes) })
	}
}

// playBlind plays the history to an account that may not see who is deleted.
func playBlind(t *testing.T, v *village) {
	sees, administrator := v.config, *v.config
	defer func() { v.config = sees }()
	v.config = &administrator
	v.config.BindDN, v.config.BindPassword = v.Account("reader", "Passw0rd!reader"), "Passw0rd!reader"
	for name, c := range map[string]*ldap.Config{"": sees, "sees nobody in CN=Deleted Objects": v.config} {
		lines, err := open(t, c).Check(t.Context())
		if err != nil || strings.Contains(fmt.Sprint(lines), "Deleted Objects") != (name != "") {
			t.Errorf("check says %q, %v, want %q", lines, err, name)
		}
	}
	v.t = t
	v.reset()
	c := *v.config
	c.Changes = "dirsync"
	play(t, v, &c)
	playLive(t, v, "usn")
}

// playRestored puts an older state of a server back between two passes, which asks for a whole run, and so does a domain of the same name that is another.
func playRestored(t *testing.T, v *village, changes string) {
	v.t = t
	v.reset()
	v.born("adam", "a")
	restore := v.Backup()
	v.conn = v.Conn()
	c := *v.config
	c.Changes = changes
	v.born("berta", "a")
	b := &books{t: t, config: &c}
	b.begin()
	if changes == "dirsync" {
		other := *b
		other.next = altered(t, b.next, "domain", "00000000-0000-4000-8000-000000000000")
		if told, err := other.follow(); !errors.Is(err, connectors.ErrCheckpointExpired) {
			t.Errorf("another domain: told of %d, %v", told, err)
		}
	}
	restore()
	v.conn = v.Conn()
	if told, err := b.follow(); !errors.Is(err, connectors.ErrCheckpointExpired) {
		t.Errorf("an older state: told of %d, %v", told, err)
	}
	b.begin()
	b.compare()
}
