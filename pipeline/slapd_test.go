package pipeline_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// inetOrgPerson says which attribute becomes which property.
var inetOrgPerson = map[string]string{
	"user_name": "uid", "aliases": "uid", "full_name": "cn", "email": "mail", "phone": "telephoneNumber", "department": "ou",
	"personal_number": "employeeNumber", "cards": "pager", "default_language": "preferredLanguage", "custom_1": "title", "notes": "description",
}

// newDirectory starts a slapd with n people and a pipeline that reads them.
func newDirectory(t *testing.T, n int) (*ldaptest.Server, *company) {
	return newDirectoryOf(t, n, ldaptest.SlapdOptions{})
}

func newDirectoryOf(t *testing.T, n int, o ldaptest.SlapdOptions) (*ldaptest.Server, *company) {
	o.Load = func(w io.Writer, suffix string) error { return people.New(3).WriteLDIF(w, n, suffix) }
	s := ldaptest.StartSlapd(t, o)
	reader := &ldap.Config{Type: "openldap", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
		BaseDNs: []string{"ou=people," + s.Suffix, "ou=groups," + s.Suffix}, PageSize: 500, Changes: "full", IdleTimeout: 5 * time.Second}
	return s, newCompany(t, reader, mapped(inetOrgPerson))
}

// mapped gives a source a mapping of one attribute a property.
func mapped(attributes map[string]string) func(*pipeline.Source) {
	return func(source *pipeline.Source) {
		source.Mapping.Properties = map[string]mapping.Rule{}
		for property, attribute := range attributes {
			source.Mapping.Properties[property] = mapping.Rule{From: []string{attribute}}
		}
	}
}

// A directory of 2,000 people on a real slapd: people are added, changed, renamed, moved and deleted, and after every step
// the store equals what ldapsearch shows, all users, property by property, and the events are exactly those changes.
func TestTheStoreEqualsTheDirectory(t *testing.T) {
	s, c := newDirectory(t, 2000)
	c.start()
	c.applied("read 2000, created 2000")
	compare(t, s, c)
	dn := func(i int) string { return "uid=" + people.New(3).Person(i).UID + ",ou=people," + s.Suffix }
	add := func(i int) {
		where, attributes := people.InetOrgPerson(people.New(3).Person(i), s.Suffix)
		all := map[string][]string{}
		for _, a := range attributes {
			if len(a.Values) > 0 {
				all[a.Name] = a.Values
			}
		}
		s.Add(where, all)
	}
	for _, step := range []struct {
		name   string
		change func()
		want   string
		events []string
	}{
		{"three are added", func() { add(2000); add(2001); add(2002) }, "read 2003, unchanged 2000, created 3", []string{"created", "created", "created"}},
		{"phones, a title, cards", func() {
			s.Replace(dn(1), "telephoneNumber", "+420 1")
			s.Replace(dn(2), "telephoneNumber")
			s.Replace(dn(3), "title", "Astronaut")
			s.Replace(dn(4), "pager", "00AB00AB", "00AB00AC")
		}, "read 2003, unchanged 1999, updated 4", []string{"updated", "updated", "updated", "updated"}},
		{"one is renamed", func() { s.Rename(dn(5), "uid=aaa.renamed", "") }, "read 2003, unchanged 2002, updated 1", []string{"updated"}},
		{"one moves inside the scope", func() { s.Rename(dn(6), "uid="+people.New(3).Person(6).UID, "ou=groups,"+s.Suffix) }, "read 2003, unchanged 2003", nil},
		{"one moves out of the scope", func() { s.Rename(dn(7), "uid="+people.New(3).Person(7).UID, "ou=leavers,"+s.Suffix) }, "read 2003, unchanged 2002, deletions 1, deactivated 1", []string{"deactivated"}},
		{"two are deleted", func() { s.Delete(dn(8)); s.Delete(dn(9)) }, "read 2002, unchanged 2000, deletions 2, deactivated 2", []string{"deactivated", "deactivated"}},
		{"one comes back", func() {
			s.Rename("uid="+people.New(3).Person(7).UID+",ou=leavers,"+s.Suffix, "uid="+people.New(3).Person(7).UID, "ou=people,"+s.Suffix)
		}, "read 2001, unchanged 2000, reactivated 1", []string{"reactivated"}},
		{"nothing happens", func() {}, "read 2001, unchanged 2001", nil},
	} {
		revision := c.revision()
		step.change()
		run := c.sync()
		if got := counters(run); run.State != store.Applied || got != step.want {
			t.Fatalf("%s: run is %s (%s): %s; want %s\n%q", step.name, run.State, run.Reason, got, step.want, run.Messages)
		}
		compare(t, s, c)
		var kinds []string
		for _, e := range c.events(revision) {
			kind, _, _ := strings.Cut(e, " ")
			kinds = append(kinds, kind)
		}
		if !slices.Equal(kinds, step.events) {
			t.Errorf("%s: events %q, want %q", step.name, kinds, step.events)
		}
	}
}

// A server that is killed in the middle of a page, again and again: nobody is called absent, and in the end all is there.
func TestSlapdIsKilledInTheMiddleOfARun(t *testing.T) {
	s, c := newDirectory(t, 2000)
	c.start()
	c.applied("read 2000, created 2000")
	s.Replace("uid="+people.New(3).Person(1).UID+",ou=people,"+s.Suffix, "telephoneNumber", "+420 1")
	failed := 0
	for i := range 8 {
		job, err := c.client.Sync(t.Context(), "people", pipeline.SyncOptions{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(5+8*i) * time.Millisecond)
		s.Kill()
		run, err := c.client.Follow(t.Context(), "people", job, nil)
		if err != nil {
			t.Fatal(err)
		}
		if run.State == store.Failed {
			failed++
		}
		if run.Deactivated != 0 {
			t.Fatalf("a killed server deactivated %d", run.Deactivated)
		}
		s.Restart()
	}
	if failed == 0 {
		t.Error("the server was never killed in the middle: the test disturbs too little")
	}
	t.Logf("%d of 8 runs failed", failed)
	c.sync()
	compare(t, s, c)
	if status, err := c.client.Status(t.Context()); err != nil || status.Active != 2000 {
		t.Errorf("%d active users, %v", status.Active, err)
	}
}

// No password ever travels: with "*" as attributes and hashes readable to the account, none is in a stream, a page of the
// store or a log.
func TestNoPasswordTravels(t *testing.T) {
	s, c := newDirectory(t, 10)
	c.config.Sources[0].Reader.(*ldap.Config).Attributes = []string{"*"}
	alice := map[string][]string{"objectClass": {"inetOrgPerson"}, "uid": {"alice"}, "cn": {"Alice"}, "sn": {"Alice"}, "userPassword": {"{SSHA}c2VjcmV0LWhhc2g"}}
	s.Add("uid=alice,ou=people,"+s.Suffix, alice)
	logged := lockedBuffer{to: &bytes.Buffer{}}
	c.logged = &logged
	c.start()
	c.applied("read 11, created 11")
	c.stop()
	hash := "{SSHA}c2VjcmV0LWhhc2g"
	secrets := []string{hash, base64.StdEncoding.EncodeToString([]byte(hash)), s.SyncPassword}
	grepFiles(t, c.config.DataDir, secrets...)
	for _, secret := range secrets {
		if strings.Contains(logged.said(), secret) {
			t.Errorf("%q is logged", secret)
		}
	}
	if !strings.Contains(logged.said(), "ldapsearch") || !strings.Contains(logged.said(), `"level":"debug"`) {
		t.Errorf("the log is not looked at:\n%s", logged.said())
	}
}

// compare compares all active users with what ldapsearch shows.
func compare(t *testing.T, s *ldaptest.Server, c *company) {
	t.Helper()
	want := map[string]string{}
	for _, base := range []string{"ou=people," + s.Suffix, "ou=groups," + s.Suffix} {
		for _, entry := range parseLDIF(s.Search(base, "(objectClass=inetOrgPerson)")) {
			name, line := describe(entry)
			want[name] = line
		}
	}
	got := map[string]string{}
	err := c.client.Users(t.Context(), pipeline.UserQuery{}, func(u store.User) error {
		var line strings.Builder
		for _, property := range sortedKeys(inetOrgPerson) {
			p, _ := store.ParseProperty(property)
			if !p.Multi() {
				fmt.Fprintf(&line, "%s=%q ", property, u.Text[p])
				continue
			}
			var values []string
			for _, v := range u.List[p.List()] {
				values = append(values, v.V)
			}
			fmt.Fprintf(&line, "%s=%q ", property, values)
		}
		got[u.Text[store.UserName]] = line.String()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("the store has %d active users, the directory %d people", len(got), len(want))
	}
	shown := 0
	for name, line := range want {
		if got[name] != line && shown < 3 {
			shown++
			t.Errorf("%s:\nstore     %s\ndirectory %s", name, got[name], line)
		}
	}
}

// describe says what user an entry should be.
func describe(entry map[string][]string) (name, line string) {
	var text strings.Builder
	for _, property := range sortedKeys(inetOrgPerson) {
		values := slices.Clone(entry[inetOrgPerson[property]])
		slices.Sort(values)
		p, _ := store.ParseProperty(property)
		first := ""
		if len(values) > 0 {
			first = values[0]
		}
		switch {
		case property == "user_name":
			name = first
			fallthrough
		case !p.Multi():
			fmt.Fprintf(&text, "%s=%q ", property, first)
		case property == "aliases":
			fmt.Fprintf(&text, "%s=%q ", property, values[1:])
		default:
			fmt.Fprintf(&text, "%s=%q ", property, values)
		}
	}
	return name, text.String()
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// parseLDIF reads what ldapsearch -LLL prints without wrapping.
func parseLDIF(text string) (entries []map[string][]string) {
	for block := range strings.SplitSeq(text, "\n\n") {
		entry := map[string][]string{}
		for line := range strings.Lines(block) {
			name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ":")
			if !ok {
				continue
			}
			if encoded, is := strings.CutPrefix(value, ":"); is {
				raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
				if err != nil {
					panic(err)
				}
				entry[name] = append(entry[name], string(raw))
				continue
			}
			entry[name] = append(entry[name], strings.TrimPrefix(value, " "))
		}
		if len(entry) > 0 {
			entries = append(entries, entry)
		}
	}
	return entries
}
