package pipeline_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"rollcall/events"
	"rollcall/store"
)

// groupBook is what somebody knows who listens to events of groups and to nothing else: path → members' ids, by id.
type groupBook map[string]*heardGroup

type heardGroup struct {
	events.GroupInfo
	members map[string]bool
}

func (b groupBook) hear(t *testing.T, e events.GroupChanged) {
	t.Helper()
	g := b[e.Group.ID]
	if (g == nil) != (e.Kind == "created") {
		t.Errorf("event %s of group %s, which was known: %t", e.Kind, e.Group.Path, g != nil)
	}
	if g == nil {
		g = &heardGroup{members: map[string]bool{}}
		b[e.Group.ID] = g
	}
	g.GroupInfo = e.Group
	for _, id := range e.Members.Added {
		g.members[id] = true
	}
	for _, id := range e.Members.Removed {
		delete(g.members, id)
	}
	if e.Kind == "deleted" {
		delete(b, e.Group.ID)
	}
}

// compare compares what was heard with the store.
func (b groupBook) compare(t *testing.T, db *store.DB) {
	t.Helper()
	if err := db.View(func(tx *store.Tx) error {
		n := 0
		err := tx.Groups("", func(g *store.Group) error {
			n++
			members := map[string]bool{}
			if err := tx.Members(g.Path, func(id string) error { members[id] = true; return nil }); err != nil {
				return err
			}
			if h := b[g.ID]; h == nil || h.Path != g.Path || !slices.Equal(h.Origins, g.Origins()) || !maps.Equal(h.members, members) {
				t.Errorf("group %s of %v with %d members was told as %s", g.Path, g.Origins(), len(members), fmt.Sprintf("%+v", h))
			}
			return nil
		})
		if n != len(b) {
			t.Errorf("%d groups were told, the store has %d", len(b), n)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
