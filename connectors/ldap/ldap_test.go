package ldap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest"
	"rollcall/connectors/connectorstest/people"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

var wantedAttributes = []string{"uid", "cn", "mail", "telephoneNumber", "pager", "employeeNumber", "description"}

func TestConformance(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	d := &directory{Server: s, dns: map[string]string{}, attributes: map[string][]people.Attribute{}}
	connectorstest.Run(t, connectorstest.Harness{
		Incremental: true, TellsDeleted: true,
		Size: 70, // seven pages, and more keys than one search looks up
		Open: func(t testing.TB) connectors.Connector { return open(t, config(s)) },
		Fill: d.fill, Want: d.want, Remove: d.remove, Update: d.update, Reorder: d.reorder,
		Missing: func(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) },
		Unreachable: func(t testing.TB) connectors.Connector {
			c := config(s)
			c.Servers = []string{"ldap://127.0.0.1:1"}
			return open(t, c)
		},
		Secrets: []string{s.SyncPassword},
		Breaks: []connectorstest.Break{{Name: "the server is killed",
			Open: func(t testing.TB, list []people.Person) connectors.Connector {
				d.fill(t, list)
				return open(t, config(s))
			},
			During: func(testing.TB) { s.Kill() }, Err: connectors.ErrIncomplete}},
	})
}

// directory is ou=people of a server, filled and changed entry by entry.
type directory struct {
	*ldaptest.Server
	dns        map[string]string             // key → DN
	attributes map[string][]people.Attribute // key → what was put there
}

func (d *directory) fill(t testing.TB, list []people.Person) []string {
	d.Restart()
	for _, dn := range d.dns {
		d.Delete(dn)
	}
	d.dns = map[string]string{}
	keys := make([]string, len(list))
	for i, p := range list {
		keys[i] = d.add(p)
	}
	return keys
}

func (d *directory) add(p people.Person) (key string) {
	dn, attributes := people.InetOrgPerson(p, d.Suffix)
	all := map[string][]string{"userPassword": {p.Password}}
	for _, a := range attributes {
		if len(a.Values) > 0 {
			all[a.Name] = a.Values
		}
	}
	d.Add(dn, all)
	key = d.keyOf(dn)
	d.dns[key], d.attributes[key] = dn, attributes
	return key
}

func (d *directory) keyOf(dn string) string {
	_, after, _ := strings.Cut(d.Search(dn, "(objectClass=*)", "entryUUID"), "entryUUID: ")
	key, _, _ := strings.Cut(after, "\n")
	return key
}

func (d *directory) remove(_ testing.TB, key string) { d.Delete(d.dns[key]); delete(d.dns, key) }

// update makes the entry another person's: by modrdn and replaced attributes, so that entryUUID stays.
func (d *directory) update(_ testing.TB, key string, p people.Person) {
	dn, attributes := people.InetOrgPerson(p, d.Suffix)
	if dn != d.dns[key] {
		rdn, _, _ := strings.Cut(dn, ",")
		d.Rename(d.dns[key], rdn, "")
		d.dns[key] = dn
	}
	set := map[string][]string{}
	for _, a := range attributes {
		set[a.Name] = a.Values
	}
	for _, name := range append([]string{"sn", "givenName"}, wantedAttributes...) {
		d.Replace(dn, name, set[name]...)
	}
}

// reorder gives multi-valued attributes their values in the other order.
func (d *directory) reorder(testing.TB) {
	for key, dn := range d.dns {
		for _, a := range d.attributes[key] {
			if len(a.Values) > 1 && (a.Name == "mail" || a.Name == "pager") {
				reversed := slices.Clone(a.Values)
				slices.Reverse(reversed)
				d.Replace(dn, a.Name)
				d.Replace(dn, a.Name, reversed...)
			}
		}
	}
}

func (d *directory) want(p people.Person) map[string][]string {
	_, attributes := people.InetOrgPerson(p, d.Suffix)
	want := map[string][]string{}
	for _, name := range wantedAttributes {
		want[name] = nil
	}
	for _, a := range attributes {
		if slices.Contains(wantedAttributes, a.Name) {
			want[a.Name] = a.Values
		}
	}
	return want
}

func config(s *ldaptest.Server) *ldap.Config {
	return &ldap.Config{Type: "openldap", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
		BaseDNs: []string{"ou=people," + s.Suffix}, PageSize: 10, IdleTimeout: 5 * time.Second}
}

func open(t testing.TB, c *ldap.Config) connectors.Connector {
	t.Helper()
	reader, err := c.Open(connectors.Env{Source: "people", Attributes: wantedAttributes, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

// read reads a source and returns the records' names.
func read(t testing.TB, c *ldap.Config) (names []string, o connectors.Outcome, err error) {
	t.Helper()
	o, err = open(t, c).Read(context.Background(), nil, func(r connectors.Record) error { names = append(names, r.Name); return nil })
	return names, o, err
}

// Every way of not getting in is said in words, with what to try.
func TestNotGettingIn(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	s.Add("uid=alice,ou=people,"+s.Suffix, person("alice"))
	for _, test := range []struct {
		name     string
		change   func(*ldap.Config)
		kind     error
		says, to string
	}{
		{"no password file", func(c *ldap.Config) { c.BindPassword, c.BindPasswordFile = "", "none" }, connectors.ErrSecret, "open none: no such file", "write the password"},
		{"wrong password", func(c *ldap.Config) { c.BindPassword = "wrong" }, connectors.ErrDenied, "sign in as cn=sync", "check bind_dn and the password"},
		{"unknown host", func(c *ldap.Config) { c.Servers = []string{"ldap://no-such-host.invalid"}; c.AllowPlaintext = true }, connectors.ErrUnreachable, "no-such-host.invalid", "check servers"},
		{"nobody listens", func(c *ldap.Config) { c.Servers = []string{"ldap://127.0.0.1:1"} }, connectors.ErrUnreachable, "connection refused", "is the server running"},
		{"wrong base", func(c *ldap.Config) { c.BaseDNs = []string{"ou=nobody," + s.Suffix} }, connectors.ErrScope, "but dc=example,dc=com is there", "check base_dns"},
		{"certificate not trusted", func(c *ldap.Config) { c.Servers = []string{s.LDAPSURL} }, connectors.ErrUnreachable, "not trusted", "ca_file"},
		{"wrong name in the certificate", func(c *ldap.Config) {
			c.Servers = []string{s.LDAPSURL}
			c.TLS = ldap.TLS{CAFile: s.CAFile, ServerName: "other"}
		}, connectors.ErrUnreachable, "other", "server_name"},
		{"a limit", func(c *ldap.Config) { c.BindDN, c.BindPassword = "", ""; c.PageSize = 5000 }, connectors.ErrIncomplete, "", "no limits"},
		{"no key", func(c *ldap.Config) { c.Key = "employeeNumber" }, connectors.ErrScope, "has no attribute employeeNumber", "stable id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "a limit" {
				for i := range 501 {
					s.Add(fmt.Sprintf("uid=p%d,ou=people,%s", i, s.Suffix), person(fmt.Sprintf("p%d", i)))
				}
			}
			c := config(s)
			test.change(c)
			_, o, err := read(t, c)
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) || !strings.Contains(connectors.HintOf(err), test.to) {
				t.Errorf("error %v (try %s)\nwant %v, saying %q, with %q", err, connectors.HintOf(err), test.kind, test.says, test.to)
			}
			if o.Whole || o.Evidence != "" {
				t.Errorf("a failed pass has the outcome %+v", o)
			}
		})
	}
}

func person(uid string) map[string][]string {
	return map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {"Person " + uid}, "sn": {uid}, "uid": {uid}}
}

// L2: Plain, LDAPS, StartTLS, client certificate, and the next server when the first is away.
func TestGettingIn(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	s.Add("uid=alice,ou=people,"+s.Suffix, person("alice"))
	for name, change := range map[string]func(*ldap.Config){
		"plain":    func(*ldap.Config) {},
		"LDAPS":    func(c *ldap.Config) { c.Servers = []string{s.LDAPSURL}; c.TLS.CAFile = s.CAFile },
		"StartTLS": func(c *ldap.Config) { c.TLS.StartTLS, c.TLS.CAFile = true, s.CAFile },
		"client certificate": func(c *ldap.Config) {
			c.BindDN, c.BindPassword = "", ""
			c.Servers = []string{s.LDAPSURL}
			c.TLS = ldap.TLS{CAFile: s.CAFile, CertFile: s.ClientCert, KeyFile: s.ClientKey}
		},
		"failover": func(c *ldap.Config) { c.Servers = []string{"ldap://127.0.0.1:1", s.URL} },
		"password file": func(c *ldap.Config) {
			c.BindPassword, c.BindPasswordFile = "", filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(c.BindPasswordFile, []byte(s.SyncPassword+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		c := config(s)
		change(c)
		names, o, err := read(t, c)
		if err != nil || len(names) != 1 || !o.Whole || o.Server != c.Servers[len(c.Servers)-1] {
			t.Errorf("%s: %q from %s, %v", name, names, o.Server, err)
		}
	}
}

// Pages end where they end: one more or one less than a page loses nobody.
func TestPageBoundaries(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	conn := s.Conn()
	count := 0
	for _, n := range []int{1, 499, 500, 501, 999, 1000, 1001} {
		for ; count < n; count++ {
			request := goldap.NewAddRequest(fmt.Sprintf("uid=p%d,ou=people,%s", count, s.Suffix), nil)
			for name, values := range person(fmt.Sprintf("p%d", count)) {
				request.Attribute(name, values)
			}
			if err := conn.Add(request); err != nil {
				t.Fatal(err)
			}
		}
		for _, size := range []int{500, 1000} {
			c := config(s)
			c.PageSize = size
			names, _, err := read(t, c)
			slices.Sort(names)
			if got := len(slices.Compact(names)); err != nil || got != n || len(names) != n {
				t.Errorf("%d people in pages of %d: read %d, %v", n, size, got, err)
			}
		}
	}
}

// Overlapping bases deliver each entry once (L3).
func TestOverlappingBases(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	s.Add("uid=alice,ou=people,"+s.Suffix, person("alice"))
	s.Add("uid=bob,ou=leavers,"+s.Suffix, person("bob"))
	c := config(s)
	c.BaseDNs = []string{"ou=People," + s.Suffix, "ou=leavers," + s.Suffix, s.Suffix, "uid=alice,ou=people," + s.Suffix}
	names, _, err := read(t, c)
	if err != nil || len(names) != 2 {
		t.Errorf("read %q, %v", names, err)
	}
}

// Bases that are read side by side bring everybody once; a server that is killed meanwhile, or a receiver that refuses, ends them all.
func TestBasesAbreastOnSlapd(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	conn := s.Conn()
	for i := range 400 {
		uid := fmt.Sprintf("p%03d", i)
		request := goldap.NewAddRequest(fmt.Sprintf("uid=%s,ou=%s,%s", uid, []string{"people", "leavers"}[i%2], s.Suffix), nil)
		for name, values := range person(uid) {
			request.Attribute(name, values)
		}
		if err := conn.Add(request); err != nil {
			t.Fatal(err)
		}
	}
	c := config(s)
	c.BaseDNs = []string{"ou=people," + s.Suffix, "ou=leavers," + s.Suffix}
	names, o, err := read(t, c)
	slices.Sort(names)
	if err != nil || len(slices.Compact(names)) != 400 || !o.Whole || o.Next == nil || o.Bytes < 400*100 || o.Wire <= 0 {
		t.Fatalf("%d people, %+v, %v", len(names), o, err)
	}
	refused := errors.New("the receiver refuses")
	for _, test := range []struct {
		at   func() error
		want error
	}{
		{func() error { return refused }, refused},
		{func() error { s.Kill(); return nil }, connectors.ErrIncomplete},
	} {
		n := 0
		o, err := open(t, c).Read(t.Context(), nil, func(connectors.Record) error {
			if n++; n == 100 {
				return test.at()
			}
			return nil
		})
		if !errors.Is(err, test.want) || o.Whole || n < 100 || n > 395 {
			t.Errorf("%d people, %+v, %v, want %v", n, o, err, test.want)
		}
	}
}

// With "*" a server sends what it likes, hashes of passwords included: they go no further (U21).
func TestPasswordsNeverPass(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	alice := person("alice")
	alice["userPassword"] = []string{"{SSHA}hash-of-a-password"}
	s.Add("uid=alice,ou=people,"+s.Suffix, alice)
	if !strings.Contains(s.Search("ou=people,"+s.Suffix, "(uid=alice)", "userPassword"), "userPassword::") {
		t.Fatal("the account cannot read hashes: the test shows nothing")
	}
	c := config(s)
	c.Attributes = []string{"*", "userPassword", "userpassword;x-hashed"}
	reader := open(t, c)
	all := 0
	_, err := reader.Read(t.Context(), nil, func(r connectors.Record) error {
		for _, a := range r.Attributes {
			all++
			if strings.Contains(strings.ToLower(a.Name), "password") || strings.Contains(fmt.Sprint(a.Values), "hash-of") {
				t.Errorf("%s passed", a.Name)
			}
		}
		return nil
	})
	if err != nil || all < 10 {
		t.Errorf("%d attributes, %v", all, err)
	}
}

// A server that goes silent in the middle ends the pass.
func TestSilentServer(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	for i := range 30 {
		s.Add(fmt.Sprintf("uid=p%d,ou=people,%s", i, s.Suffix), person(fmt.Sprint("p", i)))
	}
	c := config(s)
	c.IdleTimeout, c.PageSize = 500*time.Millisecond, 5 // the next page is never answered
	n := 0
	_, err := open(t, c).Read(t.Context(), nil, func(connectors.Record) error {
		if n++; n == 5 {
			s.Freeze()
		}
		return nil
	})
	s.Thaw()
	if !errors.Is(err, connectors.ErrIncomplete) || !strings.Contains(err.Error(), "silent for 500ms") {
		t.Errorf("error %v", err)
	}
}

// Check says who is signed in where, and what is there.
func TestCheck(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	s.Add("uid=alice,ou=people,"+s.Suffix, person("alice"))
	s.Add("uid=bob,ou=people,"+s.Suffix, person("bob"))
	c := config(s)
	c.BaseDNs = append(c.BaseDNs, "ou=leavers,"+s.Suffix)
	lines, err := open(t, c).Check(t.Context())
	text := strings.Join(lines, "\n")
	for _, part := range []string{"signed in to " + s.URL + " as cn=sync", "type openldap", "uid=", "with its entryUUID", "changes are found by syncrepl", "warning: no entry under ou=leavers"} {
		if err != nil || !strings.Contains(text, part) {
			t.Errorf("check says\n%s\n(%v), and not %q", text, err, part)
		}
	}
}

// Every mistake of a configuration is named, all at once.
func TestValidate(t *testing.T) {
	c := &ldap.Config{Type: "generic", Servers: []string{"http://x", "ldap://ldap.example.com"}, BaseDNs: []string{"nonsense"}, BindDN: "cn=x", TLS: ldap.TLS{CertFile: "x"}}
	err := c.Validate()
	if err == nil {
		t.Fatal("no mistake found")
	}
	for _, part := range []string{"key: type generic needs", "filter: none", `"http://x" is not the address`, "would travel unencrypted to ldap://ldap.example.com", `"nonsense" is no distinguished name`, "cert_file and key_file", "without a password"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("not said: %s\nin %v", part, err)
		}
	}
	for filter, want := range map[string]string{
		"ou=IT*\nmail=*@example.com": "(|(ou=IT*)(mail=*@example.com))",
		"cn=a(b)":                    `(|(cn=a\28b\29))`,
		"(&(a=b)(c=d))":              "(&(a=b)(c=d))",
	} {
		c := &ldap.Config{Type: "openldap", Filter: filter, BaseDNs: []string{"dc=x"}}
		if scope := c.Scope(); !strings.Contains(scope, "filter "+want+" key") {
			t.Errorf("filter %q: scope %s, want %s", filter, scope, want)
		}
	}
}

// addRequest puts an entry into a directory, attribute by attribute.
func addRequest(dn string, attributes []people.Attribute) *goldap.AddRequest {
	request := goldap.NewAddRequest(dn, nil)
	for _, a := range attributes {
		if len(a.Values) > 0 {
			request.Attribute(a.Name, a.Values)
		}
	}
	return request
}

// What the log says of a search can be pasted into a shell and finds the same entries, also from a cookie, over TLS, and however one signs in.
func TestLoggedSearchCanBePasted(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	s.Add("cn=o'neil,ou=people,"+s.Suffix, map[string][]string{"objectClass": {"inetOrgPerson"}, "sn": {"O'Neil"}, "uid": {"oneil"}})
	s.Add("uid=alice,ou=people,"+s.Suffix, person("alice"))
	secure := func(c *ldap.Config) { c.Servers, c.TLS.CAFile = []string{s.LDAPSURL}, s.CAFile }
	for name, test := range map[string]struct {
		change func(*ldap.Config)
		says   []string // in a line each
	}{
		"full":     {func(c *ldap.Config) { c.Changes = "full" }, []string{"-E 'pr=10/noprompt'"}},
		"syncrepl": {func(*ldap.Config) {}, []string{"-s base -b '' ", "-E '!sync=ro' ", "-E '!sync=ro/rid="}},
		"poll":     {func(c *ldap.Config) { c.Changes = "poll" }, []string{"entryCSN>="}},
		"LDAPS":    {secure, []string{"LDAPTLS_CACERT="}},
		"StartTLS": {func(c *ldap.Config) { c.TLS.StartTLS, c.TLS.CAFile = true, s.CAFile }, []string{"LDAPTLS_CACERT=", "-ZZ"}},
		"client certificate": {func(c *ldap.Config) {
			secure(c)
			c.BindDN, c.BindPassword, c.TLS.CertFile, c.TLS.KeyFile = "", "", s.ClientCert, s.ClientKey
		}, []string{"LDAPTLS_CERT=", "-Y EXTERNAL"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(s)
			c.Filter = "sn=O'N*"
			test.change(c)
			lines := searches(t, c)
			for _, part := range test.says {
				if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, part) }) {
					t.Errorf("no line has %s:\n%s", part, strings.Join(lines, "\n"))
				}
			}
			found := false
			for _, line := range lines {
				found = strings.Contains(paste(t, s, line), "uid: oneil") || found
			}
			if !found {
				t.Errorf("nobody is found:\n%s", strings.Join(lines, "\n"))
			}
		})
	}
}

// searches are the logged lines of a full pass and, where there is one, of an incremental pass.
func searches(t *testing.T, c *ldap.Config) (lines []string) {
	t.Helper()
	var log bytes.Buffer
	reader, err := c.Open(connectors.Env{Source: "people", Attributes: wantedAttributes, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	nothing := func(connectors.Record) error { return nil }
	o, err := reader.Read(t.Context(), nil, nothing)
	if err == nil && o.Next != nil {
		_, err = reader.Read(t.Context(), o.Next, nothing)
	}
	if err != nil || c.BindPassword != "" && strings.Contains(log.String(), c.BindPassword) {
		t.Fatalf("log %s, %v", log.String(), err)
	}
	for text := range strings.Lines(log.String()) {
		var line struct{ Message string }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line.Message)
	}
	return lines
}

// paste runs a logged line in a shell.
func paste(t *testing.T, s *ldaptest.Server, line string) string {
	t.Helper()
	shell := exec.Command("sh", "-c", line)
	shell.Env = append(os.Environ(), "LDAPPASSWORD="+s.SyncPassword)
	out, err := shell.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !(errors.As(err, &ended) && ended.ExitCode() == goldap.LDAPResultSizeLimitExceeded && strings.Contains(line, " -z ")) {
		t.Errorf("%s\nsays %s, %v", line, out, err)
	}
	return string(out)
}
