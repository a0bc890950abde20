package pipeline_test

import (
	"slices"
	"testing"

	"rollcall/connectors/entra/graphtest"
	"rollcall/pipeline"
	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// The move from Active Directory to Entra ID, as connectors/entra/doc.go describes it: both sources for a while, then the old one is
// retired. Nobody is duplicated or deactivated, nobody loses his id, a card from the directory or one of his own.
func TestTheMoveFromActiveDirectoryToEntra(t *testing.T) {
	for name, move := range map[string]struct {
		change func(*pipeline.Source)
		// names are the user names in the end.
		names []string
	}{
		"by personal number": {func(s *pipeline.Source) {
			s.Options.PairByPersonalNumber, s.Options.KeepOldNameAsAlias = true, true
		}, []string{"alice@example.org", "bob@example.org", "carol@example.org"}},
		"by on-premises SAM name": {func(s *pipeline.Source) {
			s.Mapping.Properties["user_name"] = mapping.Rule{From: []string{"onPremisesSamAccountName", "userPrincipalName"}}
			s.Mapping.Properties["aliases"] = mapping.Rule{From: []string{"userPrincipalName"}}
		}, []string{"alice", "bob", "carol@example.org"}},
	} {
		t.Run(name, func(t *testing.T) {
			ad := newRoster()
			ad.person("guid-1", "uid", "alice", "number", "100", "card", "C1", "mail", "alice@example.org")
			ad.person("guid-2", "uid", "bob", "number", "200", "card", "C2", "mail", "bob@example.org")
			s, reader := startGraph(t, graphtest.Options{})
			c := newCompany(t, ad, func(s *pipeline.Source) { s.Options.Precedence = []string{"people", "cloud"} })
			c.withSource("cloud", reader, mapGraph, move.change, func(s *pipeline.Source) {
				s.Options.Precedence, s.Options.AddNewUsers = []string{"people", "cloud"}, false
			})
			cloud := &cloud{Server: s, company: c, d: s.Directory}
			extension := func(card string) map[string]any { return map[string]any{"extensionAttribute1": card} }
			cloud.add("alice", "employeeId", "100", "onPremisesSamAccountName", "alice", "onPremisesExtensionAttributes", extension("C1"))
			bob := cloud.add("bob", "employeeId", "200", "onPremisesSamAccountName", "bob", "onPremisesExtensionAttributes", extension("C2"))
			cloud.add("carol") // only in the cloud
			c.start()
			c.applied("read 2, created 2")
			if _, err := c.client.AddCard(t.Context(), pipeline.Edit{User: "alice", Card: "H1"}); err != nil {
				t.Fatal(err)
			}
			ids := map[string]string{}
			for _, u := range []string{"alice", "bob"} {
				ids[u] = c.user(u).ID
			}
			c.runs("cloud", "read 3, merged 2, ignored 1") // carol is found out
			c.restart(func() { c.config.Sources[1].Options.AddNewUsers = true })
			c.runs("cloud", "read 3, unchanged 2, created 1")
			c.runs("cloud", "read 0")
			c.applied("read 2, unchanged 2")
			c.retire("people")
			c.runs("cloud", "read 3, unchanged 1, updated 2") // what both said, the tenant says now
			c.checkMoved(ids, move.names)

			// From now on the tenant alone decides.
			s.Directory.Patch(bob, graphtest.Properties{"department": "IT"})
			c.runs("cloud", "read 1, updated 1")
			s.Directory.Delete(bob)
			c.runs("cloud", "read 1, deletions 1, deactivated 1")
		})
	}
}

// restart starts the pipeline anew with another configuration.
func (c *company) restart(change func()) {
	c.t.Helper()
	c.stop()
	change()
	c.start()
}

// retire takes a source out of the configuration and out of the store.
func (c *company) retire(name string) {
	c.t.Helper()
	c.restart(func() {
		c.config.Sources = slices.DeleteFunc(c.config.Sources, func(s pipeline.Source) bool { return s.Name == name })
	})
	plan, err := c.client.PlanRetirement(c.t.Context(), pipeline.Retire{Source: name})
	if err != nil || plan.Deactivated != 0 || plan.Local != 0 || plan.Inherited != 2 {
		c.t.Fatalf("plan of retiring %s: %+v, %v", name, plan, err)
	}
	if _, err := c.client.RetireSource(c.t.Context(), pipeline.Retire{Source: name, Plan: plan.Plan}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *company) checkMoved(ids map[string]string, names []string) {
	c.t.Helper()
	var got []string
	err := c.client.Users(c.t.Context(), pipeline.UserQuery{Inactive: true}, func(u store.User) error {
		got = append(got, u.Text[store.UserName])
		if !u.Active || u.Label != "cloud" {
			c.t.Errorf("%s is active %t, of %s", u.Text[store.UserName], u.Active, u.Label)
		}
		return nil
	})
	if slices.Sort(got); err != nil || !slices.Equal(got, names) {
		c.t.Errorf("users %q, want %q; %v", got, names, err)
	}
	for old, cards := range map[string][]string{"alice": {"C1", "H1"}, "bob": {"C2"}} {
		u := c.user(old) // under the old name still, at least as an alias
		var have []string
		for _, card := range u.List[store.Cards.List()] {
			have = append(have, card.V)
		}
		if slices.Sort(have); u.ID != ids[old] || !slices.Equal(have, cards) {
			c.t.Errorf("%s is %s with cards %q, was %s with %q", old, u.ID, have, ids[old], cards)
		}
	}
}
