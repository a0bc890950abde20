package connectorstest

import (
	"testing"

	"rollcall/connectors"
	"rollcall/connectors/connectorstest/people"
)

// Harness is what the suite must know of one kind of source. Fill, Want, Missing, Open and
// Unreachable are required; a nil one of the others leaves out the checks that need it. A function that fails
// calls t.Fatal.
type Harness struct {
	// Size is how many people the source is filled with, 25 if zero. A source that is read in pages
	// sets it (and its page size) so that there are several.
	Size int
	// Open returns a new connector of the source that Fill filled.
	Open func(t testing.TB) connectors.Connector
	// Fill makes these people the only ones in the scope, Password included where the source can hold
	// one, and returns the key that each entry's record will have, in the same order.
	Fill func(t testing.TB, list []people.Person) []string
	// Want returns attributes that the person's record has, by name: an empty list for one that is
	// listed without values. The values are compared as a set. Attributes not mentioned may be there.
	Want func(p people.Person) map[string][]string
	// Missing returns the i-th of many well-formed keys that no entry of the source has.
	Missing func(i int) string
	// Unreachable returns a connector whose source cannot be opened at all.
	Unreachable func(t testing.TB) connectors.Connector

	// Remove deletes the entry with that key.
	Remove func(t testing.TB, key string)
	// Update makes the entry with that key the entry of another person, who has all else but the key.
	Update func(t testing.TB, key string, p people.Person)
	// Reorder changes the order of the entries, of attributes and of the values of sets in the source, and nothing else.
	Reorder func(t testing.TB)
	// Breaks are the ways in which the source ends early.
	Breaks []Break
	// Incremental is true when a pass may begin at a checkpoint; such a source has Update.
	// TellsDeleted is true when an incremental pass reports removed entries; such a source has Remove.
	Incremental, TellsDeleted bool
	// Secrets are texts (a bind password) that may appear nowhere: in no record, line, error or outcome.
	Secrets []string
}

// Break is one way in which a source ends before its end marker. A pass over it must fail.
type Break struct {
	Name string
	// Open returns a connector of a source that holds these people and ends early.
	Open func(t testing.TB, list []people.Person) connectors.Connector
	// During is called once, while the pass emits its first record: the server that is killed, the
	// file that is replaced. Nil for a source that was broken before.
	During func(t testing.TB)
	// Err is what the pass fails with (errors.Is), nil for any error.
	Err error
}

func (h Harness) size() int {
	if h.Size == 0 {
		return 25
	}
	return h.Size
}

// crowd returns the people of a check: the first has no phone, cards or aliases, so that something is
// empty, the second has several of everything that can be several.
func (h Harness) crowd(seed uint64) []people.Person {
	list := people.New(seed).List(h.size())
	list[0].Phone, list[0].Cards, list[0].Aliases, list[0].AlternateMails = "", nil, nil, nil
	list[1].Cards = []string{"04C0FFEE000002", "04C0FFEE000001", "04C0FFEE000003"}
	return list
}
