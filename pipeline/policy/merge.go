package policy

import (
	"slices"
	"strings"

	"rollcall/pipeline/mapping"
	"rollcall/store"
)

// mode is how a source's value meets the one that is there (O11).
type mode uint8

const (
	full mode = iota
	none
	ifNotEmpty
	addNew
	fullOwn
)

// modes are the merge modes of single-valued and of multi-valued properties.
type modes struct {
	text [store.TextCount]mode
	list [store.ListCount]mode
}

func modesOf(o Options) (m modes) {
	for i := range m.list {
		m.list[i] = fullOwn
	}
	byName := map[string]mode{"none": none, "full": full, "if-not-empty": ifNotEmpty, "add-new": addNew, "full-own": fullOwn}
	for name, text := range o.Merge {
		p, ok := store.ParseProperty(name)
		chosen, known := byName[text]
		switch {
		case !ok || !known:
		case p.Multi():
			m.list[p.List()] = chosen
		default:
			m.text[p] = chosen
		}
	}
	return m
}

// saying is what a source says of one person.
type saying struct {
	key   string
	set   store.PropertySet
	text  store.Texts
	list  store.Lists[string]
	label string
	// short are PINs below the minimum.
	short []string
}

func sayingOf(c *mapping.Change) saying {
	return saying{key: c.Key, set: c.Set, text: c.Text, list: c.List, label: c.SourceLabel, short: c.ShortPINs}
}

// combine makes one saying of a person's several logins (O5), which are sorted by key: the one that is called as
// the user already is speaks first, else the first; the names of the others become aliases.
func combine(logins []saying, name string) saying {
	first := max(0, slices.IndexFunc(logins, func(s saying) bool {
		return store.Fold(s.text[store.UserName]) == store.Fold(name)
	}))
	s := logins[first]
	if len(logins) == 1 {
		return s
	}
	s.set = s.set.With(store.Aliases)
	for i, other := range logins {
		if i == first {
			continue
		}
		s.addTexts(other)
		for l := range s.list {
			s.list[l] = slices.Concat(s.list[l], other.list[l])
		}
		s.short = slices.Concat(s.short, other.short)
		aliases := store.Aliases.List()
		s.list[aliases] = append(slices.Clip(s.list[aliases]), other.text[store.UserName])
	}
	return s
}

func (s *saying) addTexts(other saying) {
	for p := range store.TextCount {
		if s.text[p] == "" && other.set.Has(p) {
			s.text[p] = other.text[p]
		}
	}
	s.set |= other.set
}

// mergeText returns the value of a property after the source said ours; from are the user's other
// sources.
func (d *desk) mergeText(u *unit, p store.Property, ours string) string {
	now := u.new.Text[p]
	switch {
	case p == store.UserName && now == "":
		return ours // nobody is without a name, whatever the mode (U1)
	case d.merge.text[p] == none, ours == "" && (p == store.UserName || d.merge.text[p] == ifNotEmpty):
		return now
	case p == store.DefaultGroup && d.options.KeepDefaultGroup && now != "":
		return now
	}
	best := d.fallback(u, p)
	if best == nil {
		return ours
	}
	if ours == "" {
		return best.change.Text[p]
	}
	if d.before(u.new.Owner, best.ref.Source, d.options.Source) {
		if replaced, ok := u.new.Overrides[p]; ok {
			return replaced
		}
		return now
	}
	return ours
}

// fallback returns the strongest of a user's other sources that has a value for p, nil for none.
func (d *desk) fallback(u *unit, p store.Property) (best *peer) {
	for i := range u.peers {
		other := &u.peers[i]
		if other.change == nil || !other.change.Set.Has(p) || other.change.Text[p] == "" {
			continue
		}
		if best == nil || d.before(u.new.Owner, other.ref.Source, best.ref.Source) {
			best = other
		}
	}
	return best
}

// before reports whether source a decides before source b: by precedence, then the owner, then by
// name, so that the order of runs plays no part (O3).
func (d *desk) before(owner, a, b string) bool {
	if x, y := d.rank(owner, a), d.rank(owner, b); x != y {
		return x < y
	}
	return a < b
}

func (d *desk) rank(owner, source string) int {
	if at := slices.Index(d.options.Precedence, source); at >= 0 {
		return at
	}
	if source == owner {
		return len(d.options.Precedence)
	}
	return len(d.options.Precedence) + 1
}

// mergeList returns the values of a list after source said want; have is sorted, is not changed, and
// returned itself when nothing changes.
func mergeList(have []store.Value, want []string, source string, m mode) []store.Value {
	if m == none || m == ifNotEmpty && len(want) == 0 || len(have) == 0 && len(want) == 0 {
		return have
	}
	if !slices.IsSortedFunc(want, strictly) {
		want = slices.Compact(slices.Sorted(slices.Values(want)))
	}
	if isOwn(have, want, source) {
		return have
	}
	merged := make([]store.Value, 0, len(have)+len(want))
	for _, v := range have {
		_, wanted := slices.BinarySearch(want, v.V)
		switch {
		case wanted:
			merged = append(merged, withOrigin(v, source))
		case m == addNew:
			merged = append(merged, v)
		case m == fullOwn:
			if v = withoutOrigin(v, source); len(v.Origins) > 0 {
				merged = append(merged, v)
			}
		}
	}
	origins := []string{source}
	for _, w := range want {
		if w != "" && !hasValue(have, w) {
			merged = append(merged, store.Value{V: w, Origins: origins})
		}
	}
	sortValues(merged)
	if sameValues(have, merged) {
		return have
	}
	return merged
}

// strictly makes a repetition count as disorder.
func strictly(a, b string) int {
	if a <= b {
		return -1
	}
	return 1
}

// isOwn reports whether have is exactly what source wants, and nobody else's.
func isOwn(have []store.Value, want []string, source string) bool {
	return slices.EqualFunc(have, want, func(v store.Value, w string) bool {
		return v.V == w && len(v.Origins) == 1 && v.Origins[0] == source
	})
}

// withdraw returns a list without what only source put there.
func withdraw(have []store.Value, source string) []store.Value {
	return mergeList(have, nil, source, fullOwn)
}

func withOrigin(v store.Value, origin string) store.Value {
	at, found := slices.BinarySearch(v.Origins, origin)
	if !found {
		v.Origins = slices.Insert(slices.Clone(v.Origins), at, origin)
	}
	return v
}

func withoutOrigin(v store.Value, origin string) store.Value {
	if at, found := slices.BinarySearch(v.Origins, origin); found {
		v.Origins = slices.Delete(slices.Clone(v.Origins), at, at+1)
	}
	return v
}

func hasValue(sorted []store.Value, v string) bool {
	_, found := slices.BinarySearchFunc(sorted, v, func(a store.Value, v string) int { return strings.Compare(a.V, v) })
	return found
}

func sortValues(values []store.Value) {
	slices.SortFunc(values, func(a, b store.Value) int { return strings.Compare(a.V, b.V) })
}

func sameValues(a, b []store.Value) bool {
	return slices.EqualFunc(a, b, func(a, b store.Value) bool {
		return a.V == b.V && a.Expires.Equal(b.Expires) && slices.Equal(a.Origins, b.Origins)
	})
}
