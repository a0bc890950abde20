package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

// controller plays a domain controller with the limits that Samba does not keep to: DirSync in rounds, values in ranges.
type controller struct {
	// rounds answer DirSync, by cookie.
	rounds map[string][]ldaptest.Message
	// entries are those of the scope, by the first byte of their objectGUID.
	entries map[byte]ldaptest.Message
}

func (c *controller) answer(asked ldaptest.Search) []ldaptest.Message {
	const settings = "CN=NTDS Settings,CN=DC1,CN=Configuration,DC=example"
	one := func(m ldaptest.Message) []ldaptest.Message { return []ldaptest.Message{m, lastPage} }
	switch {
	case asked.DirSync && asked.Cookie == "":
		return []ldaptest.Message{done(ldaptest.Result{DirSync: true, Cookie: "0"})}
	case asked.DirSync:
		return c.rounds[asked.Cookie]
	case asked.Base == "":
		return one(entry("", has("namingContexts", "DC=example"), has("supportedControl", "1.2.840.113556.1.4.841"), has("dsServiceName", settings), has("highestCommittedUSN", "7")))
	case asked.Base == settings:
		return one(entry(settings, has("invocationId", guid)))
	case strings.HasPrefix(asked.Base, "CN=Deleted Objects,"):
		return one(entry("CN=gone," + asked.Base))
	case asked.Scope == 0 && slices.Contains(asked.Attributes, "objectGUID"):
		return one(entry(asked.Base, has("objectGUID", guid)))
	case asked.Scope == 0:
		return []ldaptest.Message{entry(asked.Base, has(asked.Attributes[0][:strings.Index(asked.Attributes[0], "-")]+"-*", "cn=c")), done(ldaptest.Result{})}
	case strings.Contains(asked.Filter, "organizationalUnit"):
		return one(lastPage)[1:]
	}
	var all []ldaptest.Message
	for first, e := range c.entries {
		if !strings.Contains(asked.Filter, "objectGUID=") || strings.Contains(asked.Filter, "objectGUID="+guidOf(first)[:1]) {
			all = append(all, e)
		}
	}
	return append(all, lastPage)
}

func guidOf(first byte) string { return string([]byte{first}) + guid[1:] }

// A DirSync of several rounds, one of them without an entry, tells of all: who changed is read whole with the values that the server keeps to itself, who
// is deleted is gone.
func TestDirSyncInRounds(t *testing.T) {
	round := func(cookie string, more bool, entries ...ldaptest.Message) []ldaptest.Message {
		return append(entries, done(ldaptest.Result{DirSync: true, Cookie: cookie, More: more}))
	}
	changed := func(first byte, attributes ...ldaptest.Attribute) ldaptest.Message {
		return entry("CN=x", append(attributes, has("objectGUID", guidOf(first)))...)
	}
	person := func(first byte, attributes ...ldaptest.Attribute) ldaptest.Message {
		return entry(fmt.Sprintf("CN=p%d,DC=example", first), append(attributes, has("objectGUID", guidOf(first)))...)
	}
	dc := &controller{
		entries: map[byte]ldaptest.Message{1: person(1, has("mail", "a@example")), 2: person(2, has("member"), has("member;range=0-1", "cn=a", "cn=b"))},
		rounds: map[string][]ldaptest.Message{
			"0": round("1", true, changed(1, has("mail", "a@example"))),
			"1": round("2", true),
			"2": round("3", false, changed(2, has("member;range=1-1", "cn=c")), changed(3, has("isDeleted", "TRUE"))),
			"3": round("3", false),
		}}
	c := &ldap.Config{Type: "active-directory", Servers: []string{ldaptest.StartScripted(t, &ldaptest.Scripted{LongLengths: true, Answer: dc.answer})},
		BaseDNs: []string{"DC=example"}, Changes: "dirsync", Attributes: []string{"member"}, IdleTimeout: 2 * time.Second}
	_, first, err := read(t, c)
	if err != nil || first.Next == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	var told []string
	second, err := open(t, c).Read(t.Context(), first.Next, func(r connectors.Record) error {
		text := r.Key[6:8]
		for _, a := range r.Attributes {
			if a.Name == "member" || a.Name == "mail" {
				text += fmt.Sprint(" ", a.Values)
			}
		}
		told = append(told, fmt.Sprint(text, " ", r.Deleted))
		return nil
	})
	slices.Sort(told)
	if want := []string{"01 [a@example] [] false", "02 [] [cn=a cn=b cn=c] false", "03 true"}; err != nil || !slices.Equal(told, want) {
		t.Fatalf("told %q, want %q, %v", told, want, err)
	}
	told = nil
	third, err := open(t, c).Read(context.Background(), second.Next, func(r connectors.Record) error { told = append(told, r.Key); return nil })
	if err != nil || len(told) != 0 || third.Whole {
		t.Errorf("nothing changed: told %q, %+v, %v", told, third, err)
	}
	lines := strings.Join(searches(t, c), "\n")
	for _, part := range []string{"-E '!dirSync=1/1048576' ", "-E '!dirSync=1/1048576/MA==' ", "-E 'domainScope' ", "-E '!showDeleted' "} {
		if !strings.Contains(lines, part) {
			t.Errorf("no line has %s:\n%s", part, lines)
		}
	}
	for name, test := range map[string]struct {
		round []ldaptest.Message
		want  error
	}{
		"critical extension": {[]ldaptest.Message{done(ldaptest.Result{Code: 12})}, connectors.ErrCheckpointExpired},
		"unwilling":          {[]ldaptest.Message{done(ldaptest.Result{Code: 53})}, connectors.ErrCheckpointExpired},
		"protocol error":     {[]ldaptest.Message{done(ldaptest.Result{Code: 2})}, connectors.ErrCheckpointExpired},
		"operations error":   {[]ldaptest.Message{done(ldaptest.Result{Code: 1})}, connectors.ErrCheckpointExpired},
		"busy":               {[]ldaptest.Message{done(ldaptest.Result{Code: 51})}, connectors.ErrIncomplete},
		"no cookie":          {[]ldaptest.Message{changed(1), done(ldaptest.Result{})}, connectors.ErrIncomplete},
		"a circle":           {round("0", true), connectors.ErrIncomplete},
		"cut short":          {round("1", true, changed(1)), connectors.ErrIncomplete},
	} {
		dc.rounds = map[string][]ldaptest.Message{"0": test.round, "1": {{Raw: []byte{0x30, 0x80}}}}
		if o, err := open(t, c).Read(t.Context(), first.Next, func(connectors.Record) error { return nil }); !errors.Is(err, test.want) || o.Next != nil {
			t.Errorf("%s: %+v, %v, want %v", name, o, err, test.want)
		}
	}
}
