package policy

import (
	"fmt"
	"slices"
	"strings"

	"rollcall/store"
)

// contest refuses units whose names or personal numbers belong to somebody who keeps them, or are
// wanted twice (C1, C3, C4). What a refused unit keeps may refuse others, until nothing more does.
func (d *desk) contest() error {
	wanting := d.claim()
	var refused []*unit
	for _, u := range d.units {
		if !u.refused {
			if err := d.challenge(u, wanting); err != nil {
				return err
			}
		}
		if u.refused {
			refused = append(refused, u)
		}
	}
	for len(refused) > 0 {
		u := refused[0]
		refused = refused[1:]
		for _, w := range u.waiters {
			if !w.refused {
				w.refused = true
				refused = append(refused, w)
			}
		}
	}
	return d.explain(wanting)
}

// wishes are who wants a value that he does not hold yet.
type wishes map[store.Claim][]*unit

// claim computes what every unit holds and wants.
func (d *desk) claim() wishes {
	var w wishes
	if len(d.units) > 1 {
		w = make(wishes, len(d.units))
	}
	for _, u := range d.units {
		u.reckon()
		for _, e := range u.lost {
			if e.unit != nil {
				e.unit.waiters = append(e.unit.waiters, u) // who keeps an entry is not left by it
			}
			if e.action == Conflict || e.action == Reject {
				u.refuse(e.action, e.reason)
			}
		}
		if u.unwanted || w == nil {
			continue
		}
		for _, c := range u.gain {
			if u.insists(c) {
				w[c] = append(w[c], u)
			}
		}
	}
	return w
}

func (u *unit) reckon() {
	u.held, u.wanted, u.gain = nil, nil, nil
	if u.old != nil {
		u.held = store.Claims(u.old)
	}
	if u.new == u.old {
		u.wanted = u.held
		return
	}
	u.wanted = store.Claims(u.new)
	u.gain = without(u.wanted, u.held)
}

// insists reports whether the unit is refused when it does not get c: a card or PIN is left out
// instead (C2), and so is an alias that comes back with its user (M2).
func (u *unit) insists(c store.Claim) bool {
	switch c.Space {
	case store.PersonalNumbers:
		return true
	case store.Names:
		return !u.comesBack(c) && !u.leftOut() || store.Fold(u.new.Text[store.UserName]) == c.Value
	}
	return false
}

// leftOut reports whether the unit's entry waits for a value that it did without before, and says
// nothing new.
func (u *unit) leftOut() bool {
	return len(u.entries) > 0 && !slices.ContainsFunc(u.entries, func(e *entry) bool {
		return e.change.Number > 0 || e.isNew || e.origin == nil || !e.origin.Waiting || !isSettled(actionOf(e.origin.Verdict))
	})
}

// comesBack reports whether a user who is active again had the value when he was deactivated.
func (u *unit) comesBack(c store.Claim) bool {
	if u.old == nil || u.old.Active || !u.new.Active {
		return false
	}
	p, multi := listOf(c.Space)
	return multi && slices.ContainsFunc(u.old.List[p.List()], func(v store.Value) bool {
		return store.FoldClaim(store.Claim{Space: c.Space, Value: v.V}) == c
	})
}

// challenge refuses u for wishes that others have too or that a holder surely keeps; for the others it
// waits on the holder.
func (d *desk) challenge(u *unit, wanting wishes) error {
	if u.unwanted {
		return nil
	}
	for _, c := range u.gain {
		if !u.insists(c) {
			continue
		}
		if len(wanting[c]) > 1 {
			u.refused = true
			return nil
		}
		holder, err := d.view.Holder(c)
		if err != nil {
			return err
		}
		if holder == "" || holder == u.id {
			continue
		}
		other := d.byUser[holder]
		if other == nil || other.refused || holds(other.wanted, c) {
			u.refused = true
			return nil
		}
		other.waiters = append(other.waiters, u)
	}
	return nil
}

// explain gives every unit that lost a contest its reason, in the same words whatever was found first,
// and turns away who would have to be created and must not be (O1).
func (d *desk) explain(wanting wishes) error {
	for _, u := range d.units {
		if !u.refused && !u.unwanted || u.reason != "" {
			continue
		}
		reason, err := d.reason(u, wanting)
		if err != nil {
			return err
		}
		if u.unwanted {
			d.turnAway(u, reason)
			continue
		}
		u.action, u.reason = Conflict, reason
		u.new = u.old
	}
	for _, u := range d.units {
		if u.refused {
			u.settleRefusal()
		}
	}
	return nil
}

func (u *unit) settleRefusal() {
	u.new = u.old
	u.reckon()
	if u.reason != "" {
		return
	}
	for _, e := range u.lost {
		if e.unit != nil {
			u.action, u.reason = Conflict, e.unit.reason
		}
	}
}

func (d *desk) turnAway(u *unit, reason string) {
	wasKnown := slices.ContainsFunc(u.entries, func(e *entry) bool { return e.linked != nil })
	if reason != "" && !wasKnown {
		u.refuse(Conflict, reason)
		return
	}
	u.refuse(Ignore, "unknown, and add_new_users is off [O1]")
}

// reason names the first value that the unit wants and cannot have, "" for none.
func (d *desk) reason(u *unit, wanting wishes) (string, error) {
	for _, c := range u.gain {
		if !u.insists(c) {
			continue
		}
		if others := wanting[c]; len(others) > 1 && !u.unwanted {
			return fmt.Sprintf("%s of %s is wanted by %s in the same run too [%s]", u.claimText(c), u.text(), rivals(others, u), ruleOf(c, "C4")), nil
		}
		holder, err := d.holder(c)
		if err != nil {
			return "", err
		}
		if holder == nil || holder.ID == u.id {
			continue
		}
		if other := d.byUser[holder.ID]; other == nil || other.refused || holds(other.wanted, c) {
			return u.usedText(c, holder), nil
		}
	}
	return "", nil
}

func rivals(units []*unit, self *unit) string {
	var names []string
	for _, u := range units {
		if u != self {
			names = append(names, u.text())
		}
	}
	return strings.Join(names, ", ")
}

// usedText says that a holder has what the unit wants.
func (u *unit) usedText(c store.Claim, holder *store.User) string {
	isName := c.Space == store.Names && store.Fold(nameOf(holder)) == c.Value
	isNew := slices.ContainsFunc(u.entries, func(e *entry) bool { return e.isNew })
	switch {
	case isName && isNew && u.old != nil:
		return fmt.Sprintf("%s leads to two users: %s by personal number, %s by user name [M1]", entryText(u.entries[0]), nameOf(u.old), nameOf(holder))
	case c.Space == store.Names && !isName:
		return fmt.Sprintf("%s of %s is already used by %s as an alias [%s]", u.claimText(c), u.text(), nameOf(holder), "C1")
	}
	return fmt.Sprintf("%s of %s is already used by %s [%s]", u.claimText(c), u.text(), nameOf(holder), ruleOf(c, "C1"))
}

func ruleOf(c store.Claim, names string) string {
	if c.Space == store.PersonalNumbers {
		return "C3"
	}
	return names
}

// skip leaves out the cards and PINs that somebody else has or gets, and the aliases of a returning user
// that are no longer free (C2, M2). Of several who want one card in a run the first by key gets it.
func (d *desk) skip() error {
	for {
		wins, err := d.winners()
		if err != nil {
			return err
		}
		skipped := false
		for _, u := range d.units {
			if u.refused {
				continue
			}
			for _, c := range u.gain {
				if winner := wins[c]; !u.insists(c) && winner.unit != u {
					u.leaveOut(c, winner.name(), d.options.MultipleCards)
					skipped = true
				}
			}
		}
		if !skipped {
			return nil
		}
		for _, u := range d.units {
			if u.new != u.old && u.old != nil && sameUser(u.old, u.new) {
				u.new = u.old
			}
			u.reckon()
		}
	}
}

// winner is who has a value after the run: a unit of the run, or a user beside.
type winner struct {
	unit *unit
	user *store.User
}

func (w winner) name() string {
	if w.user != nil {
		return nameOf(w.user)
	}
	return w.unit.text()
}

// winners returns who gets every value that somebody would do without.
func (d *desk) winners() (map[store.Claim]winner, error) {
	var wins map[store.Claim]winner
	for _, u := range d.units {
		if u.refused {
			continue
		}
		for _, c := range u.gain {
			if wins == nil {
				wins = map[store.Claim]winner{}
			}
			if have, known := wins[c]; known && (have.unit == nil || have.unit.insists(c) || !u.insists(c)) {
				continue
			}
			holder, err := d.keeper(c, u)
			if err != nil {
				return nil, err
			}
			if holder != nil {
				wins[c] = winner{user: holder}
				continue
			}
			wins[c] = winner{unit: u}
		}
	}
	return wins, nil
}

// keeper returns the user who holds a value that u wants and keeps it, nil for nobody.
func (d *desk) keeper(c store.Claim, u *unit) (*store.User, error) {
	id, err := d.view.Holder(c)
	if err != nil || id == "" || id == u.id {
		return nil, err
	}
	if other := d.byUser[id]; other != nil && !other.refused && !holds(other.wanted, c) {
		return nil, nil
	}
	return d.view.User(id)
}

// leaveOut drops a value that the unit cannot have. Where one card replaces another, the other stays (K6).
func (u *unit) leaveOut(c store.Claim, winner string, multipleCards bool) {
	p, _ := listOf(c.Space)
	i := p.List()
	kept := slices.DeleteFunc(slices.Clone(u.new.List[i]), func(v store.Value) bool {
		return store.FoldClaim(store.Claim{Space: c.Space, Value: v.V}) == c
	})
	if p == store.Cards && !multipleCards && u.old != nil && len(kept) == 0 && u.old.Active {
		kept = u.old.List[i]
	}
	if len(kept) == 0 {
		kept = nil
	}
	u.new.List[i] = kept
	rule := "C2"
	if c.Space == store.Names || u.comesBack(c) {
		rule = "M2"
	}
	reason := fmt.Sprintf("%s of %s is already used by %s; left out [%s]", u.claimText(c), nameOf(u.new), winner, rule)
	for _, e := range u.entries {
		if e.stand != present {
			continue
		}
		e.warn(p, shownValue(p, c.Value), reason)
		e.waiting = true
		return
	}
}
