package store

import (
	"maps"
	"slices"
	"strings"
)

// Group is a group of users. It exists while somebody is in it or in a group below it, or while a directory's entry
// holds it (see [Origin]).
type Group struct {
	// ID is a UUIDv5 of (store id, path). A group whose path changes because its entry was renamed keeps it.
	ID string `cbor:"1,keyasint"`
	// Revision is the number of the group's last revision.
	Revision uint64 `cbor:"2,keyasint,omitempty"`
	// Path leads through the tree, "Staff|IT|Ops"; "\" escapes "," "|" "\" inside a name. Paths are compared exactly.
	Path string `cbor:"3,keyasint"`
	// Members counts the users who are in the group itself.
	Members int `cbor:"4,keyasint,omitempty"`
	// Holds counts for each origin (a source's name, "manual", …) the memberships, the groups directly below and
	// the entries that keep the group.
	Holds map[string]int `cbor:"5,keyasint,omitempty"`
}

// Origins returns who put the group there, sorted.
func (g *Group) Origins() []string { return slices.Sorted(maps.Keys(g.Holds)) }

// Memberships returns the groups that u is in, sorted by path, each with who put him there: none while he is inactive
// (U18). The default group is one of them (G4); where no other says so, the owner put him there.
func Memberships(u *User) []Value {
	if !u.Active {
		return nil
	}
	in, own := u.List[Groups.List()], u.Text[DefaultGroup]
	at, found := slices.BinarySearchFunc(in, own, func(v Value, path string) int { return strings.Compare(v.V, path) })
	if own == "" || found {
		return in
	}
	by := u.Owner
	if by == "" {
		by = "manual"
	}
	return slices.Insert(slices.Clone(in), at, Value{V: own, Origins: []string{by}})
}

// ParentOf returns the path of the group above, "" for one at the top.
func ParentOf(path string) string {
	last := -1
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++ // what follows is part of a name
		case '|':
			last = i
		}
	}
	return path[:max(last, 0)]
}

// GroupName returns the last level of a path as people read it, without escapes.
func GroupName(path string) string {
	name := strings.TrimPrefix(path[len(ParentOf(path)):], "|")
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+1 < len(name) {
			i++
		}
		b.WriteByte(name[i])
	}
	return b.String()
}
