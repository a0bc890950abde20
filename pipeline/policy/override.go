package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/store"
)

// override remembers the source's value of what was changed by hand, and has the entries that say something about it
// decided again by the next run, even if the directory did not change (U15, S5).
func (e *edit) override() error {
	changed := changedSet(e.old, e.new) &^ e.lasting
	if changed == 0 {
		return nil
	}
	said, err := e.wait(changed)
	if err != nil || e.old.Owner == "" {
		return err
	}
	overrides := maps.Clone(e.old.Overrides)
	if overrides == nil {
		overrides = map[store.Property]string{}
	}
	for p := range store.TextCount {
		if !changed.Has(p) {
			continue
		}
		before, isOverridden := overrides[p]
		switch {
		case isOverridden && before == e.new.Text[p]:
			delete(overrides, p)
		case !isOverridden && said.Has(p):
			overrides[p] = e.old.Text[p]
		}
	}
	if e.new.Overrides = overrides; len(overrides) == 0 {
		e.new.Overrides = nil
	}
	return nil
}

// wait makes the entries wait that say something about a changed property, and those of the owner for whatever any of them
// says. It returns what they say.
func (e *edit) wait(changed store.PropertySet) (said store.PropertySet, err error) {
	type saying struct {
		ref    store.OriginRef
		origin *store.Origin
		set    store.PropertySet
	}
	var sayings []saying
	for _, ref := range e.old.Origins {
		o, err := e.View.Origin(ref.Source, ref.Key)
		if err != nil {
			return 0, err
		}
		if o == nil || o.Gone || len(o.Change) == 0 {
			continue
		}
		c, err := decodeChange(o.Change)
		if err != nil {
			return 0, fmt.Errorf("entry %s of %s: %w", o.Entry, ref.Source, err)
		}
		set := (c.Set | e.fromGroups(ref.Source)) & changed
		sayings = append(sayings, saying{ref, o, set})
		said |= set
	}
	for _, s := range sayings {
		if s.origin.Waiting || s.set == 0 && (said == 0 || s.ref.Source != e.old.Owner) {
			continue
		}
		o := *s.origin
		o.Waiting = true
		if isSettled(actionOf(o.Verdict)) {
			o.Verdict = verdictText(Update, overriddenReason)
		}
		e.deed.Entries = append(e.deed.Entries, SourceOrigin{s.ref.Source, &o})
	}
	return said, nil
}

// fromGroups returns the properties that a user may have from a source's groups, whatever his own entry says.
func (e *edit) fromGroups(source string) (set store.PropertySet) {
	for _, p := range []store.Property{store.Groups, store.ManagedGroups} {
		ofSource := func(v store.Value) bool { return slices.Contains(v.Origins, source) }
		if slices.ContainsFunc(e.old.List[p.List()], ofSource) {
			set = set.With(p).With(store.DefaultGroup)
		}
	}
	return set
}

// overriddenReason is why an entry waits that lacks nothing.
const overriddenReason = "a person changed what it says, which the next run of the owner takes back [U15]"

// lacksNothing reports whether an entry that waits for that reason was taken over whole.
func lacksNothing(reason string) bool { return reason == overriddenReason || reason == lacksPINReason }

// lacks reports whether an entry waits for a value of p. What was taken over in part says which values are missing; of one that cannot be
// read any more the last words were taken over before.
func lacks(o *store.Origin, p store.Property) bool {
	reason := reasonOf(o.Verdict)
	switch {
	case !o.Waiting || lacksNothing(reason) || strings.HasPrefix(reason, notTaken):
		return false
	case isSettled(actionOf(o.Verdict)):
		return strings.Contains(reason, p.String()+" ")
	}
	return true
}

// changedSet returns the properties whose values differ.
func changedSet(a, b *store.User) (set store.PropertySet) {
	for p := range store.TextCount {
		if a.Text[p] != b.Text[p] {
			set = set.With(p)
		}
	}
	for i := range a.List {
		if !sameValues(a.List[i], b.List[i]) {
			set = set.With(store.Aliases + store.Property(i))
		}
	}
	return set
}
