package ldap_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"rollcall/connectors"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
)

// village is a directory in which histories are played: people under ou=village, in it ou=a and ou=b, and ou=away
// beside it.
type village struct {
	*ldaptest.Server
	t      testing.TB
	config *ldap.Config
	conn   *goldap.Conn
	people func(name string) map[string][]string
	rdn    string // the attribute that names a person
	lock   func(dn string, locked bool)
	burst  int // how many people a burst brings
}

func newVillage(t testing.TB, s *ldaptest.Server, typ string) *village {
	v := &village{Server: s, t: t, rdn: "uid", burst: 120, conn: s.Conn(), people: func(name string) map[string][]string {
		p := person(name)
		p["mail"] = []string{name + "@example.com"}
		return p
	}}
	v.config = &ldap.Config{Type: typ, Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword, PageSize: 10, IdleTimeout: 10 * time.Second,
		BaseDNs: []string{v.at("")}, Filter: "(&(objectClass=inetOrgPerson)(mail=*))"}
	switch typ {
	case "389ds":
		v.lock = func(dn string, locked bool) { v.set(dn, "nsAccountLock", map[bool][]string{true: {"true"}}[locked]...) }
	case "active-directory":
		v.burst = 24 // it adds ten people a second
		v.rdn, v.config.Filter = "cn", "(&(objectCategory=person)(objectClass=user)(mail=*))"
		v.people = func(name string) map[string][]string {
			return map[string][]string{"objectClass": {"user"}, "sAMAccountName": {name}, "mail": {name + "@example.com"}, "userAccountControl": {"544"}}
		}
		v.lock = func(dn string, locked bool) {
			v.set(dn, "userAccountControl", map[bool]string{true: "546", false: "544"}[locked])
		}
	}
	for _, dn := range []string{"ou=village," + s.Suffix, v.at("a"), v.at("b"), "ou=away," + s.Suffix} {
		v.add(dn, map[string][]string{"objectClass": {"organizationalUnit"}})
	}
	return v
}

// at is a place in the village.
func (v *village) at(ou string) string {
	if ou == "" {
		return "ou=village," + v.Suffix
	}
	return "ou=" + ou + ",ou=village," + v.Suffix
}

func (v *village) dn(name, ou string) string { return v.rdn + "=" + name + "," + v.at(ou) }

func (v *village) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *village) add(dn string, attributes map[string][]string) {
	v.t.Helper()
	request := goldap.NewAddRequest(dn, nil)
	for name, values := range attributes {
		request.Attribute(name, values)
	}
	v.must(v.conn.Add(request))
}

func (v *village) born(name, ou string) { v.t.Helper(); v.add(v.dn(name, ou), v.people(name)) }

func (v *village) set(dn, attribute string, values ...string) {
	v.t.Helper()
	request := goldap.NewModifyRequest(dn, nil)
	request.Replace(attribute, values)
	v.must(v.conn.Modify(request))
}

func (v *village) move(dn, rdn, superior string) {
	v.t.Helper()
	v.must(v.conn.ModifyDN(goldap.NewModifyDNRequest(dn, rdn, true, superior)))
}

func (v *village) del(dn string) { v.t.Helper(); v.must(v.conn.Del(goldap.NewDelRequest(dn, nil))) }

// step is something that happens in the village.
type step struct {
	name string
	do   func(v *village)
	// expires is true when the checkpoint may expire of it.
	expires bool
	// told is how many people an incremental pass tells of at least, as changed or gone.
	told int
}

// history is what happens, step by step.
func history() []step {
	return []step{
		{"three are born", func(v *village) { v.born("adam", "a"); v.born("berta", "a"); v.born("cyril", "b") }, false, 3},
		{"one changes", func(v *village) { v.set(v.dn("adam", "a"), "telephoneNumber", "+420 1") }, false, 1},
		{"an attribute is cleared", func(v *village) { v.set(v.dn("adam", "a"), "telephoneNumber") }, false, 1},
		{"nothing", func(*village) {}, false, 0},
		{"one is renamed", func(v *village) { v.move(v.dn("berta", "a"), v.rdn+"=beata", "") }, false, 1},
		{"one moves within", func(v *village) { v.move(v.dn("beata", "a"), v.rdn+"=beata", v.at("b")) }, false, 1},
		{"and back, and another the other way", func(v *village) {
			v.move(v.dn("beata", "b"), v.rdn+"=beata", v.at("a"))
			v.move(v.dn("adam", "a"), v.rdn+"=adam", v.at("b"))
		}, false, 2},
		{"one moves out", func(v *village) { v.move(v.dn("adam", "b"), v.rdn+"=adam", "ou=away,"+v.Suffix) }, false, 1},
		{"one changes outside", func(v *village) { v.set(v.rdn+"=adam,ou=away,"+v.Suffix, "telephoneNumber", "+420 2") }, false, 0},
		{"one moves in", func(v *village) { v.move(v.rdn+"=adam,ou=away,"+v.Suffix, v.rdn+"=adam", v.at("a")) }, false, 1},
		{"one leaves the filter", func(v *village) { v.set(v.dn("cyril", "b"), "mail") }, false, 1},
		{"and matches again", func(v *village) { v.set(v.dn("cyril", "b"), "mail", "cyril@example.com") }, false, 1},
		{"one is deleted", func(v *village) { v.del(v.dn("beata", "a")) }, false, 1},
		{"one is deleted and another gets his name", func(v *village) { v.del(v.dn("adam", "a")); v.born("adam", "a") }, false, 2},
		{"one is born and dies", func(v *village) { v.born("dora", "a"); v.del(v.dn("dora", "a")) }, false, 0},
		{"one is locked", func(v *village) {
			if v.lock != nil {
				v.lock(v.dn("adam", "a"), true)
			}
		}, false, 0},
		{"and unlocked", func(v *village) {
			if v.lock != nil {
				v.lock(v.dn("adam", "a"), false)
			}
		}, false, 0},
		{"a burst", func(v *village) {
			for i := range v.burst {
				v.born(fmt.Sprintf("p%03d", i), "b")
			}
			for i := range v.burst / 2 {
				v.set(v.dn(fmt.Sprintf("p%03d", i), "b"), "telephoneNumber", fmt.Sprint("+420 ", i))
			}
			for i := range v.burst / 4 {
				v.del(v.dn(fmt.Sprintf("p%03d", i), "b"))
			}
		}, false, 18},
		{"a container is renamed", func(v *village) { v.move(v.at("b"), "ou=c", "") }, false, 0},
		{"a container moves out", func(v *village) { v.move(v.at("c"), "ou=c", "ou=away,"+v.Suffix) }, true, 0},
		{"a container moves in", func(v *village) { v.move("ou=c,ou=away,"+v.Suffix, "ou=b", v.at("")) }, true, 0},
		{"the end", func(*village) {}, false, 0},
	}
}

// books is what somebody knows who applied everything that was told.
type books struct {
	t      testing.TB
	config *ldap.Config
	known  map[string]connectors.Record
	next   connectors.Checkpoint
	wholes int // incremental passes that were whole after all
}

// begin makes a full pass.
func (b *books) begin() {
	b.t.Helper()
	b.known = map[string]connectors.Record{}
	o, err := open(b.t, b.config).Read(b.t.Context(), nil, func(r connectors.Record) error { b.known[r.Key] = copyOf(r); return nil })
	if err != nil || !o.Whole || o.Next == nil {
		b.t.Fatalf("full pass: %+v, %v", o, err)
	}
	b.next = o.Next
}

// follow makes an incremental pass and returns of how many people it told as changed or gone.
func (b *books) follow() (told int, err error) {
	b.t.Helper()
	now := maps.Clone(b.known)
	mentioned, sighted := map[string]bool{}, map[string]bool{}
	reader := open(b.t, b.config)
	o, err := reader.Read(b.t.Context(), b.next, func(r connectors.Record) error {
		_, known := now[r.Key]
		switch {
		case r.IsSighting():
			sighted[r.Key] = true
		case r.Deleted:
			if known {
				told++
			}
			delete(now, r.Key)
		case r.Partial:
			last := now[r.Key]
			now[r.Key] = copyOf(connectors.Merge(last, r))
			told++
		default:
			if !known || !reflect.DeepEqual(now[r.Key], copyOf(r)) {
				told++
			}
			now[r.Key] = copyOf(r)
		}
		mentioned[r.Key] = true
		return nil
	})
	if err != nil {
		return 0, err
	}
	for key := range sighted {
		if _, known := now[key]; !known {
			return 0, fmt.Errorf("%w: %s is said to be there and was never told of", connectors.ErrCheckpointExpired, key)
		}
	}
	if o.Evidence == "" || o.Server == "" || o.Next == nil {
		b.t.Fatalf("outcome %+v", o)
	}
	if o.Whole {
		b.wholes++
		for key := range now {
			if !mentioned[key] {
				delete(now, key)
				told++
			}
		}
	}
	b.known, b.next = now, o.Next
	return told, nil
}

// compare compares the books with the directory.
func (b *books) compare() {
	b.t.Helper()
	c := *b.config
	c.Changes, c.Live = "full", false
	fresh := map[string]connectors.Record{}
	if _, err := open(b.t, &c).Read(b.t.Context(), nil, func(r connectors.Record) error { fresh[r.Key] = copyOf(r); return nil }); err != nil {
		b.t.Fatal(err)
	}
	for key, r := range fresh {
		if !reflect.DeepEqual(b.known[key], r) {
			b.t.Errorf("known:\n%+v\nbut there is\n%+v", b.known[key], r)
		}
	}
	for key, r := range b.known {
		if _, ok := fresh[key]; !ok {
			b.t.Errorf("known, but not there: %+v", r)
		}
	}
}

// copyOf is a record that outlives its emit, with one form of its name.
func copyOf(r connectors.Record) connectors.Record {
	r.Name = strings.ToLower(r.Name)
	r.Attributes = slices.Clone(r.Attributes)
	for i := range r.Attributes {
		r.Attributes[i].Values = slices.Clone(r.Attributes[i].Values)
	}
	return r
}

// play plays the history and compares after each step.
func play(t *testing.T, v *village, c *ldap.Config) *books {
	t.Helper()
	b := &books{t: t, config: c}
	b.begin()
	for _, s := range history() {
		s.do(v)
		told, err := b.follow()
		switch {
		case errors.Is(err, connectors.ErrCheckpointExpired) && s.expires:
			b.begin()
		case err != nil:
			t.Fatalf("%s: %v", s.name, err)
		case told < s.told:
			t.Errorf("%s: told of %d, want %d", s.name, told, s.told)
		}
		if b.compare(); t.Failed() {
			t.Fatalf("after %q", s.name)
		}
	}
	return b
}

// reset empties the village for another history.
func (v *village) reset() {
	v.t.Helper()
	found, err := v.conn.Search(goldap.NewSearchRequest(v.at(""), goldap.ScopeWholeSubtree, goldap.NeverDerefAliases, 0, 0, false,
		"(!(objectClass=organizationalUnit))", []string{"1.1"}, nil))
	v.must(err)
	for _, e := range found.Entries {
		v.del(e.DN)
	}
}

// modes are the ways of finding changes that a server is played in, and the bases.
func playModes(t *testing.T, v *village, modes ...string) {
	for _, mode := range modes {
		for _, bases := range [][]string{{v.at("")}, {v.at("a"), v.at("b")}} {
			if len(bases) > 1 && mode != modes[0] {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d bases", mode, len(bases)), func(t *testing.T) {
				v.t = t
				v.reset()
				c := *v.config
				c.Changes, c.BaseDNs = mode, bases
				if len(bases) > 1 {
					playTwoBases(t, v, &c)
					return
				}
				play(t, v, &c)
			})
		}
	}
}

// playTwoBases moves people between two bases, in both directions.
func playTwoBases(t *testing.T, v *village, c *ldap.Config) {
	b := &books{t: t, config: c}
	v.born("adam", "a")
	v.born("cyril", "b")
	b.begin()
	for i := range 3 {
		from, to := "a", "b"
		if i%2 == 1 {
			from, to = to, from
		}
		v.move(v.dn("adam", from), v.rdn+"=adam", v.at(to))
		v.move(v.dn("cyril", to), v.rdn+"=cyril", v.at(from))
		if told, err := b.follow(); err != nil || told != 2 {
			t.Fatalf("told of %d, %v", told, err)
		}
		b.compare()
	}
	v.del(v.dn("adam", "b"))
	if told, err := b.follow(); err != nil || told != 1 {
		t.Fatalf("told of %d, %v", told, err)
	}
	b.compare()
}

// playGroups plays what happens to groups, beside the people in them, in runs: after each step groups and people are as a fresh reading says.
func playGroups(t *testing.T, v *village, changes string) {
	v.t = t
	v.reset()
	c := *v.config
	c.Changes, c.GroupBaseDNs = changes, []string{v.at("")}
	class := map[bool]string{true: "group", false: "groupOfNames"}[c.Type == "active-directory"]
	group := func(name string, members ...string) {
		attributes := map[string][]string{"objectClass": {class}, "member": members}
		if class == "group" {
			attributes["sAMAccountName"] = []string{name}
		}
		v.add("cn="+name+","+v.at("a"), attributes)
	}
	ops := "cn=ops," + v.at("a")
	for _, name := range []string{"adam", "berta", "cyril"} {
		v.born(name, "a")
	}
	group("ops", v.dn("adam", "a"))
	b := &books{t: t, config: &c}
	b.begin()
	for _, s := range []step{
		{name: "a group is made", do: func(v *village) { group("dev", v.dn("berta", "a"), v.dn("cyril", "a")) }, told: 1},
		{name: "one joins", do: func(v *village) { v.set(ops, "member", v.dn("adam", "a"), v.dn("berta", "a")) }, told: 1},
		{name: "one leaves", do: func(v *village) { v.set(ops, "member", v.dn("berta", "a")) }, told: 1},
		{name: "a group in a group", do: func(v *village) { v.set(ops, "member", v.dn("berta", "a"), "cn=dev,"+v.at("a")) }, told: 1},
		{name: "a member changes", do: func(v *village) { v.set(v.dn("cyril", "a"), "telephoneNumber", "+420 1") }, told: 1},
		{name: "who is in no group is deleted", do: func(v *village) { v.del(v.dn("adam", "a")) }, told: 1},
		{name: "a group is renamed", do: func(v *village) { v.move(ops, "cn=operations", "") }, told: 1},
		{name: "and moves", do: func(v *village) { v.move("cn=operations,"+v.at("a"), "cn=operations", v.at("b")) }, told: 1},
		{name: "a group is deleted", do: func(v *village) {
			v.set("cn=operations,"+v.at("b"), "member", v.dn("berta", "a"))
			v.del("cn=dev," + v.at("a"))
		}, told: 2},
		{name: "a group leaves the scope", do: func(v *village) { v.move("cn=operations,"+v.at("b"), "cn=operations", "ou=away,"+v.Suffix) }, told: 1},
		{name: "nothing", do: func(*village) {}},
	} {
		s.do(v)
		if told, err := b.follow(); err != nil || told < s.told {
			t.Errorf("%s: told of %d, want %d, %v", s.name, told, s.told, err)
		}
		if b.compare(); t.Failed() {
			t.Fatalf("after %q", s.name)
		}
	}
	v.del("cn=operations,ou=away," + v.Suffix)
}

// Everything that happens in an OpenLDAP directory is told, in each way of finding changes.
func TestHistoryOpenLDAP(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{}), "openldap")
	playModes(t, v, "syncrepl", "poll")
	for _, changes := range []string{"syncrepl", "poll"} {
		t.Run("groups, "+changes, func(t *testing.T) { playGroups(t, v, changes) })
	}
	t.Run("a burst of thousands", func(t *testing.T) { playBurst(t, v, "syncrepl", 5000) })
}

// playBurst changes many people between two passes, and some while a pass reads.
func playBurst(t *testing.T, v *village, changes string, n int) {
	v.t = t
	v.reset()
	c := *v.config
	c.Changes, c.PageSize = changes, 0
	b := &books{t: t, config: &c}
	b.begin()
	for i := range n {
		v.born(fmt.Sprintf("p%05d", i), "a")
	}
	for i := range n / 10 {
		v.set(v.dn(fmt.Sprintf("p%05d", i), "a"), "telephoneNumber", fmt.Sprint("+420 ", i))
		v.del(v.dn(fmt.Sprintf("p%05d", n/2+i), "a"))
	}
	if told, err := b.follow(); err != nil || told != n-n/10 {
		t.Errorf("told of %d, %v", told, err)
	}
	b.compare()
	v.conn.SetTimeout(time.Minute)
	changing := make(chan struct{})
	go func() {
		defer close(changing)
		for i := range n / 10 {
			request := goldap.NewModifyRequest(v.dn(fmt.Sprintf("p%05d", i), "a"), nil)
			request.Replace("telephoneNumber", []string{"+421"})
			if err := v.conn.Modify(request); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 3 {
		if _, err := b.follow(); err != nil {
			t.Errorf("in the middle: %v", err)
		}
	}
	<-changing
	if _, err := b.follow(); err != nil {
		t.Errorf("at the end: %v", err)
	}
	b.compare()
}

// An accesslog says who is gone as a session log does, also after a restart.
func TestHistoryWithAccessLog(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{AccessLog: true}), "openldap")
	c := *v.config
	c.Changes = "syncrepl"
	b := play(t, v, &c)
	v.born("adam2", "a")
	v.born("berta2", "a")
	if told, err := b.follow(); err != nil || told != 2 {
		t.Fatalf("told of %d, %v", told, err)
	}
	v.del(v.dn("adam2", "a"))
	v.Restart()
	v.conn = v.Conn()
	wholes := b.wholes
	if told, err := b.follow(); err != nil || told != 1 || wholes > 0 {
		t.Errorf("told of %d, %d whole passes, %v", told, wholes, err)
	}
	b.compare()
}

// Without a session log every refresh with a deletion in it is a present list (RFC 4533, 3.3.1): who is on it stays, and who is
// not is gone.
func TestHistoryWithoutSessionLog(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{SessionLog: -1}), "openldap")
	c := *v.config
	c.Changes = "syncrepl"
	if b := play(t, v, &c); b.wholes < 10 {
		t.Errorf("%d passes had a present list: is there a session log?", b.wholes)
	}
}
