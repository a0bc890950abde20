package pipeline_test

import (
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/connectors/entra"
	"rollcall/connectors/entra/graphtest"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

const (
	graphClient = "11111111-2222-3333-4444-555555555555"
	graphSecret = "s3cr~3t-Of.The.Application-0123456789"
)

// graphUser says which attribute of a tenant's users becomes which property.
var graphUser = map[string]string{
	"user_name": "userPrincipalName", "full_name": "displayName", "email": "mail", "department": "department", "phone": "mobilePhone",
	"personal_number": "employeeId", "cards": "onPremisesExtensionAttributes.extensionAttribute1", "custom_1": "manager",
	"custom_2": "manager.displayName", "custom_3": "manager.mail", "notes": "jobTitle",
}

// cloud is a tenant on an emulated Graph and a pipeline that reads it.
type cloud struct {
	*graphtest.Server
	*company
	d *graphtest.Directory
}

func newCloud(t *testing.T, o graphtest.Options, change ...func(*pipeline.Source)) *cloud {
	t.Helper()
	s, reader := startGraph(t, o)
	c := newCompany(t, reader, append([]func(*pipeline.Source){mapGraph}, change...)...)
	c.config.JobLease = 10 * time.Second
	return &cloud{Server: s, company: c, d: s.Directory}
}

// startGraph starts an emulated Graph and returns how it is read.
func startGraph(t *testing.T, o graphtest.Options) (*graphtest.Server, *entra.Config) {
	t.Helper()
	o.Record = true
	s, err := graphtest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	register(s)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return s, &entra.Config{
		Cloud: "custom", Authority: s.URL, GraphURL: s.URL, TenantID: s.Tenant(), ClientID: graphClient,
		ClientSecretFile: file("secret", []byte(graphSecret+"\n")),
		CAFile:           file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})),
	}
}

func register(s *graphtest.Server) {
	s.Register(graphtest.App{ClientID: graphClient, Secret: graphSecret, Roles: []string{"User.Read.All", "Group.Read.All", "Application.Read.All"}})
}

func mapGraph(source *pipeline.Source) {
	source.Mapping.Properties = map[string]mapping.Rule{}
	for property, attribute := range graphUser {
		source.Mapping.Properties[property] = mapping.Rule{From: []string{attribute}}
	}
	source.Mapping.Lender = "manager"
	source.Options.Guard.HoldOnScopeChange = false
}

func (c *cloud) add(name string, more ...any) string {
	p := graphtest.Properties{"userPrincipalName": name + "@example.org", "displayName": "Person " + name, "mail": name + "@example.org",
		"accountEnabled": true, "userType": "Member"}
	for i := 0; i < len(more); i += 2 {
		p[more[i].(string)] = more[i+1]
	}
	return c.d.AddUser(p)
}

// compare compares the active users with the tenant's living, enabled users.
func (c *cloud) compare(step string) {
	c.t.Helper()
	want := map[string]string{}
	for _, id := range c.d.Users() {
		if enabled, _ := c.d.Value(id, "accountEnabled").(bool); !enabled || c.d.Value(id, "userType") == "Guest" {
			continue
		}
		want[fmt.Sprint(c.d.Value(id, "userPrincipalName"))] = c.describe(id)
	}
	got := map[string]string{}
	err := c.client.Users(c.t.Context(), pipeline.UserQuery{}, func(u store.User) error {
		var line strings.Builder
		for _, property := range sortedKeys(graphUser) {
			p, _ := store.ParseProperty(property)
			value := u.Text[min(int(p), len(u.Text)-1)]
			if p.Multi() {
				value = ""
				for _, v := range u.List[p.List()] {
					value += v.V
				}
			}
			fmt.Fprintf(&line, "%s=%q ", property, value)
		}
		got[u.Text[store.UserName]] = line.String()
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if len(got) != len(want) {
		c.t.Errorf("%s: the store has %d active users, the tenant %d", step, len(got), len(want))
	}
	shown := 0
	for name, line := range want {
		if got[name] != line && shown < 3 {
			shown++
			c.t.Errorf("%s: %s:\nstore  %s\ntenant %s", step, name, got[name], line)
		}
	}
	if c.t.Failed() {
		c.t.FailNow()
	}
}

func (c *cloud) describe(id string) string {
	var line strings.Builder
	for _, property := range sortedKeys(graphUser) {
		var value any
		switch attribute, inner, nested := strings.Cut(graphUser[property], "."); {
		case attribute == "manager":
			value = c.manager(id, inner)
		case nested:
			if m, is := c.d.Value(id, attribute).(map[string]any); is {
				value = m[inner]
			}
		default:
			value = c.d.Value(id, attribute)
		}
		if value == nil {
			value = ""
		}
		fmt.Fprintf(&line, "%s=%q ", property, value)
	}
	return line.String()
}

// manager is what a user has from his manager: the id, or an attribute of one who is no guest.
func (c *cloud) manager(id, attribute string) any {
	manager := c.d.Manager(id)
	switch {
	case attribute == "":
		return manager
	case manager == "" || c.d.Value(manager, "userType") == "Guest":
		return nil
	}
	return c.d.Value(manager, attribute)
}

// first makes the first run.
func (c *cloud) first() {
	c.t.Helper()
	if run := c.sync(); run.State != store.Applied || run.Kind != "full" {
		c.t.Fatalf("first run is %s %s: %s; %q", run.Kind, run.State, run.Reason, run.Messages)
	}
	c.compare("first run")
}

// expect runs the source and wants a run of that kind applied, the store equal to the tenant, and these events.
func (c *cloud) expect(step, kind string, events ...string) store.Run {
	c.t.Helper()
	before := c.revision()
	run := c.sync(pipeline.SyncOptions{Full: kind == "full"})
	if run.State != store.Applied || run.Kind != kind {
		c.t.Fatalf("%s: run is %s %s (%s): %s; %q", step, run.Kind, run.State, run.Reason, counters(run), run.Messages)
	}
	c.compare(step)
	if got := c.events(before); !slices.Equal(got, events) {
		c.t.Fatalf("%s: events %q, want %q", step, got, events)
	}
	return run
}

// One tenant's history, step by step: after each the store equals the tenant and the events are exactly what happened, in full
// and in incremental runs alike.
func TestATenantsHistory(t *testing.T) {
	for _, kind := range []string{"full", "incremental"} {
		t.Run(kind, func(t *testing.T) {
			c := newCloud(t, graphtest.Options{PageSize: 3, Repeat: true, EmptyPages: 2})
			a := c.add("alice", "employeeId", "100", "onPremisesExtensionAttributes", map[string]any{"extensionAttribute1": "0A1B"})
			b := c.add("bob", "department", "IT")
			for i := range 10 {
				c.add(fmt.Sprintf("p%02d", i))
			}
			c.start()
			c.first()
			set := func(id string, pairs ...any) func() {
				return func() {
					p := graphtest.Properties{}
					for i := 0; i < len(pairs); i += 2 {
						p[pairs[i].(string)] = pairs[i+1]
					}
					c.d.Patch(id, p)
				}
			}
			var carol string
			for _, step := range []struct {
				name   string
				do     func()
				events []string
				// kind is what becomes of an incremental run, when it does not stay one.
				kind string
			}{
				{name: "nothing", do: func() {}},
				{name: "change", do: set(b, "department", "HR"), events: []string{"updated bob@example.org"}},
				{name: "clear", do: set(b, "department", nil), events: []string{"updated bob@example.org"}},
				{name: "what was never set", do: set(b, "jobTitle", "Astronaut"), events: []string{"updated bob@example.org"}},
				{name: "what nobody asked for", do: set(b, "city", "Brno")},
				{name: "card", do: set(a, "onPremisesExtensionAttributes", map[string]any{"extensionAttribute1": "0A1C", "extensionAttribute2": nil}), events: []string{"updated alice@example.org"}},
				{name: "no card", do: set(a, "onPremisesExtensionAttributes", nil), events: []string{"updated alice@example.org"}},
				{name: "rename", do: set(a, "userPrincipalName", "alice.novak@example.org"), events: []string{"updated alice.novak@example.org"}},
				{name: "manager", do: func() { c.d.SetManager(a, b) }, events: []string{"updated alice.novak@example.org"}},
				{name: "no manager", do: func() { c.d.SetManager(a, "") }, events: []string{"updated alice.novak@example.org"}},
				{name: "create", do: func() { carol = c.add("carol", "mobilePhone", "+420 1") }, events: []string{"created carol@example.org"}},
				{name: "delete", do: func() { c.d.Delete(carol) }, events: []string{"deactivated carol@example.org"}},
				{name: "restore", do: func() { c.d.Restore(carol) }, events: []string{"reactivated carol@example.org"}, kind: "full"},
				{name: "guest", do: func() { c.d.Patch(carol, graphtest.Properties{"userType": "Guest"}) }, events: []string{"deactivated carol@example.org"}},
				{name: "member", do: func() { c.d.Patch(carol, graphtest.Properties{"userType": "Member"}) }, events: []string{"reactivated carol@example.org"}, kind: "full"},
				{name: "disable carol", do: func() { c.d.Patch(carol, graphtest.Properties{"accountEnabled": false}) }, events: []string{"deactivated carol@example.org"}},
				{name: "enable carol", do: func() { c.d.Patch(carol, graphtest.Properties{"accountEnabled": true}) }, events: []string{"reactivated carol@example.org"}},
				{name: "delete for good", do: func() { c.d.Delete(carol); c.d.Purge(carol) }, events: []string{"deactivated carol@example.org"}},
				{name: "recreate under the same name", do: func() { carol = c.add("carol", "mobilePhone", "+420 2") }, events: []string{"reactivated carol@example.org"}},
				{name: "deleted, and another gets the name", do: func() { c.d.Delete(carol); carol = c.add("carol", "mobilePhone", "+420 3") }, events: []string{"updated carol@example.org"}},
				{name: "born and dead between two runs", do: func() { c.d.Delete(c.add("nobody")) }},
				{name: "deleted, restored and changed between two runs", do: func() {
					c.d.Delete(carol)
					c.d.Restore(carol)
					c.d.Patch(carol, graphtest.Properties{"department": "IT"})
				}, events: []string{"updated carol@example.org"}},
				{name: "a burst", do: c.burst, events: burstEvents()},
				{name: "two swap their names", do: func() {
					c.d.Patch(a, graphtest.Properties{"userPrincipalName": "bob@example.org"})
					c.d.Patch(b, graphtest.Properties{"userPrincipalName": "alice.novak@example.org"})
				}, events: []string{"updated alice.novak@example.org", "updated bob@example.org"}},
				{name: "changed and back", do: func() {
					c.d.Patch(b, graphtest.Properties{"department": "IT"})
					c.d.Patch(b, graphtest.Properties{"department": nil})
				}},
			} {
				c.Advance(time.Minute) // by the service's clock the round before is long over
				step.do()
				c.Advance(time.Minute)
				want := kind
				if step.kind != "" {
					want = step.kind
				}
				before := c.revision()
				run := c.sync(pipeline.SyncOptions{Full: kind == "full"})
				if run.State != store.Applied || run.Kind != want {
					t.Fatalf("%s: run is %s %s (%s): %s; %q", step.name, run.Kind, run.State, run.Reason, counters(run), run.Messages)
				}
				c.compare(step.name)
				got := c.events(before)
				slices.Sort(got)
				if !slices.Equal(got, step.events) {
					t.Fatalf("%s: events %q, want %q", step.name, got, step.events)
				}
			}
		})
	}
}

// burst is a busy minute: twenty are born, half of them change, five die, and everybody p00 to p09 changes twice.
func (c *cloud) burst() {
	var born []string
	for i := range 20 {
		born = append(born, c.add(fmt.Sprintf("q%02d", i)))
	}
	for _, id := range born[:10] {
		c.d.Patch(id, graphtest.Properties{"department": "IT"})
	}
	for _, id := range born[:5] {
		c.d.Delete(id)
	}
	for _, id := range c.d.Users() {
		if name := fmt.Sprint(c.d.Value(id, "userPrincipalName")); strings.HasPrefix(name, "p") {
			c.d.Patch(id, graphtest.Properties{"department": "HR", "jobTitle": "Clerk"})
			c.d.Patch(id, graphtest.Properties{"department": "Sales"})
		}
	}
}

func burstEvents() (events []string) {
	for i := 5; i < 20; i++ {
		events = append(events, fmt.Sprintf("created q%02d@example.org", i))
	}
	for i := range 10 {
		events = append(events, fmt.Sprintf("updated p%02d@example.org", i))
	}
	return events
}

// Random histories against services that page, repeat, disorder and tell in parts.
func TestTheStoreEqualsTheTenant(t *testing.T) {
	for i, o := range []graphtest.Options{{PageSize: 7, Repeat: true, Shuffle: true}, {PageSize: 5, EmptyPages: 3, AtLeast: true, Repeat: true, RemovedInFirstRound: true, Gzip: true}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			c := newCloud(t, o, func(s *pipeline.Source) {
				s.Options.Guard.Deactivate.Floor = 1000
				s.Options.Guard.Deactivate.Maximum = 0
			})
			c.start()
			h := &tenantHistory{cloud: c, dice: rand.New(rand.NewPCG(uint64(i), 11))}
			for range 60 {
				h.create()
			}
			c.first()
			kinds := map[string]int{}
			for step := range 25 {
				for range h.dice.IntN(12) {
					h.step()
				}
				run := c.sync()
				if run.State != store.Applied {
					t.Fatalf("step %d: run is %s: %s", step, run.State, run.Reason)
				}
				kinds[run.Kind]++
				c.compare(fmt.Sprint("step ", step))
			}
			if kinds["incremental"] < 15 {
				t.Errorf("runs were %v: too few incremental ones", kinds)
			}
			before := c.revision()
			if run := c.sync(pipeline.SyncOptions{Full: true}); run.Records != 0 || c.revision() != before {
				t.Errorf("a full run after the incremental ones published %d records and revisions %d to %d", run.Records, before, c.revision())
			}
		})
	}
}

// tenantHistory does random things to a tenant.
type tenantHistory struct {
	*cloud
	dice            *rand.Rand
	living, deleted []string
	made            int
}

func (h *tenantHistory) create() {
	h.made++
	h.living = append(h.living, h.add(fmt.Sprintf("u%d", h.made), "employeeId", fmt.Sprint(1000+h.made)))
}

func (h *tenantHistory) step() {
	if len(h.living) < 5 || h.dice.IntN(4) == 0 {
		h.create()
		return
	}
	i := h.dice.IntN(len(h.living))
	id := h.living[i]
	patch := func(name string, value any) { h.d.Patch(id, graphtest.Properties{name: value}) }
	switch h.dice.IntN(10) {
	case 0:
		patch("department", []any{"IT", "HR", nil}[h.dice.IntN(3)])
	case 1:
		patch("mail", fmt.Sprintf("m%d@example.org", h.dice.IntN(100)))
	case 2:
		h.d.SetManager(id, h.living[h.dice.IntN(len(h.living))])
	case 3:
		h.d.SetManager(id, "")
	case 4:
		h.made++
		patch("userPrincipalName", fmt.Sprintf("renamed%d@example.org", h.made))
	case 5:
		patch("accountEnabled", h.dice.IntN(2) == 0)
	case 6:
		patch("city", "Brno")
	case 7, 8:
		h.d.Delete(id)
		h.living = slices.Delete(h.living, i, i+1)
		h.deleted = append(h.deleted, id)
	case 9:
		if n := len(h.deleted); n > 0 && h.dice.IntN(3) == 0 {
			h.d.Restore(h.deleted[n-1])
			h.living = append(h.living, h.deleted[n-1])
			h.deleted = h.deleted[:n-1]
		}
	}
}
