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
	if len(d.entries) > 1 {
		w = make(wishes, len(d.units))
	}
	for _, u := range d.units {
		if len(d.units) > 1 || !u.keepsClaims() {
			u.reckon()
		}
		for _, e := range u.lost {
			if e.unit != nil {
				// Who cannot take an entry leaves it where it was, and the other way round.
				e.unit.waiters, u.waiters = append(e.unit.waiters, u), append(u.waiters, e.unit)
			}
			if e.action == Conflict || e.action == Reject {
				u.refuse(e.action, e.reason)
			}
		}
		if u.unwanted || w == nil {
			continue
		}
		for _, c := range u.wishes() {
			if u.insists(c) {
				w[c] = append(w[c], u)
			} else if c.Space == store.Names {
				d.hope(u, c)
			}
		}
	}
	d.claimRefused(w)
	return w
}

// hope notes who gets a name as an alias if nobody else has it.
func (d *desk) hope(u *unit, c store.Claim) {
	if d.hopes == nil {
		d.hopes = wishes{}
	}
	d.hopes[c] = append(d.hopes[c], u)
}

// claimRefused adds what entries say that are in conflict already: two who want one name stay two when one of
// them is refused for another reason (C4).
func (d *desk) claimRefused(w wishes) {
	if w == nil {
		return
	}
	for _, e := range d.entries {
		isRefused := e.action == Conflict || e.unit != nil && e.unit.refused
		if e.stand != present || !isRefused {
			continue
		}
		refused := &unit{entries: []*entry{e}, refused: true}
		add := func(space store.Space, value string) {
			c := store.FoldClaim(store.Claim{Space: space, Value: value})
			if c.Value != "" && !slices.Contains(w[c], refused) {
				w[c] = append(w[c], refused)
			}
		}
		add(store.Names, e.change.Text[store.UserName])
		for _, alias := range e.change.List[store.Aliases.List()] {
			add(store.Names, alias)
		}
		if !d.options.PairByPersonalNumber {
			add(store.PersonalNumbers, e.change.Text[store.PersonalNumber])
		}
	}
}

// keepsClaims reports whether the user's unique values are surely the same before and after: then nobody
// needs to know which they are.
func (u *unit) keepsClaims() bool {
	if u.old == nil || u.old.Active != u.new.Active {
		return false
	}
	for _, s := range spaces {
		if s.single && u.old.Text[s.text] != u.new.Text[s.text] {
			return false
		}
		if s.multi && !sameShown(u.old.List[s.list.List()], u.new.List[s.list.List()]) {
			return false
		}
	}
	return true
}

// reckon computes what the unit holds, wants and gains.
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

// wishes returns what the unit gains, and the names that its entries are called by in the directory:
// two who are called so are two, whether the name was an alias before or is not to become one (C4).
func (u *unit) wishes() []store.Claim {
	if u.new == u.old || u.old != nil && len(u.entries) == 1 && store.Fold(nameOf(u.old)) == store.Fold(nameOf(u.new)) {
		return u.gain
	}
	wishes := slices.Clip(u.gain)
	add := func(name string) {
		c := store.FoldClaim(store.Claim{Space: store.Names, Value: name})
		isOwn := u.old != nil && (store.Fold(nameOf(u.old)) == c.Value || holds(u.held, c) && store.Fold(nameOf(u.new)) != c.Value)
		if c.Value != "" && !isOwn && !slices.Contains(wishes, c) {
			wishes = append(wishes, c)
		}
	}
	add(nameOf(u.new))
	for _, e := range u.entries {
		if e.stand == present {
			add(e.change.Text[store.UserName])
		}
	}
	return wishes
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
	for _, c := range u.wishes() {
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
		other := d.unitBy(holder)
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
	d.explainIntruders()
	for _, u := range d.units {
		if !u.refused && !u.unwanted || u.reason != "" {
			continue
		}
		if u.unwanted && !u.refused {
			if err := d.turnAway(u, wanting); err != nil {
				return err
			}
			continue
		}
		reason, err := d.reason(u, wanting)
		if err != nil {
			return err
		}
		if reason != "" {
			u.action, u.reason = Conflict, reason
		}
	}
	d.explainTogether()
	for _, u := range d.units {
		if u.refused {
			u.new = u.old
			u.reckon()
		}
	}
	return nil
}

// explainIntruders gives their reasons to entries that have the name of another entry's user, and to him.
func (d *desk) explainIntruders() {
	for _, e := range d.entries {
		if e.intruder != nil {
			e.reason = d.stillThere(e.intruder, d.after(e.intruder.rival))
		}
	}
	for _, u := range d.units {
		if u.intruder != nil {
			u.reason = u.intruder.reason
		}
	}
}

// after returns what a user is after the run.
func (d *desk) after(user *store.User) *store.User {
	if u := d.unitBy(user.ID); u != nil && !u.refused && u.new != nil {
		return u.new
	}
	return user
}

// explainTogether gives a reason to units that are refused because an entry would go over from one to the
// other and cannot.
func (d *desk) explainTogether() {
	for again := true; again; {
		again = false
		for _, u := range d.units {
			if !u.refused || u.reason != "" {
				continue
			}
			if other := d.partner(u); other != nil {
				u.action, u.reason, again = Conflict, fmt.Sprintf("%s cannot leave %s: %s", u.text(), other.text(), other.reason), true
			}
		}
	}
}

// partner returns a unit that has lost an entry to u or got one from it, and knows why it is refused.
func (d *desk) partner(u *unit) *unit {
	for _, e := range u.lost {
		if e.unit != nil && e.unit.reason != "" {
			return e.unit
		}
	}
	for _, e := range u.entries {
		if e.linked != nil && e.linked.ID != u.id {
			if other := d.unitBy(e.linked.ID); other != nil && other.reason != "" {
				return other
			}
		}
	}
	return nil
}

// turnAway ignores a person who is unknown, unless his name is somebody's after the run.
func (d *desk) turnAway(u *unit, wanting wishes) error {
	u.refused = true
	u.action, u.reason = Ignore, "unknown, and add_new_users is off [O1]"
	if !d.options.PairByObjectID {
		return nil // the entry may have left another user, who is not to be kept by a conflict
	}
	for _, e := range u.entries {
		reason, err := d.taken(u, e, wanting)
		if err != nil {
			return err
		}
		if reason != "" {
			u.action, u.reason = Conflict, reason
			return nil
		}
	}
	return nil
}

// taken says whose the name of an entry is after the run, "" for nobody's.
func (d *desk) taken(u *unit, e *entry, wanting wishes) (string, error) {
	name := store.FoldClaim(store.Claim{Space: store.Names, Value: e.change.Text[store.UserName]})
	for _, other := range wanting[name] {
		switch {
		case other.refused || !holds(other.wanted, name):
		case store.Fold(nameOf(other.new)) == name.Value:
			return d.stillThere(e, other.new), nil
		default:
			return u.usedText(name, nameOf(other.new)), nil
		}
	}
	holder, err := d.holder(name)
	if err != nil {
		return "", err
	}
	if holder == nil {
		if hopes := d.hopes[name]; len(hopes) == 1 && !hopes[0].refused {
			return u.usedText(name, nameOf(hopes[0].new)), nil
		}
		return "", nil
	}
	if other := d.unitBy(holder.ID); other == nil || other.refused || holds(other.wanted, name) {
		return u.usedText(name, d.called(holder)), nil
	}
	return "", nil
}

// reason names the first value that the unit wants and cannot have, "" for none.
func (d *desk) reason(u *unit, wanting wishes) (string, error) {
	for _, c := range u.wishes() {
		if !u.insists(c) {
			continue
		}
		holder, err := d.holder(c)
		if err != nil {
			return "", err
		}
		if holder != nil && holder.ID != u.id {
			if other := d.unitBy(holder.ID); other == nil || other.refused || holds(other.wanted, c) {
				return d.usedReason(u, c, holder), nil
			}
		}
		if others := wanting[c]; len(others) > 1 {
			return fmt.Sprintf("%s of %s is wanted by %s in the same run too [%s]", u.claimText(c), u.text(), rivals(others, u), ruleOf(c, "C4")), nil
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

// usedReason says that a holder keeps what the unit wants.
func (d *desk) usedReason(u *unit, c store.Claim, holder *store.User) string {
	fromHere := slices.ContainsFunc(holder.Origins, func(ref store.OriginRef) bool { return ref.Source == d.options.Source })
	if u.old == nil && fromHere && c.Space == store.Names && store.Fold(d.called(holder)) == c.Value && store.Fold(nameOf(u.new)) == c.Value {
		return d.stillThere(u.entries[0], d.after(holder))
	}
	return u.usedText(c, d.called(holder))
}

// called returns what a user is called after the run.
func (d *desk) called(user *store.User) string {
	return nameOf(d.after(user))
}

// usedText says that somebody, who is called so after the run, has what the unit wants.
func (u *unit) usedText(c store.Claim, called string) string {
	isName := c.Space == store.Names && store.Fold(called) == c.Value
	isNew := slices.ContainsFunc(u.entries, func(e *entry) bool { return e.isNew })
	switch {
	case isName && isNew && u.old != nil && store.Fold(nameOf(u.new)) == c.Value:
		return fmt.Sprintf("%s leads to two users: %s by personal number, %s by user name [M1]", entryText(u.entries[0]), nameOf(u.old), called)
	case c.Space == store.Names && !isName:
		return fmt.Sprintf("%s of %s is already used by %s as an alias [C1]", u.claimText(c), u.text(), called)
	}
	return fmt.Sprintf("%s of %s is already used by %s [%s]", u.claimText(c), u.text(), called, ruleOf(c, "C1"))
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
				if winner, contested := wins[c]; contested && winner.unit != u && !u.insists(c) {
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
	return nameOf(w.unit.new)
}

// winners returns who gets every value that several want, or that somebody else holds.
func (d *desk) winners() (wins map[store.Claim]winner, err error) {
	for _, u := range d.units {
		if u.refused {
			continue
		}
		for _, c := range u.gain {
			holder, err := d.keeper(c, u)
			switch {
			case err != nil:
				return nil, err
			case holder == nil && len(d.units) == 1:
				continue
			case wins == nil:
				wins = map[store.Claim]winner{}
			}
			have, known := wins[c]
			switch {
			case holder != nil:
				wins[c] = winner{user: d.afterwards(holder)}
			case !known || have.unit != nil && !have.unit.insists(c) && u.insists(c):
				wins[c] = winner{unit: u}
			}
		}
	}
	return wins, nil
}

// afterwards returns a user as the run leaves him.
func (d *desk) afterwards(user *store.User) *store.User {
	if u := d.unitBy(user.ID); u != nil && !u.refused && u.new != nil {
		return u.new
	}
	return user
}

// keeper returns the user who holds a value that u wants and keeps it, nil for nobody.
func (d *desk) keeper(c store.Claim, u *unit) (*store.User, error) {
	id, err := d.view.Holder(c)
	if err != nil || id == "" || id == u.id {
		return nil, err
	}
	if other := d.unitBy(id); other != nil && !other.refused && !holds(other.wanted, c) {
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
	if c.Space == store.Names {
		rule = "M2"
	}
	reason := fmt.Sprintf("already used by %s; left out [%s]", winner, rule)
	for _, e := range u.entries {
		if e.says(p, c) {
			e.warn(p, shownValue(p, c.Value), reason)
			e.waiting = true // it is asked for again in the next run
			return
		}
	}
	u.warn(p, shownValue(p, c.Value), reason)
}

// says reports whether a present entry says the value itself.
func (e *entry) says(p store.Property, c store.Claim) bool {
	is := func(v string) bool { return store.FoldClaim(store.Claim{Space: c.Space, Value: v}) == c }
	return e.stand == present && (slices.ContainsFunc(e.change.List[p.List()], is) || c.Space == store.Names && is(e.change.Text[store.UserName]))
}
