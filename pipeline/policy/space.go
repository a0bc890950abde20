package policy

import (
	"cmp"
	"slices"
	"strings"

	"rollcall/store"
)

// spaces are the name spaces with the properties whose values live there.
var spaces = [...]struct {
	space         store.Space
	single, multi bool
	text, list    store.Property
}{
	{store.Names, true, true, store.UserName, store.Aliases},
	{store.PersonalNumbers, true, false, store.PersonalNumber, 0},
	{store.CardNumbers, false, true, 0, store.Cards},
	{store.PINHashes, false, true, 0, store.PINs},
}

// listOf returns the multi-valued property whose values live in a space.
func listOf(s store.Space) (store.Property, bool) {
	for _, known := range spaces {
		if known.space == s {
			return known.list, known.multi
		}
	}
	return 0, false
}

// without returns the claims of the one slice that are not in the other; both are sorted.
func without(claims, others []store.Claim) []store.Claim {
	if len(others) == 0 {
		return claims
	}
	var left []store.Claim
	for _, c := range claims {
		if !holds(others, c) {
			left = append(left, c)
		}
	}
	return left
}

func holds(sorted []store.Claim, c store.Claim) bool {
	_, found := slices.BinarySearchFunc(sorted, c, compareClaims)
	return found
}

func compareClaims(a, b store.Claim) int {
	return cmp.Or(cmp.Compare(a.Space, b.Space), strings.Compare(a.Value, b.Value))
}
