package pipeline_test

import (
	"slices"
	"testing"

	"rollcall/connectors/entra"
	"rollcall/connectors/entra/graphtest"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// E2, G3: a tenant whose people are selected by a group, and are in its groups: after the first run every run reads changes
// only, and who enters the group or one within it appears, who leaves is missing, though nobody's own object changed.
func TestSelectedGroupsOfATenant(t *testing.T) {
	c := newCloud(t, graphtest.Options{}, func(source *pipeline.Source) {
		reader := source.Reader.(*entra.Config)
		reader.Select.Groups, reader.Select.Later = []string{"Printing"}, true
		source.Mapping.SelectGroups, source.Mapping.EntryNames = []string{"Printing"}, "key"
		source.Mapping.Groups = []mapping.GroupRule{{By: "membership", Nested: true}}
		source.Mapping.IgnoreGroups = []string{"Secret"}
		source.Options.SelectGroups, source.Options.SelectNested, source.Options.Memberships = true, true, true
	})
	alice, bob, carol := c.add("alice"), c.add("bob"), c.add("carol")
	printing := c.d.AddGroup(graphtest.Properties{"displayName": "Printing"})
	inner := c.d.AddGroup(graphtest.Properties{"displayName": "Inner"})
	secret := c.d.AddGroup(graphtest.Properties{"displayName": "Secret"})
	c.d.AddMember(printing, alice)
	c.d.AddMember(printing, inner)
	c.d.AddMember(inner, bob)
	c.d.AddMember(secret, alice)
	c.start()
	for _, step := range []struct {
		change func()
		kind   string
		users  []string
	}{
		{func() {}, "full", []string{"alice@example.org: Printing", "bob@example.org: Inner Printing"}},
		{func() { c.d.AddMember(inner, carol) }, "incremental", []string{"alice@example.org: Printing", "bob@example.org: Inner Printing", "carol@example.org: Inner Printing"}},
		{func() { c.d.RemoveMember(printing, alice) }, "incremental", []string{"bob@example.org: Inner Printing", "carol@example.org: Inner Printing"}},
		{func() { c.d.RemoveMember(inner, bob); c.d.AddMember(printing, bob) }, "incremental", []string{"bob@example.org: Printing", "carol@example.org: Inner Printing"}},
	} {
		step.change()
		if run := c.sync(); run.State != store.Applied || run.Kind != step.kind {
			t.Fatalf("%s run is %s: %s %q", run.Kind, run.State, run.Reason, run.Messages)
		}
		c.areIn(step.users...)
	}
	revision := c.revision()
	if run := c.sync(); run.State != store.Applied || c.revision() != revision {
		t.Errorf("a run without changes: %s, %s", run.State, counters(run))
	}
	if slices.ContainsFunc(c.groupEvents(0), func(e string) bool { return e == "created Secret" }) {
		t.Error("an ignored group was made")
	}
}
