package policy

import (
	"slices"
	"time"

	"rollcall/store"
)

// held returns a value with an origin that holds it until then, the zero time for good (U20, K6, P7). All origins of a value
// end together: one that holds it for good takes the place of those that end, one that ends no later than the value
// adds nothing. An origin that is alone says its end anew.
func held(v store.Value, origin string, until time.Time) store.Value {
	isAlone := len(v.Origins) == 0 || len(v.Origins) == 1 && v.Origins[0] == origin
	switch {
	case isAlone, until.IsZero() && !v.Expires.IsZero():
		return store.Value{V: v.V, Origins: []string{origin}, Expires: until}
	case until.IsZero(), !v.Expires.IsZero() && until.After(v.Expires):
		v.Expires = until
		return withOrigin(v, origin)
	}
	return v
}

// limited gives the values that the source says their end, where its rule says that they are temporary, and takes it from
// them where it says so no more. One that ended does not come again until the entry says something else (K6, P7).
func (d *desk) limited(u *unit, p store.Property, before, merged []store.Value) []store.Value {
	isLimited := func(v store.Value) bool { return !v.Expires.IsZero() }
	if d.run.ValidFor[p] <= 0 && !slices.ContainsFunc(merged, isLimited) {
		return merged
	}
	list := make([]store.Value, 0, len(merged))
	for _, v := range merged {
		if v = d.limit(u, p, before, v); len(v.Origins) > 0 {
			list = append(list, v)
		}
	}
	if sameValues(before, list) {
		return before
	}
	return list
}

// limit returns a value with the end that the source gives it, without origins when it has ended.
func (d *desk) limit(u *unit, p store.Property, before []store.Value, v store.Value) store.Value {
	source, validFor := d.options.Source, d.run.ValidFor[p]
	if !slices.Contains(v.Origins, source) {
		return v
	}
	if validFor <= 0 {
		return held(v, source, time.Time{})
	}
	had := store.Value{V: v.V}
	if at := slices.IndexFunc(before, func(b store.Value) bool { return b.V == v.V }); at >= 0 {
		had = before[at]
	}
	switch {
	case slices.Contains(had.Origins, source) && (len(had.Origins) > 1 || !had.Expires.IsZero()):
		return v
	case !slices.Contains(had.Origins, source) && u.spent(v.V):
		return had
	}
	return held(had, source, d.run.Time.Add(validFor))
}
