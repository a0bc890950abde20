package ldap_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/ldap/ldaptest"
)

// altered is a checkpoint with another value of a field.
func altered(t testing.TB, since connectors.Checkpoint, field string, value any) connectors.Checkpoint {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(since, &fields); err != nil {
		t.Fatal(err)
	}
	fields[field] = value
	data, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tampered is a checkpoint with every cookie replaced.
func tampered(t testing.TB, since connectors.Checkpoint, cookie func(string) string) connectors.Checkpoint {
	t.Helper()
	var fields struct {
		Cookies map[string][]byte `json:"cookies"`
	}
	if err := json.Unmarshal(since, &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields.Cookies {
		fields.Cookies[name] = []byte(cookie(string(value)))
	}
	return altered(t, since, "cookies", fields.Cookies)
}

// doubts are the cookies that a server of a type must not be trusted with.
var doubts = map[string]map[string]func(string) string{
	"openldap": {
		"missing":              func(string) string { return "" },
		"garbled":              func(string) string { return "rid=000,csn=nonsense" },
		"ahead of the server":  func(string) string { return "rid=000,csn=20991231235959.000000Z#000000#001#000000" },
		"of another server id": func(string) string { return "rid=000,csn=20991231235959.000000Z#000000#002#000000" },
	},
	"389ds": {
		"missing":             func(string) string { return "" },
		"garbled":             func(string) string { return "nonsense" },
		"of another server":   func(cookie string) string { return "other" + cookie },
		"ahead of the server": func(cookie string) string { return cookie[:strings.LastIndex(cookie, "#")+1] + "99999999" },
	},
	"active-directory": {
		"missing":   func(string) string { return "" },
		"garbled":   func(string) string { return "nonsense" },
		"truncated": func(cookie string) string { return cookie[:len(cookie)/2] },
	},
}

// playDoubts reads from doubtful checkpoints, in runs and in sessions: each asks for a whole run, because its answer could not be told from a
// directory that nobody left. The good one still holds.
func playDoubts(t *testing.T, v *village, changes string) {
	v.t = t
	v.reset()
	v.born("adam", "a")
	c := *v.config
	c.Changes = changes
	b := &books{t: t, config: &c}
	b.begin()
	narrower := c
	narrower.Filter = "(&" + c.Filter + "(mail=a*))"
	another := c
	another.Changes = map[bool]string{true: "usn", false: "poll"}[c.Type == "active-directory"]
	tries := map[string]*books{
		"no checkpoint of ours": {config: &c, next: connectors.Checkpoint("nonsense")},
		"another filter":        {config: &narrower, next: b.next},
		"another way":           {config: &another, next: b.next},
	}
	for name, cookie := range doubts[c.Type] {
		tries[name] = &books{config: &c, next: tampered(t, b.next, cookie)}
	}
	for name, try := range tries {
		try.t, try.known = t, map[string]connectors.Record{}
		if told, err := try.follow(); !errors.Is(err, connectors.ErrCheckpointExpired) {
			t.Errorf("%s: told of %d, %v", name, told, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		nothing := func(connectors.Record) error { return nil }
		err := open(t, try.config).(connectors.Live).Stay(ctx, try.next, nothing, func(connectors.Outcome) error { return nil })
		if cancel(); !errors.Is(err, connectors.ErrCheckpointExpired) {
			t.Errorf("%s: the session ended with %v", name, err)
		}
	}
	if told, err := b.follow(); err != nil || told != 0 {
		t.Errorf("the good one: told of %d, %v", told, err)
	}
}

// A cookie that is missing, garbled, of another scope, or ahead of the server asks for a whole run.
func TestDoubtfulCookies(t *testing.T) {
	t.Parallel()
	playDoubts(t, newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{}), "openldap"), "syncrepl")
}

// A server that was restored from a backup asks for a whole run, also when it was written to since and knows newer changes than the checkpoint.
func TestRestored(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{}), "openldap")
	v.born("adam", "a")
	restore := v.Backup()
	v.conn = v.Conn()
	c := *v.config
	c.Changes = "syncrepl"
	b := &books{t: t, config: &c}
	b.begin()
	for round := range 2 {
		v.set(v.dn("adam", "a"), "telephoneNumber", fmt.Sprint("+420 ", round))
		if told, err := b.follow(); err != nil || told != 1 {
			t.Fatalf("a change: told of %d, %v", told, err)
		}
		restore()
		v.conn = v.Conn()
		if round == 1 {
			v.born("berta", "a")
		}
		if told, err := b.follow(); !errors.Is(err, connectors.ErrCheckpointExpired) {
			t.Errorf("restored, %d changes since: told of %d, %v", round, told, err)
		}
		b.begin()
	}
	b.compare()
}

// A server that is killed in the middle of a refresh, and one that was killed before it noted its last changes: the pass counts for
// nothing, and nothing is lost.
func TestKilledBetweenChanges(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{}), "openldap")
	c := *v.config
	c.Changes = "syncrepl"
	b := &books{t: t, config: &c}
	b.begin()
	for i := range 200 {
		v.born(fmt.Sprintf("p%03d", i), "a")
	}
	_, err := open(t, &c).Read(t.Context(), b.next, func(connectors.Record) error { v.Kill(); return nil })
	if !errors.Is(err, connectors.ErrIncomplete) {
		t.Errorf("killed in the middle: %v", err)
	}
	v.Restart()
	catchUp := func(what string) {
		t.Helper()
		if _, err := b.follow(); errors.Is(err, connectors.ErrCheckpointExpired) {
			b.begin()
		} else if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		b.compare()
	}
	catchUp("after the restart")
	v.conn = v.Conn()
	v.set(v.dn("p000", "a"), "telephoneNumber", "+420 1")
	v.Kill()
	v.Restart()
	catchUp("a change before the kill") // slapd does not tell of it before the next
	v.conn = v.Conn()
	v.del(v.dn("p001", "a"))
	v.Restart()
	catchUp("a deletion before the restart")
	if len(b.known) != 199 {
		t.Errorf("%d people are known", len(b.known))
	}
}

// More happens than the session log holds: who is gone is found by who is there.
func TestSessionLogOverrun(t *testing.T) {
	t.Parallel()
	v := newVillage(t, ldaptest.StartSlapd(t, ldaptest.SlapdOptions{SessionLog: 5}), "openldap")
	for i := range 40 {
		v.born(fmt.Sprintf("p%03d", i), "a")
	}
	c := *v.config
	c.Changes = "syncrepl"
	b := &books{t: t, config: &c}
	b.begin()
	for i := range 20 {
		v.del(v.dn(fmt.Sprintf("p%03d", i), "a"))
	}
	v.set(v.dn("p030", "a"), "telephoneNumber", "+420 1")
	if told, err := b.follow(); err != nil || told != 21 || b.wholes != 1 {
		t.Errorf("told of %d, %d whole passes, %v", told, b.wholes, err)
	}
	b.compare()
}
