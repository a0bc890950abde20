package entra

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors"
	"rollcall/connectors/entra/graphtest"
)

var tracked = []string{"mail", "department", "manager", "businessPhones", "employeeOrgData.division", "onPremisesExtensionAttributes.extensionAttribute1", "upnPrefix"}

func TestHistory(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	d := tn.Directory
	ids := fill(d, 3)
	m, next := memory{}, connectors.Checkpoint(nil)
	for _, step := range []struct {
		name string
		do   func()
		want func(r connectors.Record, known bool) bool
	}{
		{"first read", func() {}, func(r connectors.Record, known bool) bool { return known && values(r, "manager") == "empty" }},
		{"change", func() { d.Patch(ids[0], graphtest.Properties{"department": "IT"}) }, has("department", "IT")},
		{"clear", func() { d.Patch(ids[0], graphtest.Properties{"department": nil}) }, has("department", "empty")},
		{"set again", func() { d.Patch(ids[0], graphtest.Properties{"department": "HR"}) }, has("department", "HR")},
		{"rename", func() { d.Patch(ids[0], graphtest.Properties{"userPrincipalName": "new@example.org"}) }, func(r connectors.Record, _ bool) bool {
			return r.Name == "new@example.org" && values(r, "upnPrefix") == "new"
		}},
		{"disable", func() { d.Patch(ids[0], graphtest.Properties{"accountEnabled": false}) }, func(r connectors.Record, known bool) bool { return known && r.Disabled }},
		{"enable", func() { d.Patch(ids[0], graphtest.Properties{"accountEnabled": true}) }, func(r connectors.Record, known bool) bool { return known && !r.Disabled }},
		{"manager", func() { d.SetManager(ids[0], ids[1]) }, has("manager", ids[1])},
		{"other manager", func() { d.SetManager(ids[0], ids[2]) }, has("manager", ids[2])},
		{"no manager", func() { d.SetManager(ids[0], "") }, has("manager", "empty")},
		{"complex", func() {
			d.Patch(ids[0], graphtest.Properties{"onPremisesExtensionAttributes": map[string]any{"extensionAttribute1": "4711", "extensionAttribute2": nil}})
		}, has("onPremisesExtensionAttributes.extensionAttribute1", "4711")},
		{"complex cleared", func() { d.Patch(ids[0], graphtest.Properties{"onPremisesExtensionAttributes": nil}) }, has("onPremisesExtensionAttributes.extensionAttribute1", "empty")},
		{"becomes a guest", func() { d.Patch(ids[0], graphtest.Properties{"userType": "Guest"}) }, gone},
		{"becomes a member", func() { d.Patch(ids[0], graphtest.Properties{"userType": "Member"}) }, has("department", "HR")},
		{"delete", func() { d.Delete(ids[0]) }, gone},
		{"restore", func() { d.Restore(ids[0]) }, has("department", "HR")},
		{"delete for good", func() { d.Delete(ids[0]); d.Purge(ids[0]) }, gone},
	} {
		step.do()
		o := tn.read(tn.open(tracked...), next, m)
		next = o.Next
		r, known := m[ids[0]]
		if !step.want(r, known) {
			t.Errorf("after %q the record is %+v (known %t)", step.name, r, known)
		}
	}
	if len(m) != 2 {
		t.Errorf("%d users at the end, want 2", len(m))
	}
}

func has(name, value string) func(connectors.Record, bool) bool {
	return func(r connectors.Record, _ bool) bool { return values(r, name) == value }
}

func gone(_ connectors.Record, known bool) bool { return !known }

// TestMemoryEqualsDirectory plays random histories against services that page, repeat and disorder, and compares what
// a receiver knows with the directory after every round.
func TestMemoryEqualsDirectory(t *testing.T) {
	for i, o := range []graphtest.Options{
		{}, {PageSize: 7}, {PageSize: 7, Repeat: true, Shuffle: true}, {PageSize: 5, EmptyPages: 3, Repeat: true},
		{PageSize: 9, RemovedInFirstRound: true, Shuffle: true}, {PageSize: 4, Gzip: true, EmptyPages: 2},
		{PageSize: 8, AtLeast: true, Repeat: true},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			tn := newTenant(t, o)
			play(t, tn, rand.New(rand.NewPCG(uint64(i), 5)))
		})
	}
}

func play(t *testing.T, tn *tenant, dice *rand.Rand) {
	h := &history{d: tn.Directory, dice: dice}
	m, next := memory{}, connectors.Checkpoint(nil)
	for range 40 {
		for range dice.IntN(12) {
			h.step()
		}
		if dice.IntN(10) == 0 { // a whole run, which forgets who was not seen
			m, next = memory{}, nil
		}
		next = tn.read(tn.open(tracked...), next, m).Next
		h.compare(t, m)
	}
}

// history does random things to a directory.
type history struct {
	d       *graphtest.Directory
	dice    *rand.Rand
	living  []string
	deleted []string
	made    int
}

func (h *history) step() {
	if len(h.living) == 0 || h.dice.IntN(4) == 0 {
		h.made++
		h.living = append(h.living, h.d.AddUser(graphtest.Properties{"userPrincipalName": fmt.Sprintf("u%d@example.org", h.made), "accountEnabled": true}))
		return
	}
	i := h.dice.IntN(len(h.living))
	id := h.living[i]
	switch h.dice.IntN(9) {
	case 0:
		h.d.Patch(id, graphtest.Properties{"department": []any{"IT", "HR", nil}[h.dice.IntN(3)]})
	case 1:
		h.d.Patch(id, graphtest.Properties{"mail": fmt.Sprintf("m%d@example.org", h.dice.IntN(100)), "displayName": "Žofie \\ \"Ž\" " + fmt.Sprint(h.dice.IntN(9))})
	case 2:
		h.d.SetManager(id, h.living[h.dice.IntN(len(h.living))])
	case 3:
		h.d.SetManager(id, "")
	case 4:
		h.d.Patch(id, graphtest.Properties{"businessPhones": [][]string{{}, {"+420 1"}}[h.dice.IntN(2)], "city": "Brno"})
	case 5:
		h.d.Patch(id, graphtest.Properties{"employeeOrgData": []any{nil, map[string]any{"division": "East", "costCenter": nil}}[h.dice.IntN(2)]})
	case 6, 7:
		h.d.Delete(id)
		h.living = slices.Delete(h.living, i, i+1)
		h.deleted = append(h.deleted, id)
	case 8:
		if len(h.deleted) > 0 {
			id := h.deleted[len(h.deleted)-1]
			h.deleted = h.deleted[:len(h.deleted)-1]
			if h.dice.IntN(3) == 0 {
				h.d.Purge(id)
			} else {
				h.d.Restore(id)
				h.living = append(h.living, id)
			}
		}
	}
}

// compare wants the memory to be the directory.
func (h *history) compare(t *testing.T, m memory) {
	t.Helper()
	if len(m) != len(h.living) {
		t.Fatalf("%d users known, %d in the directory", len(m), len(h.living))
	}
	for _, id := range h.living {
		r, there := m[id]
		if !there {
			t.Fatalf("user %s is not known", id)
		}
		for _, name := range []string{"userPrincipalName", "displayName", "mail", "department", "businessPhones"} {
			if got, want := valueOrEmpty(r, name), told(h.d.Value(id, name)); got != want {
				t.Fatalf("%s of %s is %q, want %q", name, id, got, want)
			}
		}
		division, _ := h.d.Value(id, "employeeOrgData").(map[string]any)
		if got, want := valueOrEmpty(r, "employeeOrgData.division"), told(division["division"]); got != want {
			t.Fatalf("division of %s is %q, want %q", id, got, want)
		}
		// A manager who was deleted is not reported: he goes with his own record.
		if got, want := valueOrEmpty(r, "manager"), h.d.Manager(id); got != want && (want != "" || slices.Contains(h.living, got)) {
			t.Fatalf("manager of %s is %q, want %q", id, got, want)
		}
	}
}

// valueOrEmpty is an attribute's value; of somebody who came back, what was never set is not listed.
func valueOrEmpty(r connectors.Record, name string) string {
	if v := values(r, name); v != "-" {
		return v
	}
	return "empty"
}

func told(v any) string {
	switch v := v.(type) {
	case nil:
		return "empty"
	case []string:
		if len(v) == 0 {
			return "empty"
		}
		return strings.Join(v, "|")
	}
	return fmt.Sprint(v)
}

func TestSecondRoundHasNothingToSay(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	fill(tn.Directory, 500)
	c := tn.open(tracked...)
	o := tn.read(c, nil, memory{})
	tn.Requests()
	m := memory{}
	o = tn.read(c, o.Next, m)
	if asked := tn.Requests(); len(m) != 0 || len(asked) != 1 || o.Pages != 1 {
		t.Errorf("%d records, %d requests, %d pages; want 0, 1, 1", len(m), len(asked), o.Pages)
	}
	for _, id := range tn.Directory.Users()[:3] {
		tn.Directory.Patch(id, graphtest.Properties{"city": "Brno"}) // nobody asked for it
	}
	if tn.read(c, o.Next, m); len(m) != 0 {
		t.Errorf("%d records of changes that are not tracked", len(m))
	}
}

func TestWholeRecordsAreEqualHoweverTheyCameAbout(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	id := tn.Directory.AddUser(graphtest.Properties{"userPrincipalName": "a@example.org"})
	before, after := memory{}, memory{}
	tn.read(tn.open(tracked...), nil, before)
	for _, v := range []any{"IT", nil} {
		tn.Directory.Patch(id, graphtest.Properties{"department": v})
	}
	tn.read(tn.open(tracked...), nil, after)
	if !reflect.DeepEqual(before, after) {
		t.Errorf("never set and cleared differ: %+v, %+v", before, after)
	}
}

func TestNewUserInALaterRoundIsWhole(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	old := fill(tn.Directory, 1)
	c := tn.open(tracked...)
	o := tn.read(c, nil, memory{})
	tn.Directory.Patch(old[0], graphtest.Properties{"mail": "new@example.org", "createdDateTime": "2020-01-01T00:00:00Z"})
	tn.Advance(time.Minute)
	id := tn.Directory.AddUser(graphtest.Properties{"userPrincipalName": "b@example.org"})
	partial := map[string]bool{}
	_, err := c.Read(t.Context(), o.Next, func(r connectors.Record) error {
		partial[r.Key] = r.Partial
		if r.Key == id && values(r, "manager")+values(r, "department") != "emptyempty" {
			t.Errorf("record %+v", r)
		}
		return nil
	})
	if err != nil || !reflect.DeepEqual(partial, map[string]bool{old[0]: true, id: false}) {
		t.Errorf("partial %v, error %v", partial, err)
	}
}

// TestWhatGraphLeavesOutIsNotGuessed: a disabled account does not become an enabled one because a later round does not
// say that it is disabled, nor a guest a member.
func TestWhatGraphLeavesOutIsNotGuessed(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	ids := fill(tn.Directory, 4)
	tn.Directory.Patch(ids[0], graphtest.Properties{"accountEnabled": false})
	tn.Directory.Patch(ids[1], graphtest.Properties{"userType": "Guest"})
	tn.Directory.SetManager(ids[0], ids[2])
	m := memory{}
	next := tn.read(tn.open("mail", "manager"), nil, m).Next
	for _, id := range ids[:2] {
		tn.Directory.Patch(id, graphtest.Properties{"mail": "new@example.org"})
	}
	tn.Inject(&graphtest.Fault{Path: "/users/delta", Edit: without("accountEnabled", "userType", "userPrincipalName")})
	tn.read(tn.open("mail", "manager"), next, m)
	if r := m[ids[0]]; len(m) != 3 || !r.Disabled || values(r, "mail") != "new@example.org" || r.Name != "user00000@example.org" || values(r, "manager") != ids[2] {
		t.Errorf("known: %+v", m)
	}
}

// without takes properties out of a body.
func without(names ...string) func([]byte) []byte {
	property := regexp.MustCompile(`,"(` + strings.Join(names, "|") + `)":("[^"]*"|true|false|null)`)
	return func(b []byte) []byte { return property.ReplaceAll(b, nil) }
}

// TestFirstRoundThatTellsAPart: a user who changes while he is read may come again with his changes only.
func TestFirstRoundThatTellsAPart(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	ids := fill(tn.Directory, 3)
	tn.Directory.SetManager(ids[0], ids[1])
	tn.Inject(&graphtest.Fault{Path: "/users/delta", Edit: func(b []byte) []byte {
		return append(bytes.TrimSuffix(b, []byte(`]}`)), `,{"id":"`+ids[0]+`","department":"IT"}]}`...)
	}})
	plain, m := memory{}, memory{}
	tn.read(tn.open("department", "mail", "manager"), nil, m)
	tn.ClearFaults()
	tn.read(tn.open("department", "mail", "manager"), nil, plain)
	r := m[ids[0]]
	if values(r, "department") != "IT" || values(r, "mail") != "user00000@example.org" || values(r, "manager") != ids[1] || r.Disabled || r.Partial {
		t.Errorf("record %+v", r)
	}
	if delete(m, ids[0]); len(m) != 2 || !reflect.DeepEqual(m[ids[1]], plain[ids[1]]) {
		t.Errorf("the others %+v", m)
	}
}

// TestChangesInParts: of several records of one user in a pass only the last counts, so it must hold them all.
func TestChangesInParts(t *testing.T) {
	for _, first := range []string{`"accountEnabled":true,`, ``} {
		changesInParts(t, first)
	}
}

func changesInParts(t *testing.T, first string) {
	t.Helper()
	tn := newTenant(t, graphtest.Options{})
	ids := fill(tn.Directory, 2)
	m := memory{}
	next := tn.read(tn.open("department", "mail", "jobTitle", "manager"), nil, m).Next
	tn.Directory.SetManager(ids[0], ids[1])
	tn.Directory.Patch(ids[0], graphtest.Properties{"mail": nil, "jobTitle": "stale on another replica"})
	tn.Inject(&graphtest.Fault{Path: "/users/delta", Edit: func(b []byte) []byte {
		at := bytes.Index(b, []byte(`"value":[`)) + len(`"value":[`)
		return append(b[:at:at], `{"id":"`+ids[0]+`",`+first+`"manager@delta":[{"id":"`+ids[1]+`"}]},{"id":"`+ids[0]+`","accountEnabled":false,"jobTitle":"Clerk"}]}`...)
	}})
	last := memory{}
	_, err := tn.open("department", "mail", "jobTitle", "manager").Read(t.Context(), next, func(r connectors.Record) error {
		delete(last, r.Key) // nothing is merged: only the last record counts
		if err := m.take(r); err != nil {
			return err
		}
		return last.take(r)
	})
	r := last[ids[0]]
	if err != nil || r.Partial || values(r, "manager") != ids[1] || values(r, "mail") != "empty" || values(r, "jobTitle") != "Clerk" || values(r, "department") == "-" || !r.Disabled {
		t.Errorf("last record %+v, error %v", r, err)
	}
}

func TestUserWhoIsGoneByNowIsLeftToTheNextRound(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	ids := fill(tn.Directory, 2)
	m := memory{}
	next := tn.read(tn.open("mail"), nil, m).Next
	tn.Directory.Patch(ids[0], graphtest.Properties{"mail": "new@example.org"})
	f := &graphtest.Fault{Path: "/users/delta", Times: 1, Edit: func(b []byte) []byte {
		tn.Directory.Delete(ids[0])
		return without("accountEnabled")(b)
	}}
	tn.Inject(f)
	next = tn.read(tn.open("mail"), next, m).Next
	if len(m) != 2 || values(m[ids[0]], "mail") == "new@example.org" {
		t.Errorf("known: %+v", m)
	}
	if tn.read(tn.open("mail"), next, m); len(m) != 1 {
		t.Errorf("the next round did not tell")
	}
}

func TestNewGroupInALaterRoundIsWhole(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	u := fill(tn.Directory, 2)
	next := tn.read(tn.open("members"), nil, memory{}).Next
	tn.Advance(time.Minute)
	g := makeGroup(tn.Directory, "Printing", u...)
	m := memory{}
	tn.read(tn.open("members"), next, m)
	if got := values(m[g], "members"); got != strings.Join(slices.Sorted(slices.Values(u)), "|") || values(m[g], "mail") != "empty" {
		t.Errorf("record %+v", m[g])
	}
}

func TestExpiry(t *testing.T) {
	for name, c := range map[string]struct {
		options graphtest.Options
		do      func(tn *tenant)
	}{
		"410 after seven days": {graphtest.Options{}, func(tn *tenant) { tn.Advance(8 * 24 * time.Hour) }},
		"400 after seven days": {graphtest.Options{ExpireWith400: true}, func(tn *tenant) { tn.Advance(8 * 24 * time.Hour) }},
		"resync, apply":        {graphtest.Options{}, func(tn *tenant) { tn.Resync(false) }},
		"resync, upload":       {graphtest.Options{}, func(tn *tenant) { tn.Resync(true) }},
		"in the middle": {graphtest.Options{PageSize: 2}, func(tn *tenant) {
			tn.Inject(&graphtest.Fault{Path: "/users/delta", Skip: 1, Times: 1, Do: func() { tn.Resync(true) }})
		}},
		"a code nobody knows": {graphtest.Options{}, func(tn *tenant) {
			tn.Inject(&graphtest.Fault{Path: "/users/delta", Times: 1, Status: 400, Body: `{"error":{"code":"Request_BadRequest","message":"DeltaLink older than 30 days is not supported."}}`, ContentType: "application/json"})
		}},
		"not found": {graphtest.Options{}, func(tn *tenant) {
			tn.Inject(&graphtest.Fault{Path: "/users/delta", Times: 1, Status: 404, Body: `{"error":{"code":"ResourceNotFound"}}`, ContentType: "application/json"})
		}},
		"410 with an HTML page": {graphtest.Options{}, func(tn *tenant) {
			tn.Inject(&graphtest.Fault{Path: "/users/delta", Times: 1, Status: 410, Body: `<html>`, ContentType: "text/html"})
		}},
		"a Graph that has moved": {graphtest.Options{}, func(tn *tenant) {}},
	} {
		t.Run(name, func(t *testing.T) {
			tn := newTenant(t, c.options)
			ids := fill(tn.Directory, 9)
			m := memory{}
			o := tn.read(tn.open("mail"), nil, m)
			for _, id := range ids[1:] {
				tn.Directory.Patch(id, graphtest.Properties{"mail": "new@example.org"})
			}
			tn.Directory.Delete(ids[0]) // in the gap: no round will ever report it
			c.do(tn)
			if name == "a Graph that has moved" {
				o.Next = connectors.Checkpoint(strings.ReplaceAll(string(o.Next), tn.URL, "https://graph.elsewhere.example"))
			}
			out, err := tn.open("mail").Read(t.Context(), o.Next, memory{}.take)
			if !errors.Is(err, connectors.ErrCheckpointExpired) || !reflect.DeepEqual(out, connectors.Outcome{}) {
				t.Fatalf("outcome %+v, error %v, want expired", out, err)
			}
			tn.nothingLeaked(t, err.Error())
			fresh := memory{}
			c := tn.open("mail")
			tn.read(c, nil, fresh)
			there, err := c.Present(t.Context(), ids)
			if _, seen := fresh[ids[0]]; seen || err != nil || there[ids[0]] || !there[ids[1]] || len(fresh) != 8 {
				t.Errorf("after the gap: %d users, deleted one seen %t, present %v, error %v", len(fresh), seen, there[ids[0]], err)
			}
		})
	}
}

func TestTenantThatAlwaysAsksToBeginAnewDoesNotLoop(t *testing.T) {
	tn := newTenant(t, graphtest.Options{PageSize: 2})
	fill(tn.Directory, 9)
	tn.ResyncAlways(true)
	_, err := tn.open().Read(t.Context(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrIncomplete) || errors.Is(err, connectors.ErrCheckpointExpired) {
		t.Errorf("%v, want incomplete and not expired", err)
	}
	if n := len(tn.Requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestCheckpointBelongsToItsQuery(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	o := tn.read(tn.open("mail"), nil, memory{})
	for name, c := range map[string]func() *connector{
		"another attribute": func() *connector { return tn.open("mail", "department") },
		"guests":            func() *connector { tn.cfg.Select.Guests = true; return tn.open("mail") },
		"a group":           func() *connector { tn.cfg.Select.Groups = []string{"x"}; return tn.open("mail") },
	} {
		cfg := tn.cfg
		if _, err := c().Read(t.Context(), o.Next, memory{}.take); !errors.Is(err, connectors.ErrCheckpointExpired) {
			t.Errorf("%s: %v, want expired", name, err)
		}
		tn.cfg = cfg
	}
	if _, err := tn.open("mail").Read(t.Context(), o.Next, memory{}.take); err != nil {
		t.Errorf("the same query: %v", err)
	}
}

func TestOldCheckpointIsAnAlarm(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	c := tn.open()
	o := tn.read(c, nil, memory{})
	for days, want := range map[int]int{4: 0, 5: 1, 6: 1} {
		c.now = func() time.Time { return time.Now().Add(time.Duration(days)*24*time.Hour + time.Minute) }
		if got := tn.read(c, o.Next, memory{}); len(got.Warnings) != want {
			t.Errorf("after %d days: warnings %q, want %d", days, got.Warnings, want)
		}
	}
}

func TestReplicaThatLagsReportsLater(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	ids := fill(tn.Directory, 2)
	m := memory{}
	next := tn.read(tn.open(), nil, m).Next
	tn.Directory.Delete(ids[0])
	tn.Lag(1)
	next = tn.read(tn.open(), next, m).Next
	if len(m) != 2 {
		t.Fatalf("the lagging replica told of the removal")
	}
	tn.Lag(0)
	if tn.read(tn.open(), next, m); len(m) != 1 {
		t.Errorf("the removal was lost")
	}
}

func TestPasswordsAreNeverAskedFor(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	o := tn.read(tn.open("passwordProfile.password", "mail"), nil, memory{})
	for _, r := range tn.Requests() {
		if strings.Contains(strings.ToLower(r.Query.Encode()), "password") && !strings.Contains(r.Path, "applications") {
			t.Errorf("asked %s %s", r.Path, r.Query)
		}
	}
	if !slices.ContainsFunc(o.Warnings, func(w string) bool { return strings.Contains(w, "passwordProfile.password") }) {
		t.Errorf("warnings %q do not name it", o.Warnings)
	}
}

func TestUnknownPropertyIsNamed(t *testing.T) {
	tn := newTenant(t, graphtest.Options{})
	_, err := tn.open("mail", "cardNumber").Read(context.Background(), nil, memory{}.take)
	if !errors.Is(err, connectors.ErrScope) || !strings.Contains(connectors.HintOf(err), `"cardNumber"`) {
		t.Errorf("%v (hint %q), want the name", err, connectors.HintOf(err))
	}
}
