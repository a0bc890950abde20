package mapping

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/connectors"
)

// names numbers the attributes that a mapping uses. They compare without case; the first spelling is asked for.
type names struct {
	slots    map[string]int
	spelling []string
}

// slot returns the number of an attribute.
func (n *names) slot(name string) int {
	folded := strings.ToLower(name)
	if slot, ok := n.slots[folded]; ok {
		return slot
	}
	n.slots[folded] = len(n.spelling)
	n.spelling = append(n.spelling, name)
	return len(n.spelling) - 1
}

// list reads attribute names that are separated by ";" (L4).
func (n *names) list(texts []string) ([]int, error) {
	var all []int
	for _, text := range texts {
		for name := range strings.SplitSeq(text, ";") {
			name = strings.TrimSpace(name)
			if isOption(name) {
				return nil, connectors.Hint(fmt.Errorf("%q: %q is an LDAP option and no attribute name: \";\" separates attributes here, the first that is not empty counts", text, name),
					"the attribute without options")
			}
			if slot := n.slot(name); name != "" && !slices.Contains(all, slot) {
				all = append(all, slot)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%q names no attribute", strings.Join(texts, ", "))
	}
	return all, nil
}

// isOption recognizes the attribute options of RFC 4512, 2.5 and RFC 3866, and Active Directory's ranges.
func isOption(name string) bool {
	name = strings.ToLower(name)
	return name == "binary" || strings.HasPrefix(name, "lang-") || strings.HasPrefix(name, "range=")
}

// view is a record's attributes under their numbers, nil for one that is not listed.
type view []*connectors.Attribute

// read puts the attributes of a record in their places. room is used when it is large enough.
func (n *names) read(r *connectors.Record, room view) view {
	v := room
	if cap(v) < len(n.spelling) {
		v = make(view, len(n.spelling))
	}
	v = v[:len(n.spelling)]
	for i := range r.Attributes {
		if slot, ok := n.find(r.Attributes[i].Name); ok && v[slot] == nil {
			v[slot] = &r.Attributes[i]
		}
	}
	return v
}

func (n *names) find(name string) (int, bool) {
	var room [64]byte
	if len(name) > len(room) || !isPrintable(name) {
		slot, ok := n.slots[strings.ToLower(name)]
		return slot, ok
	}
	folded := room[:len(name)]
	for i := range len(name) {
		folded[i] = name[i]
		if 'A' <= name[i] && name[i] <= 'Z' {
			folded[i] += 'a' - 'A'
		}
	}
	slot, ok := n.slots[string(folded)]
	return slot, ok
}

// first is the first value of an attribute that is not empty, "" for none.
func (v view) first(slot int) string {
	for _, value := range v.values(slot) {
		if value = trim(value); value != "" {
			return value
		}
	}
	return ""
}

func (v view) values(slot int) []string {
	if v[slot] == nil {
		return nil
	}
	return v[slot].Values
}

// listed reports whether the record says anything about one of the attributes.
func (v view) listed(slots []int) bool {
	return slices.ContainsFunc(slots, func(slot int) bool { return v[slot] != nil })
}

// lists reports whether the record says something about every one of the attributes.
func (v view) lists(slots []int) bool {
	return !slices.ContainsFunc(slots, func(slot int) bool { return v[slot] == nil })
}
