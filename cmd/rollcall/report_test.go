package main

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"

	"rollcall/store"
)

// Every property of section U is a column and a filter, of a list each item, in every report.
func TestEveryPropertyIsInEveryReport(t *testing.T) {
	reports := (&app{}).report().Commands()
	for _, name := range []string{"users", "cards", "conflicts", "changes"} {
		at := slices.IndexFunc(reports, func(c *cobra.Command) bool { return c.Name() == name })
		if at < 0 || reports[at].Flags().Lookup("columns") == nil || reports[at].Flags().Lookup("where") == nil {
			t.Errorf("report %s has no --columns or no --where", name)
		}
	}
	u := &store.User{ID: "7", Revision: 8, Active: true, Label: "corp", InactiveReason: "manual"}
	values := map[string]string{"id": "7", "revision": "8", "active": "true", "synchronization_source": "corp", "inactive_reason": "manual",
		"administrator": "false", "anonymized": "false"}
	for _, p := range store.Properties() {
		if p.Multi() {
			u.List[p.List()] = []store.Value{{V: "first of " + p.String()}, {V: "second of " + p.String()}}
			values[p.String()] = "Second of " + p.String()
			continue
		}
		u.Text[p], values[p.String()] = "A "+p.String(), "a "+p.String()
	}
	values["pins"] = "2, not shown"
	for name, value := range values {
		r := reporting{names: []string{name}, where: []string{name + "=" + value}}
		if err := r.prepare(); err != nil || !r.wants(u) || r.cells(u)[0] == "" {
			t.Errorf("%s: %v, %q", name, err, r.cells(u))
		}
		other := reporting{where: []string{name + "=other"}}
		if err := other.prepare(); err != nil || other.wants(u) {
			t.Errorf("%s: %v, another value is one too", name, err)
		}
	}
	if all := userColumns(); len(all) != len(values) {
		t.Errorf("%d columns, %d are tried", len(all), len(values))
	}
}
