package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

const guid = "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"

// scripted reads a scripted server of a type, asking for attributes.
func scripted(t testing.TB, typ string, s *ldaptest.Scripted, attributes ...string) ([]connectors.Record, connectors.Outcome, error) {
	t.Helper()
	c := &ldap.Config{Type: typ, Servers: []string{ldaptest.StartScripted(t, s)}, BindDN: "cn=sync", BindPassword: "sync-secret",
		BaseDNs: []string{"dc=example"}, Changes: "full", IdleTimeout: 300 * time.Millisecond}
	if typ == "generic" {
		c.Key, c.Filter = "employeeNumber", "(objectClass=*)"
	}
	reader, err := c.Open(connectors.Env{Source: "corp", Attributes: attributes, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	var records []connectors.Record
	o, err := reader.Read(context.Background(), nil, func(r connectors.Record) error {
		r.Attributes = slices.Clone(r.Attributes)
		for i := range r.Attributes {
			r.Attributes[i].Values = slices.Clone(r.Attributes[i].Values)
		}
		records = append(records, r)
		return nil
	})
	if err != nil && !reflect.DeepEqual(o, connectors.Outcome{}) {
		t.Errorf("a failed pass has the outcome %+v", o)
	}
	return records, o, err
}

// always answers every search in the same way.
func always(messages ...ldaptest.Message) func(ldaptest.Search) []ldaptest.Message {
	return func(ldaptest.Search) []ldaptest.Message { return messages }
}

func entry(dn string, attributes ...ldaptest.Attribute) ldaptest.Message {
	return ldaptest.Message{DN: dn, Attributes: attributes}
}

func has(name string, values ...string) ldaptest.Attribute {
	return ldaptest.Attribute{Name: name, Values: values}
}

func done(r ldaptest.Result) ldaptest.Message { return ldaptest.Message{Done: &r} }

var (
	alice    = entry("uid=alice,dc=example", has("uid", "alice"), has("entryUUID", "00000000-0000-4000-8000-000000000001"))
	lastPage = done(ldaptest.Result{Paging: true})
)

// Whatever ends a pass early is an error that names the reason, with what to try (L7).
func TestEveryEarlyEnd(t *testing.T) {
	for _, test := range []struct {
		name        string
		answer      []ldaptest.Message
		kind        error
		says, toTry string
	}{
		{"referral", []ldaptest.Message{done(ldaptest.Result{Code: 10})}, connectors.ErrIncomplete, "refers to another", "name the server"},
		{"references only", []ldaptest.Message{{References: []string{"ldap://other/dc=example"}}, lastPage}, connectors.ErrIncomplete, "refers to ldap://other/dc=example", "name the server"},
		{"time limit", []ldaptest.Message{alice, done(ldaptest.Result{Code: 3})}, connectors.ErrIncomplete, "(3)", "no limits"},
		{"size limit", []ldaptest.Message{alice, done(ldaptest.Result{Code: 4})}, connectors.ErrIncomplete, "(4)", "no limits"},
		{"size limit on the last page", []ldaptest.Message{alice, done(ldaptest.Result{Code: 4, Paging: true})}, connectors.ErrIncomplete, "(4)", "no limits"},
		{"administrative limit", []ldaptest.Message{alice, done(ldaptest.Result{Code: 11})}, connectors.ErrIncomplete, "(11)", "no limits"},
		{"confidentiality", []ldaptest.Message{done(ldaptest.Result{Code: 13})}, connectors.ErrDenied, "(13)", "ldaps://"},
		{"access", []ldaptest.Message{done(ldaptest.Result{Code: 50})}, connectors.ErrDenied, "(50)", "the right to read"},
		{"base", []ldaptest.Message{done(ldaptest.Result{Code: 32, Matched: "dc=com"})}, connectors.ErrScope, "but dc=com is there", "base_dns"},
		{"busy", []ldaptest.Message{alice, done(ldaptest.Result{Code: 51})}, connectors.ErrIncomplete, "(51)", "less busy"},
		{"refresh required", []ldaptest.Message{alice, done(ldaptest.Result{Code: 4096})}, connectors.ErrCheckpointExpired, "(4096)", "reads everything"},
		{"no paging control", []ldaptest.Message{alice, done(ldaptest.Result{})}, connectors.ErrIncomplete, "without the paging control", "RFC 2696"},
		{"pages in a circle", []ldaptest.Message{done(ldaptest.Result{Paging: true, Cookie: "again"})}, connectors.ErrIncomplete, "circle", "page_size"},
		{"silence", []ldaptest.Message{alice, {Hang: true}}, connectors.ErrIncomplete, "silent for 300ms", "overloaded"},
		{"silence at once", []ldaptest.Message{{Hang: true}}, connectors.ErrIncomplete, "silent for 300ms", "overloaded"},
		{"indefinite length", []ldaptest.Message{alice, {Raw: []byte{0x30, 0x80, 0, 0}}}, connectors.ErrIncomplete, "malformed", "run the source again"},
		{"too large", []ldaptest.Message{alice, {Raw: []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}}}, connectors.ErrIncomplete, "a message of 2147483647 bytes", "run the source again"},
		{"an entry longer than its message", []ldaptest.Message{{Raw: []byte{0x30, 5, 2, 1, 2, 0x64, 9}}}, connectors.ErrIncomplete, "malformed", "run the source again"},
		{"no key", []ldaptest.Message{alice, entry("uid=bob", has("uid", "bob")), lastPage}, connectors.ErrScope, "uid=bob has no attribute entryUUID", "stable id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := scripted(t, "openldap", &ldaptest.Scripted{Answer: always(test.answer...)}, "uid")
			if !errors.Is(err, test.kind) || !strings.Contains(fmt.Sprint(err), test.says) || !strings.Contains(connectors.HintOf(err), test.toTry) {
				t.Errorf("error %v (try %s)\nwant %v, saying %q, with %q", err, connectors.HintOf(err), test.kind, test.says, test.toTry)
			}
		})
	}
}

// Several bases are read side by side, each entry once; where one of them fails, the pass does, and does not wait for the others.
func TestBasesAbreast(t *testing.T) {
	for _, fails := range []bool{false, true} {
		var both sync.WaitGroup
		both.Add(2)
		together := make(chan struct{})
		go func() { both.Wait(); close(together) }()
		s := &ldaptest.Scripted{Answer: func(asked ldaptest.Search) []ldaptest.Message {
			name, _, _ := strings.Cut(asked.Base, ",")
			first, second := entry("uid=1,"+asked.Base, has("entryUUID", name)), entry("uid=2,"+asked.Base, has("entryUUID", "in both"))
			if asked.Cookie == "" {
				both.Done()
				select {
				case <-together:
				case <-time.After(5 * time.Second):
					t.Error("one base waits for the other")
				}
				return []ldaptest.Message{first, done(ldaptest.Result{Paging: true, Cookie: "2"})}
			}
			switch {
			case fails && name == "ou=a":
				return []ldaptest.Message{second, done(ldaptest.Result{Code: 51})}
			case fails:
				return []ldaptest.Message{{Hang: true}}
			}
			return []ldaptest.Message{second, lastPage}
		}}
		c := &ldap.Config{Type: "openldap", Servers: []string{ldaptest.StartScripted(t, s)}, BaseDNs: []string{"ou=a,dc=example", "ou=b,dc=example"}, Changes: "full", IdleTimeout: 20 * time.Second}
		begun := time.Now()
		names, o, err := read(t, c)
		switch {
		case fails && (!errors.Is(err, connectors.ErrIncomplete) || !strings.Contains(err.Error(), "(51)") || o.Whole || time.Since(begun) > 10*time.Second):
			t.Errorf("one fails: %+v, %v after %s", o, err, time.Since(begun))
		case !fails && (err != nil || len(names) != 3 || o.Pages != 4 || !strings.Contains(o.Evidence, "2 of 2 bases, 3 entries in 4 pages")):
			t.Errorf("%q, %+v, %v", names, o, err)
		}
	}
}

// A connection that ends at any byte is no end of the directory.
func TestCutAtEveryByte(t *testing.T) {
	answer := func(s ldaptest.Search) []ldaptest.Message {
		if s.Cookie == "" {
			return []ldaptest.Message{alice, done(ldaptest.Result{Paging: true, Cookie: "2"})}
		}
		return []ldaptest.Message{entry("uid=bob", has("entryUUID", "2")), lastPage}
	}
	whole := &ldaptest.Scripted{Answer: answer}
	if records, _, err := scripted(t, "openldap", whole, "uid"); err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for n := 1; n < whole.Sent(); n++ {
		if _, _, err := scripted(t, "openldap", &ldaptest.Scripted{Answer: answer, CutAfter: n}, "uid"); !errors.Is(err, connectors.ErrIncomplete) {
			t.Errorf("cut after %d of %d bytes: error %v", n, whole.Sent(), err)
		}
	}
}

// Active Directory gives 1,500 values at a time, beside an attribute without any (MS-ADTS 3.1.1.3.1.3.3).
func TestRanges(t *testing.T) {
	for _, n := range []int{1499, 1500, 1501, 3000, 3200, 4001} {
		s := &ldaptest.Scripted{LongLengths: true, Answer: members(n, 1500)}
		records, _, err := scripted(t, "active-directory", s, "member", "cn")
		if err != nil || len(records) != 1 || len(records[0].Attributes) != 2 {
			t.Fatalf("%d members: %d records, %v", n, len(records), err)
		}
		values := records[0].Attributes[1].Values
		if records[0].Attributes[1].Name != "member" || len(slices.Compact(values)) != n || !slices.IsSorted(values) {
			t.Errorf("%d members: read %d of %s", n, len(values), records[0].Attributes[1].Name)
		}
	}
	gone := &ldaptest.Scripted{Answer: func(s ldaptest.Search) []ldaptest.Message {
		if s.Scope == 0 {
			return []ldaptest.Message{done(ldaptest.Result{Code: 32})}
		}
		return members(3000, 1500)(s)
	}}
	if _, _, err := scripted(t, "active-directory", gone, "member"); !errors.Is(err, connectors.ErrChanged) {
		t.Errorf("a group that vanished: error %v", err)
	}
}

// A server with Active Directory's limits: pages of 1,000, 1,500 values at a time, four-byte lengths, references. A group of 3,200 members
// among 2,500 entries is read whole, or the pass fails: after any cut, and where the server ends a range by a limit.
func TestLargeGroupAmongPages(t *testing.T) {
	limit := 0
	answer := func(s ldaptest.Search) []ldaptest.Message {
		if s.Scope == 0 {
			if limit != 0 {
				return []ldaptest.Message{done(ldaptest.Result{Code: limit})}
			}
			return members(3200, 1500)(s)
		}
		if s.PageSize > 1000 {
			return []ldaptest.Message{done(ldaptest.Result{Code: 4})}
		}
		first := 0
		_, _ = fmt.Sscan(s.Cookie, &first)
		messages := []ldaptest.Message{{References: []string{"ldap://other/dc=other"}}}
		for i := first; i < min(first+s.PageSize, 2500); i++ {
			id := fmt.Sprintf("%016d", i)
			messages = append(messages, entry("CN="+id, has("objectGUID", id), has("member")))
		}
		if next := first + s.PageSize; next < 2500 {
			return append(messages, done(ldaptest.Result{Paging: true, Cookie: fmt.Sprint(next)}))
		}
		return append(append(messages, members(3200, 1500)(s)[0]), lastPage)
	}
	whole := &ldaptest.Scripted{LongLengths: true, Answer: answer}
	records, o, err := scripted(t, "active-directory", whole, "member")
	if err != nil || len(records) != 2501 || !o.Whole || len(o.Warnings) != 1 {
		t.Fatalf("%d records, %+v, %v", len(records), o, err)
	}
	if values := records[2500].Attributes[0].Values; len(slices.Compact(values)) != 3200 {
		t.Errorf("%d of 3200 members", len(values))
	}
	ranges := whole.Sent() - 200_000 // the last page's end and the ranges
	for n := 1; n < whole.Sent(); n += 17_389 {
		cutAfter(t, answer, n)
	}
	for n := ranges; n < whole.Sent(); n += 7_919 {
		cutAfter(t, answer, n)
	}
	for n := whole.Sent() - 40; n < whole.Sent(); n++ {
		cutAfter(t, answer, n)
	}
	for _, limit = range []int{3, 4, 11} {
		if _, _, err := scripted(t, "active-directory", &ldaptest.Scripted{Answer: answer}, "member"); !errors.Is(err, connectors.ErrIncomplete) {
			t.Errorf("result %d in a range: error %v", limit, err)
		}
	}
}

func cutAfter(t *testing.T, answer func(ldaptest.Search) []ldaptest.Message, n int) {
	t.Helper()
	if _, _, err := scripted(t, "active-directory", &ldaptest.Scripted{LongLengths: true, Answer: answer, CutAfter: n}, "member"); !errors.Is(err, connectors.ErrIncomplete) {
		t.Errorf("cut after %d bytes: error %v", n, err)
	}
}

// A range that is cut at any of its bytes is no end of the group.
func TestRangeCutAtEveryByte(t *testing.T) {
	answer := members(5, 2)
	whole := &ldaptest.Scripted{LongLengths: true, Answer: answer}
	if records, _, err := scripted(t, "active-directory", whole, "member"); err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for n := 1; n < whole.Sent(); n++ {
		cutAfter(t, answer, n)
	}
}

// members answers for a group of n members, at most max at a time.
func members(n, limit int) func(ldaptest.Search) []ldaptest.Message {
	return func(s ldaptest.Search) []ldaptest.Message {
		first := 0
		for _, a := range s.Attributes {
			_, _ = fmt.Sscanf(a, "member;range=%d-*", &first)
		}
		last := min(first+limit, n)
		name := fmt.Sprintf("member;range=%d-%d", first, last-1)
		if last == n {
			name = fmt.Sprintf("member;range=%d-*", first)
		}
		if n <= limit {
			name = "member"
		}
		var values []string
		for i := first; i < last; i++ {
			values = append(values, fmt.Sprintf("CN=member %d,DC=example", i))
		}
		group := entry("CN=staff,DC=example", has("objectGUID", guid), has(name, values...))
		if n > limit {
			group.Attributes = append([]ldaptest.Attribute{has("member")}, group.Attributes...)
		}
		return []ldaptest.Message{group, done(ldaptest.Result{Paging: s.PageSize > 0})}
	}
}

// Entries as the makers of directories show them, in the words of Rollcall (L1, L8).
func TestPresets(t *testing.T) {
	for _, test := range []struct {
		typ      string
		entry    []ldaptest.Attribute
		key      string
		disabled bool
		want     map[string][]string
	}{
		{"active-directory", []ldaptest.Attribute{has("sAMAccountName", "alice"), has("objectGUID", guid), has("userAccountControl", "514"),
			has("objectSid", "\x01\x05\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x51\x04\x00\x00"),
			has("whenCreated", "20240229120000.0Z"), has("accountExpires", "9223372036854775807"), has("pwdLastSet", "133536816005000000"), has("unicodePwd", "secret"),
			has("thumbnailPhoto", "\xff\xd8\xff")},
			"00112233-4455-6677-8899-aabbccddeeff", true, map[string][]string{"sAMAccountName": {"alice"}, "objectSid": {"S-1-5-21-1-2-3-1105"},
				"whenCreated": {"2024-02-29T12:00:00Z"}, "accountExpires": {"never"}, "pwdLastSet": {"2024-02-29T12:00:00.5Z"}, "thumbnailPhoto": {"/9j/"}, "unicodePwd": nil}},
		{"active-directory", []ldaptest.Attribute{has("objectGUID", guid), has("userAccountControl", "512"), has("accountExpires", "116444736000000000")},
			"00112233-4455-6677-8899-aabbccddeeff", true, map[string][]string{"accountExpires": {"1970-01-01T00:00:00Z"}}},
		{"active-directory", []ldaptest.Attribute{has("objectGUID", guid), has("userAccountControl", "512"), has("accountExpires", "0")},
			"00112233-4455-6677-8899-aabbccddeeff", false, map[string][]string{"mail": {}}},
		{"edirectory", []ldaptest.Attribute{has("cn", "alice"), has("fullName", "Alice"), has("GUID", guid), has("loginDisabled", "TRUE"), has("loginTime", "20240229120000Z")},
			"33221100-5544-7766-8899-aabbccddeeff", true, map[string][]string{"fullName": {"Alice"}, "loginTime": {"2024-02-29T12:00:00Z"}}},
		{"389ds", []ldaptest.Attribute{has("nsUniqueId", "66446001-1dd211b2-66225011-2ee211db"), has("nsAccountLock", "true"), has("uid", "b", "a")},
			"66446001-1dd211b2-66225011-2ee211db", true, map[string][]string{"uid": {"a", "b"}}},
		{"domino", []ldaptest.Attribute{has("uid", "alice"), has("dominoUNID", "A1B2"), has("HTTPPassword", "(secret)")},
			"A1B2", false, map[string][]string{"uid": {"alice"}, "HTTPPassword": nil}},
		{"google", []ldaptest.Attribute{has("uid", "alice"), has("entryUUID", "1-2"), has("mail", "alice@example.com"), has("createTimestamp", "20240229130000+0100")},
			"1-2", false, map[string][]string{"mail": {"alice@example.com"}, "createTimestamp": {"2024-02-29T12:00:00Z"}}},
	} {
		var asked []string
		for name := range test.want {
			asked = append(asked, name)
		}
		s := &ldaptest.Scripted{Answer: always(entry("cn=alice", test.entry...), lastPage)}
		records, o, err := scripted(t, test.typ, s, append(asked, "dn")...)
		if err != nil || len(records) != 1 || !o.Whole {
			t.Fatalf("%s: %d records, %v", test.typ, len(records), err)
		}
		r, got := records[0], map[string][]string{}
		for _, a := range records[0].Attributes {
			got[a.Name] = a.Values
		}
		if r.Key != test.key || r.Disabled != test.disabled || r.Name != "cn=alice" || !slices.Equal(got["dn"], []string{"cn=alice"}) {
			t.Errorf("%s: record %+v, want key %s, disabled %t", test.typ, r, test.key, test.disabled)
		}
		for name, values := range test.want {
			list, listed := got[name]
			if listed == (values == nil) || !slices.Equal(list, values) {
				t.Errorf("%s: %s is %q (listed %t), want %q", test.typ, name, list, listed, values)
			}
		}
	}
}

// Active Directory says why it refuses a sign-in only in a number.
func TestWhyNobodySignsIn(t *testing.T) {
	for code, words := range map[string]string{"52e": "password is wrong", "525": "no such account", "533": "disabled", "532": "expired", "773": "must be changed", "775": "locked"} {
		s := &ldaptest.Scripted{Bind: ldaptest.Result{Code: 49, Text: "80090308: LdapErr: DSID-0C090447, comment: AcceptSecurityContext error, data " + code + ", v4563\x00"}}
		_, _, err := scripted(t, "active-directory", s)
		if !errors.Is(err, connectors.ErrDenied) || !strings.Contains(err.Error(), words) || connectors.HintOf(err) == "" {
			t.Errorf("data %s: %v", code, err)
		}
	}
	_, _, err := scripted(t, "active-directory", &ldaptest.Scripted{Bind: ldaptest.Result{Code: 8}})
	if !errors.Is(err, connectors.ErrDenied) || !strings.Contains(connectors.HintOf(err), "ldaps://") {
		t.Errorf("strong authentication: %v", err)
	}
}

// Two entries with one key: the second says so, and nobody else is stopped.
func TestSharedKey(t *testing.T) {
	s := &ldaptest.Scripted{Answer: always(
		entry("uid=a", has("employeeNumber", "1")), entry("uid=b", has("employeeNumber", "1")), entry("uid=c", has("employeeNumber", "2")), lastPage)}
	records, _, err := scripted(t, "generic", s)
	if err != nil || len(records) != 3 || records[0].Problem != "" || records[1].Problem != "employeeNumber 1 is the key of another entry too" || records[2].Problem != "" {
		t.Errorf("%+v, %v", records, err)
	}
}

// References beside entries are told once and not followed (L7).
func TestReferencesAreTold(t *testing.T) {
	reference := ldaptest.Message{References: []string{"ldap://other/dc=other"}}
	_, o, err := scripted(t, "openldap", &ldaptest.Scripted{Answer: always(alice, reference, reference, lastPage)})
	if err != nil || len(o.Warnings) != 1 || strings.Count(o.Warnings[0], "ldap://other/dc=other") != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// Time that the receiver of records takes is no silence of the server.
func TestSlowReceiver(t *testing.T) {
	s := &ldaptest.Scripted{Answer: members(2000, 1500)}
	c := &ldap.Config{Type: "active-directory", Servers: []string{ldaptest.StartScripted(t, s)}, BaseDNs: []string{"dc=example"}, Attributes: []string{"member"},
		Changes: "full", IdleTimeout: 200 * time.Millisecond}
	reader := open(t, c)
	pages := 0
	answer := s.Answer
	s.Answer = func(asked ldaptest.Search) []ldaptest.Message {
		messages := answer(asked)
		if pages++; pages == 1 {
			messages[1].Done.Cookie = "more"
		}
		return messages
	}
	n := 0
	_, err := reader.Read(t.Context(), nil, func(connectors.Record) error { n++; time.Sleep(500 * time.Millisecond); return nil })
	if err != nil || n != 2 {
		t.Errorf("%d records, %v", n, err)
	}
}
