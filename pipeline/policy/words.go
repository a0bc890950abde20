package policy

import (
	"fmt"
	"strings"

	"rollcall/store"
)

// secret stands for every PIN in messages, plans and events.
const secret = "••••"

func nameOf(u *store.User) string { return u.Text[store.UserName] }

// text names a unit for people: the user, or the entry that he would be made for.
func (u *unit) text() string {
	switch {
	case u.old != nil && len(u.entries) > 0:
		return nameOf(u.old) + " (" + u.entries[0].change.Entry + ")"
	case u.old != nil:
		return nameOf(u.old)
	case len(u.entries) > 0:
		return entryText(u.entries[0])
	}
	return u.id
}

func entryText(e *entry) string {
	name := e.change.Text[store.UserName]
	if name == "" || name == e.change.Entry {
		return e.change.Entry
	}
	return name + " (" + e.change.Entry + ")"
}

func groupText(group []*entry) string {
	names := make([]string, len(group))
	for i, e := range group {
		names[i] = entryText(e)
	}
	return strings.Join(names, " and ")
}

// claimText names a value that the unit wants.
func (u *unit) claimText(c store.Claim) string {
	switch c.Space {
	case store.Names:
		if store.Fold(nameOf(u.new)) == c.Value {
			return fmt.Sprintf("user name %q", c.Value)
		}
		return fmt.Sprintf("alias %q", c.Value)
	case store.PersonalNumbers:
		return fmt.Sprintf("personal number %q", c.Value)
	case store.CardNumbers:
		return fmt.Sprintf("card %q", c.Value)
	}
	return "a PIN"
}

func shownValue(p store.Property, v string) string {
	if p == store.PINs {
		return secret
	}
	return v
}

// values returns a list's values as people may see them.
func values(p store.Property, list []store.Value) []string {
	if len(list) == 0 {
		return nil
	}
	shown := make([]string, len(list))
	for i, v := range list {
		shown[i] = shownValue(p, v.V)
	}
	return shown
}
