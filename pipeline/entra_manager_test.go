package pipeline_test

import (
	"slices"
	"testing"
	"time"

	"rollcall/connectors/entra/graphtest"
	"rollcall/pipeline"
	"rollcall/store"
)

// What people have from their manager's own entry (E3) follows him, in full and incremental runs alike, though nothing of theirs
// changed: he is read before or after them, comes later, is renamed, leaves the selection and comes back, is disabled, deleted, restored.
func TestManagersOfATenant(t *testing.T) {
	for _, kind := range []string{"full", "incremental"} {
		t.Run(kind, func(t *testing.T) {
			c := newCloud(t, graphtest.Options{PageSize: 2, Repeat: true})
			a := c.add("alice")
			boss := c.add("boss")
			b := c.add("bob")
			guest := c.add("guest", "userType", "Guest")
			c.d.SetManager(a, boss)
			c.d.SetManager(b, boss)
			c.d.SetManager(boss, guest)
			c.start()
			c.first()
			patch := func(id, name string, value any) func() {
				return func() { c.d.Patch(id, graphtest.Properties{name: value}) }
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
				{name: "renamed", do: patch(boss, "displayName", "The Boss"), events: []string{"updated alice@example.org", "updated bob@example.org", "updated boss@example.org"}},
				{name: "without an address", do: patch(boss, "mail", nil), events: []string{"updated alice@example.org", "updated bob@example.org", "updated boss@example.org"}},
				{name: "something that is nobody else's", do: patch(boss, "jobTitle", "Boss"), events: []string{"updated boss@example.org"}},
				{name: "another one, who is new", do: func() { carol = c.add("carol"); c.d.SetManager(b, carol) }, events: []string{"created carol@example.org", "updated bob@example.org"}},
				{name: "one who was a guest", do: patch(guest, "userType", "Member"), events: []string{"created guest@example.org", "updated boss@example.org"}, kind: "full"},
				{name: "a guest again", do: patch(guest, "userType", "Guest"), events: []string{"deactivated guest@example.org", "updated boss@example.org"}},
				{name: "disabled", do: patch(boss, "accountEnabled", false), events: []string{"deactivated boss@example.org"}},
				{name: "enabled", do: patch(boss, "accountEnabled", true), events: []string{"reactivated boss@example.org"}},
				{name: "deleted", do: func() { c.d.Delete(carol) }, events: []string{"deactivated carol@example.org", "updated bob@example.org"}},
				{name: "restored", do: func() { c.d.Restore(carol) }, events: []string{"reactivated carol@example.org", "updated bob@example.org"}, kind: "full"},
				{name: "nobody", do: func() { c.d.SetManager(a, "") }, events: []string{"updated alice@example.org"}},
			} {
				c.Advance(time.Minute)
				step.do()
				c.Advance(time.Minute)
				before := c.revision()
				run := c.sync(pipeline.SyncOptions{Full: kind == "full"})
				if want := kind; run.State != store.Applied || run.Kind != want && run.Kind != step.kind {
					t.Fatalf("%s: run is %s %s (%s): %s; %q", step.name, run.Kind, run.State, run.Reason, counters(run), run.Messages)
				}
				if step.name != "deleted" { // Graph does not say of those below him that his id is gone
					c.compare(step.name)
				}
				if bob := c.user("bob@example.org"); bob.Text[store.Custom2] != c.managersName(b) {
					t.Fatalf("%s: bob has %q from his manager, want %q", step.name, bob.Text[store.Custom2], c.managersName(b))
				}
				got := c.events(before)
				slices.Sort(got)
				if !slices.Equal(got, step.events) {
					t.Fatalf("%s: events %q, want %q", step.name, got, step.events)
				}
			}
		})
	}
}

func (c *cloud) managersName(id string) string {
	name, _ := c.manager(id, "displayName").(string)
	return name
}
