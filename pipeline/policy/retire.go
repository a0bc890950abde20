package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"rollcall/store"
)

// Retirement is how a source that is no longer configured leaves its users (S6).
type Retirement struct {
	Source string `json:"source"`
	// Deactivate makes the users inactive that no other source takes over; without it they stay as local users.
	Deactivate bool `json:"deactivate,omitempty"`
	// Heirs are the sources that may own a user, the strongest first, with their labels.
	Heirs []Heir `json:"heirs,omitempty"`
}

// Heir is a source that may own a user.
type Heir struct {
	Source string `json:"source"`
	Label  string `json:"label"`
}

// Retire takes a source from a user. One whom the source owns passes to the first heir that has the person too, else
// he stays as a local user with what the source put on him, or is deactivated. From anybody else's user the source's values are
// withdrawn. The last active administrator stays active (U19).
func (h Hand) Retire(id string, r Retirement) (*Deed, error) {
	old, err := h.View.User(id)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return nil, fmt.Errorf("retire %s: there is no user %q", r.Source, id)
	}
	n := *old
	n.Updated = h.Time
	e := &edit{Hand: h, old: old, new: &n, deed: &Deed{Verdict: Verdict{Action: Unchanged, Name: nameOf(old)}}}
	e.leave(r)
	if err := errors.Join(e.bequeath(r), e.askOthers(r)); err != nil {
		return nil, err
	}
	v := verdict{}
	v.carry(&unit{old: old, new: &n, held: store.Claims(old), wanted: store.Claims(&n), gain: without(store.Claims(&n), store.Claims(old))})
	v.Action, v.Name, v.Reason = Update, nameOf(old), e.deed.Reason
	return &Deed{Verdict: v.Verdict, Entries: e.deed.Entries}, nil
}

// askOthers has what the user's other sources say decided again: what the retired one said counts no more.
func (e *edit) askOthers(r Retirement) error {
	if _, err := e.wait(^store.PropertySet(0)); err != nil {
		return err
	}
	ofSource := func(o SourceOrigin) bool { return o.Source == r.Source }
	e.deed.Entries = slices.DeleteFunc(e.deed.Entries, ofSource)
	return nil
}

// leave takes the source's entries from the user.
func (e *edit) leave(r Retirement) {
	ofSource := func(ref store.OriginRef) bool { return ref.Source == r.Source }
	e.new.Origins = slices.DeleteFunc(slices.Clone(e.new.Origins), ofSource)
	if len(e.new.Origins) == 0 {
		e.new.Origins = nil
	}
}

// bequeath says whose the user is now, and what stays of the source's values.
func (e *edit) bequeath(r Retirement) error {
	n := e.new
	if n.Anonymized || n.Owner != r.Source {
		e.withdraw(r.Source)
		return nil
	}
	n.Owner, n.Label, n.Overrides = "", "", nil
	heir, err := e.heir(r)
	switch {
	case err != nil:
		return err
	case heir != nil:
		n.Owner, n.Label = heir.Source, heir.Label
		e.deed.Reason = heir.Source + " has the person too and owns the user now [O3]"
		e.withdraw(r.Source)
		return nil
	}
	e.keep(r.Source)
	if !r.Deactivate || !n.Active {
		if by := strings.TrimPrefix(n.InactiveReason, "source:"); by == r.Source {
			n.InactiveReason = Manual
		}
		e.deed.Reason = "stays as a local user [S6]"
		return nil
	}
	if n.Administrator && e.Administrators <= 1 {
		e.deed.Reason = "stays as a local user: the last active administrator [U19]"
		return nil
	}
	n.Active, n.InactiveReason = false, Manual
	e.deed.Reason = r.Source + " is retired [S6]"
	return nil
}

// heir returns the first heir with an entry of the user that is there.
func (e *edit) heir(r Retirement) (*Heir, error) {
	for i := range r.Heirs {
		for _, ref := range e.new.Origins {
			if ref.Source != r.Heirs[i].Source {
				continue
			}
			o, err := e.View.Origin(ref.Source, ref.Key)
			if err != nil {
				return nil, err
			}
			if said := actionOf(o.Verdict); !o.Gone && said != Disable && said != Delete && said != Ignore {
				return &r.Heirs[i], nil
			}
		}
	}
	return nil, nil
}

// withdraw takes back the values of lists that only the source put there.
func (e *edit) withdraw(source string) {
	for i := range e.new.List {
		if e.new.List[i] = withdraw(e.new.List[i], source); len(e.new.List[i]) == 0 {
			e.new.List[i] = nil
		}
	}
}

// keep makes what the source put on the user a person's.
func (e *edit) keep(source string) {
	for i, list := range e.new.List {
		kept := slices.Clone(list)
		for j, v := range kept {
			if slices.Contains(v.Origins, source) {
				kept[j] = withOrigin(withoutOrigin(v, source), Manual)
			}
		}
		e.new.List[i] = kept
	}
}
