package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"rollcall/store"
)

// match finds the users of the present entries that have none yet: by personal number, then by
// user name (M1). Entries with one personal number are one person when numbers pair (O5).
func (d *desk) match() error {
	groups := d.groups()
	if len(groups) > 0 {
		// What the known users are going to be called decides whom a name leads to.
		if err := d.draftAll(); err != nil {
			return err
		}
	}
	d.indexNumbers()
	for _, group := range groups {
		if err := d.matchGroup(group); err != nil {
			return err
		}
	}
	d.refuseRivals()
	for _, u := range d.units {
		slices.SortFunc(u.entries, func(a, b *entry) int { return strings.Compare(a.change.Key, b.change.Key) })
		d.findDoubles(u)
	}
	slices.SortFunc(d.units, func(a, b *unit) int {
		return cmp.Or(strings.Compare(a.firstKey(), b.firstKey()), strings.Compare(a.id, b.id))
	})
	return d.draftAll()
}

func (u *unit) firstKey() string {
	if len(u.entries) > 0 {
		return u.entries[0].change.Key
	}
	if len(u.lost) > 0 {
		return u.lost[0].change.Key
	}
	return ""
}

// indexNumbers finds the users whose own entry brings a personal number in this run; two of them
// who bring the same one are nobody.
func (d *desk) indexNumbers() {
	if !d.options.PairByPersonalNumber {
		return
	}
	d.byNumber = map[string]*unit{}
	for _, e := range d.entries {
		number := d.number(e)
		if e.unit == nil || e.stand != present || number == "" {
			continue
		}
		if other, known := d.byNumber[number]; known && other != e.unit {
			d.byNumber[number] = nil
			continue
		}
		d.byNumber[number] = e.unit
	}
}

// groups returns the entries to be matched, those of one person together.
func (d *desk) groups() (groups [][]*entry) {
	if len(d.entries) == 1 && d.entries[0].unit != nil {
		return nil
	}
	var byNumber map[string]int
	if d.options.PairByPersonalNumber {
		byNumber = map[string]int{}
	}
	for _, e := range d.entries {
		if e.unit != nil || e.stand != present || e.action != "" {
			continue
		}
		number := d.number(e)
		if at, known := byNumber[number]; known && number != "" {
			groups[at] = append(groups[at], e)
			continue
		}
		if number != "" {
			byNumber[number] = len(groups)
		}
		groups = append(groups, []*entry{e})
	}
	return groups
}

// number returns the folded personal number that an entry pairs by, "" for none.
func (d *desk) number(e *entry) string {
	if !d.options.PairByPersonalNumber {
		return ""
	}
	return store.Fold(e.change.Text[store.PersonalNumber])
}

func (d *desk) matchGroup(group []*entry) error {
	user, err := d.byPersonalNumber(group[0])
	if err == nil && user == nil {
		user, err = d.byNames(group)
	}
	switch {
	case err != nil || group[0].action != "":
		return err
	case user == nil:
		return d.create(group)
	}
	return d.join(group, user)
}

// byNames returns the user whom the names of a group lead to. It refuses the group when they lead to several,
// or one of them leads to a user who cannot be meant.
func (d *desk) byNames(group []*entry) (user *store.User, err error) {
	for _, e := range group {
		hit, err := d.byName(e)
		switch {
		case err != nil:
			return nil, err
		case e.action != "":
			refuseAll(group, e)
			return nil, nil
		case hit != nil && user != nil && hit.ID != user.ID:
			refuseGroup(group, Conflict, fmt.Sprintf("%s lead to two users, %s and %s [M1]", groupText(group), nameOf(user), nameOf(hit)))
			return nil, nil
		case hit != nil:
			user = hit
		}
	}
	return user, nil
}

// byPersonalNumber returns the user who has the entry's number and keeps it.
func (d *desk) byPersonalNumber(e *entry) (*store.User, error) {
	number := d.number(e)
	if number == "" {
		return nil, nil
	}
	if u := d.byNumber[number]; u != nil {
		return u.old, nil
	}
	user, err := d.holder(store.Claim{Space: store.PersonalNumbers, Value: number})
	if err != nil || user == nil || d.gives(user, store.PersonalNumber, number) {
		return nil, err
	}
	return user, nil
}

// byName returns the user who is called as the entry and can be its person (M1, M3). It refuses
// the entry when the name is a user's who is another entry's.
func (d *desk) byName(e *entry) (*store.User, error) {
	name := e.change.Text[store.UserName]
	user, err := d.holder(store.Claim{Space: store.Names, Value: name})
	if err != nil || user == nil {
		return nil, err
	}
	if store.Fold(user.Text[store.UserName]) != store.Fold(name) {
		return nil, nil // an alias is no match; the claim is settled with all others
	}
	var others []store.OriginRef
	for _, ref := range user.Origins {
		if ref.Source == d.options.Source && ref.Key != e.key {
			others = append(others, ref)
		}
	}
	if len(others) == 0 || e.linked != nil && e.linked.ID == user.ID || !d.options.PairByObjectID {
		return user, nil
	}
	return d.fromOther(e, user, others)
}

// fromOther decides whether an entry takes over the user of others, which are of the same source (M3).
func (d *desk) fromOther(e *entry, user *store.User, others []store.OriginRef) (*store.User, error) {
	alive := 0
	for _, ref := range others {
		there, err := d.isThere(ref)
		if err != nil {
			return nil, err
		}
		if there {
			alive++
		}
	}
	switch {
	case alive == 0 && contradict(e, user):
		d.refuseBoth(e, user, fmt.Sprintf("%s has the user name of %s, whose entry is gone, and another personal number (%q, not %q): another person does not inherit the account [M3]",
			entryText(e), nameOf(user), e.change.Text[store.PersonalNumber], user.Text[store.PersonalNumber]))
		return nil, nil
	case alive == 0:
		e.relinked = true
		e.note = fmt.Sprintf("linked to %s, the old entry is gone [M3]", e.change.Entry)
		return user, nil
	case d.gives(user, store.UserName, store.Fold(e.change.Text[store.UserName])):
		return nil, nil
	}
	e.refuse(Conflict, "")
	e.intruder, e.rival = e, user
	return nil, nil
}

// refuseRivals refuses the users whom an intruder came too near, when all who lead to them are known (M3). Who would not be
// created, though, takes nothing from anybody.
func (d *desk) refuseRivals() {
	isPresent := func(e *entry) bool { return e.stand == present }
	for _, e := range d.entries {
		if e.rival == nil || e.intruder != e || !d.options.AddNewUsers {
			continue
		}
		if u := d.unitBy(e.rival.ID); u != nil && slices.ContainsFunc(u.entries, isPresent) && !u.refused {
			u.refuse(Conflict, "")
			u.intruder = e
		}
	}
}

// stillThere says that an entry has the user name of another one's user.
func (d *desk) stillThere(e *entry, user *store.User) string {
	return fmt.Sprintf("%s has the user name of another entry of %s that is still there, %s [M3]", entryText(e), d.options.Source, d.otherEntry(e, user))
}

// otherEntry names the entry of the source that a user belongs to.
func (d *desk) otherEntry(e *entry, user *store.User) string {
	for _, ref := range user.Origins {
		if ref.Source != d.options.Source || ref.Key == e.key {
			continue
		}
		if other := d.entryBy(ref.Key); other != nil && other.stand != missing {
			return other.change.Entry
		}
		if p, err := d.peer(ref); err == nil && p.origin != nil && !p.origin.Gone {
			return p.origin.Entry
		}
	}
	return nameOf(user)
}

// isThere reports whether an entry of the source is neither gone nor missing in this run.
func (d *desk) isThere(ref store.OriginRef) (bool, error) {
	if e := d.entryBy(ref.Key); e != nil {
		return e.stand != missing && e.stand != pending, nil
	}
	p, err := d.peer(ref)
	return p.origin != nil && !p.origin.Gone && actionOf(p.origin.Verdict) != Delete, err
}

// gives reports whether a user has another value of p after what his own entries say in this run.
func (d *desk) gives(user *store.User, p store.Property, folded string) bool {
	u := d.unitBy(user.ID)
	return u != nil && u.new != nil && store.Fold(u.new.Text[p]) != folded
}

// contradict reports whether an entry and a user have different personal numbers.
func contradict(e *entry, user *store.User) bool {
	a, b := store.Fold(e.change.Text[store.PersonalNumber]), store.Fold(user.Text[store.PersonalNumber])
	return a != "" && b != "" && a != b
}

// refuseBoth refuses an entry and the user whom it came too near.
func (d *desk) refuseBoth(e *entry, user *store.User, reason string) {
	e.refuse(Conflict, reason)
	if u := d.unitBy(user.ID); u != nil && u.concerned() {
		u.refuse(Conflict, reason)
	}
}

// create makes a unit for a person who is not known yet.
func (d *desk) create(group []*entry) error {
	id, err := d.newID(group[0].change.Key)
	if err != nil {
		return err
	}
	u := d.newUnit(id)
	u.entries, u.unwanted = append(u.entries, group...), !d.options.AddNewUsers
	d.addUnit(u)
	for _, e := range group {
		e.unit, e.isNew = u, true
		d.leave(e)
	}
	return nil
}

// newID returns an id that nobody has: an entry that is not paired by its stable id may have had
// another user before.
func (d *desk) newID(key string) (string, error) {
	id := d.run.NewID(key)
	for n := 2; ; n++ {
		u, err := d.view.User(id)
		if err != nil || u == nil {
			return id, err
		}
		id = d.run.NewID(fmt.Sprintf("%s\x00%d", key, n))
	}
}

// join links a group to a user who is known, if the source may have him.
func (d *desk) join(group []*entry, user *store.User) error {
	for _, e := range group {
		if e.linked != nil && e.linked.ID == user.ID {
			continue
		}
		if action, reason := d.admit(e, user); action != "" {
			refuseGroup(group, action, reason)
			return nil
		}
	}
	u := d.unitOf(user)
	for _, e := range group {
		e.unit = u
		u.entries = append(u.entries, e)
		if e.linked == nil || e.linked.ID != user.ID {
			e.isNew = true
			d.leave(e)
		}
	}
	return nil
}

// leave takes an entry from the user whom it was linked to: without pairing by object id, or with another personal number.
func (d *desk) leave(e *entry) {
	if e.linked == nil {
		return
	}
	u := d.unitOf(e.linked)
	u.lost = append(u.lost, e)
}

// admit says why a source must not take a user over, "" when it may.
func (d *desk) admit(e *entry, user *store.User) (Action, string) {
	label := d.label(e.change.SourceLabel)
	switch {
	case strings.HasPrefix(user.Text[store.UserName], "*"):
		return Reject, fmt.Sprintf("%s leads to the built-in user %s, which no synchronization changes [U2]", entryText(e), nameOf(user))
	case slices.ContainsFunc(user.Origins, func(ref store.OriginRef) bool { return ref.Source == d.options.Source }):
		return "", "" // another entry of the source was admitted before
	case user.Owner == "" && user.Administrator:
		return Conflict, fmt.Sprintf("%s leads to %s, a local administrator, whom no source takes over [U19]", entryText(e), nameOf(user))
	case user.Owner == "" && !d.options.AdoptLocalUsers:
		return Conflict, fmt.Sprintf("%s leads to %s, a local user, and adopt_local_users is off [O10]", entryText(e), nameOf(user))
	case user.Owner == "" || user.Owner == d.options.Source, d.options.IgnoreSynchronizationSource, user.Label == label:
		return "", ""
	}
	return Conflict, fmt.Sprintf("name or alias of %s already used by %s of source %s, and ignore_synchronization_source is off [O3]",
		entryText(e), nameOf(user), user.Owner)
}

// label returns the label that an entry matches by and its users show (O9).
func (d *desk) label(own string) string {
	if d.options.TrustSourceColumn && own != "" {
		return own
	}
	return cmp.Or(d.options.Label, d.options.Source)
}

// findDoubles refuses a user whom two present entries lead to without a common number (C4).
func (d *desk) findDoubles(u *unit) {
	var there []*entry
	isNew := false
	for _, e := range u.entries {
		if e.stand == present {
			there = append(there, e)
			isNew = isNew || e.isNew
		}
	}
	if len(there) < 2 || !isNew || u.refused {
		return
	}
	for _, e := range there {
		if n := d.number(e); n == "" || n != d.number(there[0]) {
			u.refuse(Conflict, fmt.Sprintf("%s have the same user name or lead to the same user %s [C4]", groupText(there), nameOf(u.old)))
			return
		}
	}
}

func (d *desk) holder(c store.Claim) (*store.User, error) {
	id, err := d.view.Holder(store.FoldClaim(c))
	if err != nil || id == "" {
		return nil, err
	}
	return d.view.User(id)
}

func (e *entry) refuse(a Action, reason string) {
	if e.action == "" {
		e.action, e.reason = a, reason
	}
}

func (u *unit) refuse(a Action, reason string) {
	if !u.refused {
		u.refused, u.action, u.reason = true, a, reason
	}
}

// refuseAll refuses a group for what one of it is refused for.
func refuseAll(group []*entry, because *entry) {
	for _, e := range group {
		e.refuse(because.action, because.reason)
		e.intruder = because.intruder
	}
}

func refuseGroup(group []*entry, a Action, reason string) {
	for _, e := range group {
		e.refuse(a, reason)
	}
}
