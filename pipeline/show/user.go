package show

import (
	"fmt"
	"strings"

	"rollcall/store"
)

// Standing says whether a user is active, and if not, why.
func Standing(u store.User) string {
	if u.Active {
		return "active"
	}
	if u.Anonymized {
		return "anonymous"
	}
	return "inactive (" + u.InactiveReason + ")"
}

// Values joins a list; PINs are only counted.
func Values(u store.User, p store.Property) string {
	list := u.List[p.List()]
	if p == store.PINs {
		if len(list) == 0 {
			return ""
		}
		return fmt.Sprintf("%d, not shown", len(list))
	}
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = v.V
	}
	return strings.Join(all, ", ")
}

// User is what is shown of a user: his properties that are not empty, and how he stands.
func User(u store.User) (facts []Fact) {
	for _, p := range store.Properties() {
		value := ""
		if p.Multi() {
			value = Values(u, p)
		} else {
			value = u.Text[p]
		}
		if value != "" {
			facts = append(facts, Fact{p.String(), value})
		}
	}
	return append(facts, Fact{"state", Standing(u)}, Fact{"synchronization_source", u.Label}, Fact{"revision", fmt.Sprint(u.Revision)}, Fact{"id", u.ID})
}
