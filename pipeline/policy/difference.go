package policy

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"rollcall/store"
)

// The names of what differs beside store.Properties.
const (
	labelChanged  = "synchronization_source" // U14
	activeChanged = "active"
	reasonChanged = "inactive_reason" // U18
	pathChanged   = "path"            // of a group's entry
)

// sameUser reports whether two states of a user differ in nothing but revision and time.
func sameUser(a, b *store.User) bool {
	if a.Text != b.Text || a.Active != b.Active || a.InactiveReason != b.InactiveReason || a.Owner != b.Owner ||
		a.Label != b.Label || a.Administrator != b.Administrator || !slices.Equal(a.Origins, b.Origins) || !maps.Equal(a.Overrides, b.Overrides) {
		return false
	}
	for i := range a.List {
		if !sameValues(a.List[i], b.List[i]) {
			return false
		}
	}
	return true
}

// silent reports whether two states of a user differ in nothing but what the store remembers of overrides, of the
// entries that lead to him and of who else says a value that he has: nobody is told of that.
func silent(old, n *store.User) bool {
	if old == nil {
		return false
	}
	same := *n
	same.Overrides, same.Origins = old.Overrides, old.Origins
	for i := range same.List {
		if sameEnds(old.List[i], same.List[i]) {
			same.List[i] = old.List[i]
		}
	}
	return sameUser(old, &same)
}

// difference returns what a user's new state shows otherwise than the old one; nil stands for a user
// who does not exist yet.
func difference(old, n *store.User) []Changed {
	if old == nil {
		old = &nobody
	}
	old, n = outOfGroups(old), outOfGroups(n)
	changed := make([]Changed, 0, countDifferences(old, n))
	for p := range store.TextCount {
		if old.Text[p] != n.Text[p] {
			changed = append(changed, Changed{Property: p.String(), Old: old.Text[p], New: n.Text[p]})
		}
	}
	for i := range n.List {
		if sameShown(old.List[i], n.List[i]) {
			continue
		}
		p := store.Aliases + store.Property(i)
		before, after := values(p, old.List[i]), values(p, n.List[i])
		changed = append(changed, Changed{Property: p.String(), Old: strings.Join(before, ", "), New: strings.Join(after, ", "),
			OldList: before, NewList: after})
	}
	if old.Label != n.Label {
		changed = append(changed, Changed{Property: labelChanged, Old: old.Label, New: n.Label})
	}
	if old.Active != n.Active {
		changed = append(changed, Changed{Property: activeChanged, Old: activeText(old), New: activeText(n)})
	}
	if !old.Active && !n.Active && old.ID != "" && old.InactiveReason != n.InactiveReason {
		changed = append(changed, Changed{Property: reasonChanged, Old: old.InactiveReason, New: n.InactiveReason})
	}
	if old.Administrator != n.Administrator {
		changed = append(changed, Changed{Property: Administrator, Old: strconv.FormatBool(old.Administrator), New: strconv.FormatBool(n.Administrator)})
	}
	if len(changed) == 0 {
		return nil
	}
	return changed
}

// outOfGroups returns a user as everybody sees him: an inactive one is in no group (U18), although it is remembered in which
// he was (M2).
func outOfGroups(u *store.User) *store.User {
	i := store.Groups.List()
	if u.Active || len(u.List[i]) == 0 && u.Text[store.DefaultGroup] == "" {
		return u
	}
	out := *u
	out.List[i], out.Text[store.DefaultGroup] = nil, ""
	return &out
}

// nobody is the state before a user is created.
var nobody store.User

func countDifferences(old, n *store.User) (count int) {
	for p := range n.Text {
		if old.Text[p] != n.Text[p] {
			count++
		}
	}
	for i := range n.List {
		if !sameShown(old.List[i], n.List[i]) {
			count++
		}
	}
	return count + 4
}

// sameShown reports whether two lists have the same values, whoever put them there.
func sameShown(a, b []store.Value) bool {
	return slices.EqualFunc(a, b, func(a, b store.Value) bool { return a.V == b.V })
}

// sameEnds reports whether two lists have the same values until the same time.
func sameEnds(a, b []store.Value) bool {
	return slices.EqualFunc(a, b, func(a, b store.Value) bool { return a.V == b.V && a.Expires.Equal(b.Expires) })
}

func activeText(u *store.User) string {
	switch {
	case u.ID == "":
		return ""
	case u.Active:
		return "true"
	}
	return "false"
}

func compareRefs(a, b store.OriginRef) int {
	return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(string(a.Key[:]), string(b.Key[:])))
}
