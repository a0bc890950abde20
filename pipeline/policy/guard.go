package policy

import (
	"fmt"
	"slices"

	"rollcall/store"
)

// Trip is a limit that a run's plan goes beyond: the run is held (H1).
type Trip struct {
	// Class is what there is too much of, as in the configuration of the guard.
	Class string
	// Planned changes are more than Limit, reckoned from the Of that there are.
	Planned, Limit, Of int
	// Text is a sentence for an operator.
	Text string
}

// tally counts what the guard watches.
type tally struct {
	deactivate, create, rename, secrets, memberships, relink int
	blank                                                    [store.TextCount + store.ListCount]int
}

// Trips returns the limits that the plan goes beyond, nil for none. It is asked after [Fold.Rest].
func (f *Fold) Trips() (trips []Trip) {
	g, t, r := f.options.Guard, f.tally, f.run
	check := func(class, verb string, planned int, l Limit) {
		if limit := l.of(r.of(class)); planned > limit {
			trips = append(trips, f.trip(class, verb, planned, limit))
		}
	}
	check("deactivate", "deactivate", t.deactivate, g.Deactivate)
	owned := r.of("deactivate")
	if half := owned / 2; owned >= 4 && t.deactivate > half && !hasTrip(trips, "deactivate") {
		trips = append(trips, f.trip("deactivate", "deactivate", t.deactivate, half))
	}
	if !r.First {
		check("create", "create", t.create, g.Create)
		check("secrets", "change cards or PINs of", t.secrets, g.Secrets)
		check("memberships", "change groups of", t.memberships, g.Memberships)
	}
	check("rename", "rename", t.rename, g.Rename)
	for i, planned := range t.blank {
		check("blank", "empty "+blankProperty(i).String()+" of", planned, g.Blank)
	}
	check("relink", "link other entries to", t.relink, g.Relink.orMaximum())
	if g.HoldOnScopeChange && r.ScopeChanged && t.deactivate > 0 {
		trips = append(trips, Trip{"scope", t.deactivate, 0, owned,
			fmt.Sprintf("the scope of %s changed, and %d of its %d users would be deactivated", f.options.Source, t.deactivate, owned)})
	}
	if r.Whole && r.Read == 0 && r.Known > 0 {
		trips = append(trips, Trip{"empty", r.Known, 0, r.Known,
			fmt.Sprintf("%s reads empty, and %d entries were known", f.options.Source, r.Known)})
	}
	return trips
}

// of returns how many active users a limit is reckoned from: only those whom the source owns can be deactivated by it,
// everything else concerns all whom an entry of it leads to.
func (r Run) of(class string) int {
	if class == "deactivate" {
		return r.ActiveOwned
	}
	return max(r.ActiveOwned, r.ActiveLinked)
}

func (f *Fold) trip(class, verb string, planned, limit int) Trip {
	of := f.run.of(class)
	text := fmt.Sprintf("would %s %d of %d users of %s, limit %d", verb, planned, of, f.options.Source, limit)
	if class == "create" {
		text = fmt.Sprintf("would create %d users for %s, which has %d, limit %d", planned, f.options.Source, of, limit)
	}
	return Trip{class, planned, limit, of, text}
}

func hasTrip(trips []Trip, class string) bool {
	return slices.ContainsFunc(trips, func(t Trip) bool { return t.Class == class })
}

// of returns how many changes are allowed where the source has so many active users.
func (l Limit) of(active int) int {
	limit := max(l.Floor, active*l.Percent/100)
	if l.Maximum > 0 {
		limit = min(limit, l.Maximum)
	}
	return limit
}

// orMaximum returns a limit that is its maximum where it has nothing else.
func (l Limit) orMaximum() Limit {
	if l.Floor == 0 && l.Percent == 0 {
		l.Floor = l.Maximum
	}
	return l
}

func (t *tally) add(b *belonging, v *verdict) {
	if v.User == nil {
		return
	}
	if v.Deactivated {
		t.deactivate++
	}
	if v.relinked {
		t.relink++
	}
	if v.old == nil {
		t.create++
		return
	}
	var secrets, memberships bool
	for _, c := range v.Changed {
		p, known := store.ParseProperty(c.Property)
		if !known || v.old.Active != v.User.Active && isGroups(p) {
			continue // who leaves, or comes back, takes his groups along (U18)
		}
		switch p {
		case store.UserName:
			t.rename++
		case store.Cards, store.PINs:
			secrets = true
		case store.Groups, store.ManagedGroups:
			memberships = memberships || !b.onlyRenamed(c.OldList, c.NewList)
		case store.DefaultGroup:
			memberships = memberships || !b.onlyRenamed([]string{c.Old}, []string{c.New})
		}
		if c.Old != "" && c.New == "" {
			t.blank[blankIndex(p)]++
		}
	}
	if secrets {
		t.secrets++
	}
	if memberships {
		t.memberships++
	}
}

func isGroups(p store.Property) bool { return p == store.Groups || p == store.DefaultGroup }

func blankIndex(p store.Property) int {
	if p.Multi() {
		return int(store.TextCount) + p.List()
	}
	return int(p)
}

func blankProperty(index int) store.Property {
	if index < int(store.TextCount) {
		return store.Property(index)
	}
	return store.Aliases + store.Property(index) - store.TextCount
}
