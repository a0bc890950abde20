package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/connectors"
	"rollcall/connectors/csv"
	"rollcall/connectors/ldap"
	"rollcall/connectors/ldap/ldaptest"
	"rollcall/events"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// withPINs maps the attribute pin to PINs.
func withPINs(s *pipeline.Source) {
	s.Mapping.Properties["pins"] = mapping.Rule{From: []string{"pin"}, Split: ","}
}

// pinOf asks who has a PIN.
func (c *company) pinOf(pin string) string {
	c.t.Helper()
	found, err := c.client.Identify(context.Background(), pipeline.Identity{PIN: pin, Caller: c.t.Name()})
	if err != nil {
		c.t.Fatal(err)
	}
	if found.User == nil {
		return found.Result
	}
	return found.User.Text[store.UserName]
}

// pinsLeave runs a pipeline over people with PINs, good and bad, and fails the test when one of the digits is anywhere in the
// data directory, in the log or in what operators see. It returns the company, stopped.
func pinsLeave(t *testing.T, reader connectors.Config, change func(*pipeline.Source), digits ...string) *company {
	var log bytes.Buffer
	c := newCompany(t, reader, change)
	c.config.ByHand.EventCards, c.config.Sources[0].Options.PINs.MinimumLength = "full", 6
	c.logged = &log
	c.start()
	dry := c.sync(pipeline.SyncOptions{DryRun: true})
	run := c.sync()
	if run.State != store.Applied || run.Created != 2 {
		t.Fatalf("run is %s (%s): %s %q", run.State, run.Reason, counters(run), run.Messages)
	}
	seen := fmt.Sprint(dry, run, c.users())
	if _, err := c.client.Plan(t.Context(), "people", dry.Number, func(p pipeline.PlanEntry) error { seen += fmt.Sprint(p); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := c.client.Dead(t.Context(), func(d pipeline.DeadLetter) error { seen += fmt.Sprint(d); return nil }); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(seen, "[P3]") || !strings.Contains(seen, "[P1]") {
		t.Errorf("nothing says that PINs were refused: %s", seen)
	}
	if got := c.pinOf(digits[0]); got != "alice" {
		t.Errorf("the PIN of alice is that of %q", got)
	}
	if run := c.sync(); run.Records != 0 {
		t.Errorf("a second run: %s, %d records", counters(run), run.Records)
	}
	c.stop()
	grepFiles(t, c.config.DataDir, digits...)
	for _, d := range digits {
		if strings.Contains(seen, d) || strings.Contains(log.String(), d) {
			t.Errorf("%s is shown or logged", d)
		}
	}
	return c
}

// Promise 7, U6: no file of the data directory holds the digits of a PIN that a CSV file had, taken over or refused.
func TestU6PINsOfAFileDoNotTravel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.csv")
	text := "USERNAME_ALIASES,EXTID,PIN\nalice,1,\"7391746202,82640913\"\nbob,2,\"987654321,83619\"\n,3,4402918375\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pinsLeave(t, &csv.Config{Path: path}, func(s *pipeline.Source) {
		s.Mapping.Properties = map[string]mapping.Rule{"user_name": {From: []string{"USERNAME_ALIASES"}},
			"pins": {From: []string{"pin"}, Split: ","}}
	}, "7391746202", "82640913", "987654321", "83619", "4402918375")
}

// Promise 7, U6: nor those of a directory, which spells attributes as it likes.
func TestU6PINsOfADirectoryDoNotTravel(t *testing.T) {
	s := ldaptest.StartSlapd(t, ldaptest.SlapdOptions{})
	for name, pins := range map[string][]string{"alice": {"7391746202", "82640913"}, "bob": {"987654321", "83619"}} {
		s.Add("uid="+name+",ou=people,"+s.Suffix, map[string][]string{"objectClass": {"inetOrgPerson"}, "cn": {name}, "sn": {"Example"}, "carLicense": pins})
	}
	reader := &ldap.Config{Type: "openldap", Servers: []string{s.URL}, BindDN: s.SyncDN, BindPassword: s.SyncPassword,
		BaseDNs: []string{"ou=people," + s.Suffix}, PageSize: 500, IdleTimeout: 5 * time.Second}
	pinsLeave(t, reader, func(source *pipeline.Source) {
		source.Mapping.Properties = map[string]mapping.Rule{"user_name": {From: []string{"uid"}}, "pins": {From: []string{"CARLICENSE"}}}
	}, "7391746202", "82640913", "987654321", "83619")
}

// An attribute's PINs are sealed whatever case and options its name has, and equal PINs of two people look different in RAW.
func TestU6EverySpellingIsSealed(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "PIN", "7391746202", "pin;lang-en", "58203917")
	dir.person("bob", "Pin", "7391746202")
	c := newCompany(t, dir, withPINs).start()
	c.applied("read 2, created 2")
	var raw []string
	c.withBus(func(bus *events.Bus) {
		err := bus.ReadAll(t.Context(), events.RawStream, ">", func(msg jetstream.Msg) error {
			_, rest, _ := strings.Cut(string(msg.Data()), "rollcall-sealed-1:")
			raw = append(raw, rest[:min(len(rest), 32)])
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if len(raw) != 2 || raw[0] == raw[1] || raw[0] == "" {
		t.Errorf("equal PINs can be told in RAW: %q", raw)
	}
	c.stop()
	grepFiles(t, c.config.DataDir, "7391746202", "58203917")
}

// C2, C5, C6: PINs are unique over active users, change hands within a run, and are free when their user is inactive.
func TestU6PINsAreUnique(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "pin", "739174")
	dir.person("bob", "pin", "739174,582039")
	c := newCompany(t, dir, withPINs).start()
	run := c.applied("read 2, created 2")
	if !strings.Contains(strings.Join(run.Messages, "\n"), "[C2]") || c.pinOf("739174") != "alice" || c.pinOf("582039") != "bob" {
		t.Errorf("a used PIN: %q", run.Messages)
	}
	dir.set("alice", "pin", "582039")
	dir.set("bob", "pin", "739174")
	c.applied("read 2, updated 2")
	if c.pinOf("739174") != "bob" || c.pinOf("582039") != "alice" {
		t.Error("the PINs did not change hands")
	}
	dir.remove("alice")
	dir.person("carol", "pin", "582039")
	c.applied("read 3, unchanged 1, created 1, deletions 1, deactivated 1")
	if got := c.pinOf("582039"); got != "carol" {
		t.Errorf("the PIN of an inactive user is %s's", got)
	}
	c.rebuilt()
}

// The key: made once, readable by its owner only, and never replaced under PINs that were made with it.
func TestU6KeyOfPINs(t *testing.T) {
	dir := newRoster()
	dir.person("alice", "pin", "739174")
	c := newCompany(t, dir, withPINs).start()
	c.applied("read 1, created 1")
	path := filepath.Join(c.config.DataDir, "pins.key")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	c.stop()
	key, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := newCompany(t, newRoster()).start()
	other.stop()
	otherKey := filepath.Join(other.config.DataDir, "pins.key")
	for _, tc := range []struct {
		name, want, hint string
		damage           func() error
	}{
		{"missing", "pins.key is missing, and the store has PINs", "backup", func() error { return os.Remove(path) }},
		{"another", "is another key than the one that the store's PINs were made with", "key_file", func() error { c.config.PINKeyFile = otherKey; return nil }},
		{"not there", "there is no file /nowhere/key", "urandom", func() error { c.config.PINKeyFile = "/nowhere/key"; return nil }},
		{"readable", "everybody may read", "chmod 600", func() error { return os.Chmod(path, 0o604) }},
		{"garbage", "is not 32 bytes in base64", "backup", func() error { return os.WriteFile(path, []byte("1"), 0o600) }},
		{"short", "it has 3 bytes, not 32", "backup", func() error { return os.WriteFile(path, []byte("1234"), 0o600) }},
	} {
		if err := tc.damage(); err != nil {
			t.Fatal(err)
		}
		_, err := pipeline.Start(t.Context(), c.config, zerolog.Nop())
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(connectors.HintOf(err), tc.hint) {
			t.Errorf("%s: %v (try %s)", tc.name, err, connectors.HintOf(err))
		}
		c.config.PINKeyFile = ""
		if err := os.WriteFile(path, key, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.start()
	if got := c.pinOf("739174"); got != "alice" {
		t.Errorf("with the right key again: %q", got)
	}
}

// A store without PINs takes a new key.
func TestU6KeyOfAStoreWithoutPINs(t *testing.T) {
	c := newCompany(t, newRoster().people(1)).start()
	c.applied("read 1, created 1")
	c.stop()
	if err := os.Remove(filepath.Join(c.config.DataDir, "pins.key")); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.applied("read 1, unchanged 1")
}
